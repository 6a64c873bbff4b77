"""What many commands take."""

from __future__ import annotations

import json

import pytest

from natlb.cli.options import WATCH_SECONDS, Terms
from natlb.model import FlowFilter


def test_the_socket_may_be_named_before_and_after_the_command(command, served, monkeypatch) -> None:
    """Wherever it comes to mind."""
    monkeypatch.delenv("NATLB_SOCKET")

    assert command("--socket", served.path, "status").code == 0
    assert command("status", "--socket", served.path).code == 0


def test_what_is_written_out_wins_over_the_environment(command, served, monkeypatch) -> None:
    """And the last place over the first."""
    monkeypatch.setenv("NATLB_SOCKET", "/none/of/these")

    assert command("status").code == 69
    assert command("--socket", served.path, "status").code == 0
    assert command("--socket", "/none", "status", "--socket", served.path).code == 0


def test_a_socket_that_is_not_there_is_told_by_name(command) -> None:
    """So that a mistyped path is seen."""
    said = command("--socket", "/none/natlb.sock", "status")

    assert said.code == 69
    assert said.err.startswith("error: natlb is not running, nothing listens on /none/natlb.sock")


@pytest.mark.parametrize("variable", ["NATLB_JSON", "NATLB_STATUS_JSON"])
def test_every_flag_has_a_variable(command, monkeypatch, variable) -> None:
    """For containers and units, where arguments are awkward."""
    monkeypatch.setenv(variable, "1")

    assert json.loads(command("status").out)["ready"]
    assert command("status", "--socket", "/none").err.startswith("{")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), FlowFilter()),
        (("service=web", "state=established"), FlowFilter(service="web", state="established")),
        (("client=198.51.100.9/24",), FlowFilter(client="198.51.100.0/24")),
        (("backend=web/be1",), FlowFilter(service="web", backend="be1")),
    ],
)
def test_filters_are_read(command, served, words, wanted) -> None:
    """The same words for `flows` and for `flush`."""
    command("flows", *words)
    command("flush", *words)

    assert served.instance.calls == [("flows", wanted, None), ("flush", wanted, False)]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("colour=red", "unknown filter 'colour'; there are service, backend, client, state"),
        ("web", "'web' is no filter"),
        ("state=", "'state'"),
        ("=web", "unknown filter ''"),
    ],
)
@pytest.mark.parametrize("name", ["flows", "flush"])
def test_a_filter_not_understood_is_usage_and_nothing_is_asked(
    command, served, name, word, told
) -> None:
    """A flush with a typing error must not flush all."""
    said = command(name, "service=web", word)

    assert said.code == 2
    assert told in said.err
    assert not served.instance.calls


def test_a_filter_given_twice_is_usage(command) -> None:
    """It would be anybody's guess which one counts."""
    assert command("flush", "service=web", "service=dns").code == 2


@pytest.mark.parametrize("name", ["web", "/be1", "web/", ""])
def test_a_backend_is_addressed_by_both_names(command, served, name) -> None:
    """Two services may have backends of the same name."""
    said = command("drain", name)

    assert said.code == 2
    assert "is not SERVICE/BACKEND" in said.err
    assert not served.instance.calls


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "nan"])
def test_a_watch_takes_some_time(command, seconds) -> None:
    """Zero seconds would be a load, not a watch."""
    assert command("status", f"--watch={seconds}").code == 2


def test_the_terms_know_when_nobody_wants_colour(monkeypatch) -> None:
    """NO_COLOR, and a terminal that cannot."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Terms().colour is None
    monkeypatch.setenv("TERM", "dumb")
    assert Terms().colour is False
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")

    assert Terms().colour is False


def test_a_watch_may_stand_alone_before_an_argument(command, served, monkeypatch) -> None:
    """`natlb flows --watch service=web` means what it looks like."""
    from natlb.cli import see

    seen = []
    monkeypatch.setattr(see, "repeat", lambda view, seconds, _terms: seen.append((view(), seconds)))
    for words in (
        ("flows", "--watch", "service=web"),
        ("flows", "service=web", "--watch"),
        ("flows", "--watch", "5", "service=web"),
        ("flows", "--watch=0.5"),
        ("flows",),
    ):
        assert command(*words).code == 0

    assert [seconds for _, seconds in seen] == [WATCH_SECONDS, WATCH_SECONDS, 5.0, 0.5, None]
