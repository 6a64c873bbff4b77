from __future__ import annotations

from natlb.control.health.history import Histories
from natlb.model import CheckResult

B1, B2 = ("web", "b1"), ("web", "b2")


def result(number: int) -> CheckResult:
    """Return a result that can be told from others."""
    return CheckResult(status="up", code="L4OK", latency_ms=number, at="2026-01-01T00:00:00Z")


def test_the_last_ten_results_are_kept() -> None:
    """The youngest first."""
    histories = Histories()
    for number in range(12):
        histories.note(B1, result(number))

    assert [each.latency_ms for each in histories.results(B1)] == list(range(11, 1, -1))
    assert histories.last() == {B1: result(11)}
    assert histories.results(B2) == []


def test_since_when_is_known_once_it_was_seen() -> None:
    """By its last change."""
    histories = Histories()

    assert histories.since(B1) is None
    histories.note_health(B1, "yesterday")
    histories.note_health(B1, "today")
    assert histories.since(B1) == "today"


def test_who_is_gone_is_forgotten() -> None:
    """And of who is another server now the results are."""
    histories = Histories()
    for key in (B1, B2):
        histories.note(key, result(1))
        histories.note_health(key, "today")
    histories.keep_only([B1])
    histories.forget_results(B1)
    histories.forget_results(B2)

    assert histories.last() == {}
    assert (histories.since(B1), histories.since(B2)) == ("today", None)
