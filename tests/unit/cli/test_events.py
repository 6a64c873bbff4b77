"""`natlb events`: a line for each, once or as they happen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from natlb.cli.events import event_text
from natlb.client import Client
from natlb.model import Event

if TYPE_CHECKING:
    from collections.abc import Iterator


def event(kind: str = "backend_down", **fields: Any) -> Event:
    """Return an event."""
    at = "2026-01-02T03:04:05.678Z"
    return Event(id=3, at=at, level="warning", kind=kind, fields=fields)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (event(service="web", code="L4CON"), "backend_down service=web code=L4CON"),
        (event(reason='a "b"\nc\x1b[2J\u202e'), r'reason="a \"b\"\nc'),
        (event(names=["a", "b"], times=3, was=None, well=True), "names=a,b times=3 was= well=true"),
        (event("gap", after=2, before=6), "gap events 3 to 5 are kept no more"),
        (event("gap", after=900, before=4), "gap natlb was started anew, its events before 4"),
        (event("gap"), "gap natlb was started anew"),
        (event("a\nb"), r'"a\nb"'),
    ],
)
def test_an_event_is_one_line(said: Event, words: str) -> None:
    """Whatever a backend answered."""
    text = event_text(said)

    assert text.startswith("2026-01-02T03:04:05.678Z ")
    assert words in text
    assert len(text.splitlines()) == 1


def test_what_is_kept_is_shown(command: Any, served: Any) -> None:
    """As lines, or as one array."""
    served.instance.events.note("first", service="web")
    served.instance.events.note("second")

    assert [line.split()[2] for line in command("events").out.splitlines()[-2:]] == [
        "first",
        "second",
    ]
    assert [each["kind"] for each in json.loads(command("events", "--json").out)] == [
        "first",
        "second",
    ]
    assert [each["id"] for each in json.loads(command("events", "--json", "--since=1").out)] == [2]
    assert [each["kind"] for each in json.loads(command("events", "--json", "--since=9").out)] == [
        "gap"
    ]


def test_what_happens_is_shown_until_interrupted(command: Any, monkeypatch: Any) -> None:
    """A line of JSON each; Ctrl-C is 130."""
    asked = []

    def events(_client: Client, since: int | None, *, follow: bool) -> Iterator[Event]:
        asked.append((since, follow))
        yield event()
        yield event("backend_up")
        if len(asked) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Client, "events", events)
    said, text = (
        command("events", "--follow", "--json", "--since", "2"),
        command("events", "--follow"),
    )

    assert [json.loads(line)["kind"] for line in said.out.splitlines()] == [
        "backend_down",
        "backend_up",
    ]
    assert command("events", "--follow").code == 130
    assert len(text.out.splitlines()) == 2
    assert asked == [(2, True), (None, True), (None, True)]


@pytest.mark.parametrize("since", ["-1", "x", "1.5", "9" * 40])
def test_a_number_that_is_none_is_a_mistake(command: Any, since: str) -> None:
    """Told before anybody is asked."""
    assert command("events", f"--since={since}").code == 2
