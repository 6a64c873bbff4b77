from __future__ import annotations

from dataclasses import replace

import pytest

from natlb.control.health.passive import (
    ENOUGH,
    ENOUGH_OF_ONE,
    FIRST_INHIBIT_MS,
    MOST_INHIBIT_MS,
    WINDOW_MS,
    Failure,
    Kind,
    PassiveJudge,
    Standing,
    Verdict,
)

KEY = ("web", "one")
OTHER = ("web", "two")


class Court:
    """A judge, and backends of whom is known what is set here."""

    def __init__(self) -> None:
        """Know two backends that have never answered and can be spared."""
        self.judge = PassiveJudge()
        self.now = 1000
        self.standing: dict[tuple[str, str], Standing | None] = {
            KEY: Standing(answered_ms=0, is_held=False, is_spare=True),
            OTHER: Standing(answered_ms=0, is_held=False, is_spare=True),
        }

    def know(self, key: tuple[str, str] = KEY, **changes: object) -> None:
        """Change what is known of a backend."""
        before = self.standing[key]
        assert before is not None
        self.standing[key] = replace(before, **changes)  # type: ignore[arg-type]

    def fail(
        self, count: int, key: tuple[str, str] = KEY, clients: int = 2, kind: Kind = "reset"
    ) -> None:
        """Have openings fail that were made a moment ago."""
        for number in range(count):
            self.judge.hear(key, Failure(number % clients, kind, self.now - 1, self.now))

    def verdicts(self) -> list[Verdict]:
        """Return what is judged now, done at once."""
        found = []
        for verdict in self.judge.judge(self.now, lambda key: self.standing[key]):
            self.know(verdict.key, is_held=verdict.down)
            found.append(verdict)
        return found

    def pass_time(self, milliseconds: int) -> None:
        """Let time pass; what was said until now holds no longer where it was said till then."""
        self.now += milliseconds


def down(why: str, until_ms: int) -> list[Verdict]:
    """Return the verdict against the one backend."""
    return [Verdict(KEY, down=True, why=why, until_ms=until_ms)]


@pytest.mark.parametrize(
    ("count", "clients", "is_enough"),
    [
        (ENOUGH - 1, 2, False),
        (ENOUGH, 2, True),
        (ENOUGH, 1, False),
        (ENOUGH_OF_ONE - 1, 1, False),
        (ENOUGH_OF_ONE, 1, True),
        (1000, 1, True),
    ],
)
def test_how_many_openings_have_to_fail(count: int, clients: int, is_enough: bool) -> None:
    """Three of two clients, or four of one."""
    court = Court()
    court.fail(count, clients=clients)

    assert bool(court.verdicts()) is is_enough


def test_a_verdict_says_what_failed() -> None:
    """In the order in which it was heard; what ICMP said is told with it."""
    court = Court()
    court.judge.hint(KEY, "nobody is suspected yet")
    court.fail(1, kind="unanswered")
    court.judge.hint(KEY, "host unreachable")
    court.fail(2)

    why = "openings: 1 unanswered, 2 reset; none answered; host unreachable"
    assert court.verdicts() == down(why, court.now + FIRST_INHIBIT_MS)
    assert court.verdicts() == []


def test_an_icmp_error_alone_does_nothing() -> None:
    """However many there are."""
    court = Court()
    for _ in range(1000):
        court.judge.hint(KEY, "host unreachable")

    assert court.verdicts() == []
    assert court.judge.suspects == []


def test_one_answer_since_an_opening_was_made_says_more_than_its_failure() -> None:
    """A backend that serves somebody is not down, whatever strangers send it."""
    court = Court()
    court.fail(1000)
    court.know(answered_ms=court.now - 1)

    assert court.verdicts() == []


def test_failures_from_before_the_last_answer_are_not_added_up() -> None:
    """Nor are those that are older than the window."""
    court = Court()
    court.fail(2)
    court.verdicts()
    court.pass_time(5)
    court.know(answered_ms=court.now)
    court.pass_time(5)
    court.fail(2)
    answered = court.verdicts()
    court.pass_time(WINDOW_MS)
    court.fail(2)

    assert answered == []
    assert court.verdicts() == []


def test_an_inhibit_doubles_to_an_hour_and_begins_anew_after_an_answer() -> None:
    """Each trial that fails; one that succeeds forgets all of it."""
    court = Court()
    lasted = []
    for _ in range(13):
        court.fail(ENOUGH)
        (verdict,) = court.verdicts()
        lasted.append(verdict.until_ms - court.now)
        court.pass_time(lasted[-1])
        court.know(is_held=False)
    court.know(answered_ms=court.now)
    court.verdicts()
    forgotten = court.judge.suspects
    court.pass_time(10)
    court.fail(ENOUGH)
    (verdict,) = court.verdicts()

    assert lasted[:4] == [5_000, 10_000, 20_000, 40_000]
    assert lasted[-2:] == [MOST_INHIBIT_MS] * 2
    assert forgotten == []
    assert verdict.until_ms - court.now == FIRST_INHIBIT_MS


def test_an_answer_while_it_is_down_acquits_it_at_once() -> None:
    """Where nobody else is left, flows go there all the same."""
    court = Court()
    court.fail(ENOUGH)
    court.verdicts()
    court.pass_time(100)
    court.know(answered_ms=court.now)

    assert court.verdicts() == [Verdict(KEY, down=False)]
    assert court.judge.suspects == []


def test_what_fails_while_it_is_down_is_no_trial() -> None:
    """Openings from before the verdict are told after it, and one is enough for all of them."""
    court = Court()
    court.fail(ENOUGH)
    court.verdicts()
    court.pass_time(1000)
    court.fail(1000)
    meanwhile = court.verdicts()
    court.pass_time(FIRST_INHIBIT_MS)
    court.know(is_held=False)

    assert meanwhile == []
    assert court.verdicts() == []


def test_a_verdict_that_checks_have_lifted_is_a_trial() -> None:
    """Should it fail again, the inhibit is twice as long."""
    court = Court()
    court.fail(ENOUGH)
    court.verdicts()
    court.pass_time(1000)
    court.know(is_held=False)
    court.fail(ENOUGH)
    (verdict,) = court.verdicts()

    assert verdict.until_ms - court.now == 2 * FIRST_INHIBIT_MS


def test_a_pool_keeps_half_of_its_backends_whatever_traffic_says() -> None:
    """Each verdict is done before the next is asked for: who was spare may be so no more."""
    court = Court()
    court.fail(ENOUGH)
    court.fail(ENOUGH, OTHER)
    found = []
    for verdict in court.judge.judge(court.now, lambda key: court.standing[key]):
        found.append(verdict.key)
        court.know(OTHER, is_spare=False)

    assert found == [KEY]
    court.know(OTHER, is_spare=True)
    assert [verdict.key for verdict in court.verdicts()] == [OTHER]


def test_who_is_not_to_be_judged_is_forgotten() -> None:
    """A backend that left the configuration, or whose service wants no such judge."""
    court = Court()
    court.fail(ENOUGH)
    court.standing[KEY] = None

    assert court.verdicts() == []
    assert court.judge.suspects == []


def test_nobody_is_suspected_for_ever() -> None:
    """A failure is forgotten after its window; a verdict after as long as it lasted, and that."""
    court = Court()
    court.fail(1)
    court.fail(ENOUGH, OTHER)
    court.verdicts()
    court.pass_time(FIRST_INHIBIT_MS + WINDOW_MS)
    court.know(OTHER, is_held=False)
    court.verdicts()
    later = court.judge.suspects
    court.pass_time(FIRST_INHIBIT_MS + 1)
    court.verdicts()

    assert later == [OTHER]
    assert court.judge.suspects == []
