"""Events as they happen, from the real API and from sockets that break."""

from __future__ import annotations

import json
import threading
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from natlb.client import Client
from natlb.client.following import SECONDS_WITHOUT_ANSWER, events_path, follow
from natlb.client.transport import Transport
from natlb.errors import DeniedError, UnavailableError
from natlb.model import Event
from tests.unit.client.test_asking import HEAD, listening

if TYPE_CHECKING:
    from pathlib import Path


def frame(number: int) -> bytes:
    """Return an event as it is sent."""
    event = {"id": number, "at": "…", "level": "info", "kind": "turned", "fields": {}}
    return b"id: %d\nevent: turned\ndata: %s\n\n" % (number, json.dumps(event).encode())


def numbers(events: Any, many: int) -> list[int]:
    """Return the numbers of the next events."""
    return [event.id for event in islice(events, many)]


def test_what_is_kept_is_a_list(served: Any) -> None:
    """All, or after a number; a gap is an event."""
    served.instance.events.note("first", service="web")
    served.instance.events.note("second")
    client = Client(served.path)

    assert [event.kind for event in client.events()] == ["first", "second"]
    assert [event.kind for event in client.events(1)] == ["second"]
    assert [event.kind for event in client.events(9)] == ["gap"]
    assert isinstance(next(client.events()), Event)


def test_it_is_followed(served: Any) -> None:
    """What happens next comes when it does."""
    served.instance.events.note("first")
    followed = Client(served.path).events(follow=True)
    assert next(followed).kind == "first"
    threading.Timer(0.02, served.instance.events.note, ["second"]).start()
    assert next(followed).kind == "second"
    followed.close()  # type: ignore[attr-defined] # a generator


def test_it_goes_on_from_what_was_seen_when_the_connection_breaks(folder: Path) -> None:
    """In the middle of an event too: half of one is none."""
    answers = (HEAD + frame(4) + frame(5)[:-9], b"", HEAD + b": alive\n\n" + frame(5) + frame(6))
    with listening(folder, *answers) as (path, asked):
        slept: list[float] = []
        followed = follow(Transport(path, "", 10), 3, sleep=slept.append)
        assert numbers(followed, 3) == [4, 5, 6]
        followed.close()  # type: ignore[attr-defined] # a generator

    first = [each.split(b" ")[1] for each in asked]
    assert first == [b"/v1/events?since=3", b"/v1/events?since=4", b"/v1/events?since=4"]
    assert len(slept) == 1


def test_nobody_there_at_first_is_told_at_once_and_later_after_a_while(folder: Path) -> None:
    """Control is back in a second; an instance that was stopped is not."""
    path = str(folder / "other.sock")
    with pytest.raises(UnavailableError, match="not running"):
        next(follow(Transport(path, "", 10), None))
    now = 0.0

    def sleep(_seconds: float) -> None:
        nonlocal now
        now += SECONDS_WITHOUT_ANSWER / 3

    with listening(folder, HEAD + frame(1)) as (path, _):
        followed = follow(Transport(path, "", 10), None, clock=lambda: now, sleep=sleep)
        assert numbers(followed, 1) == [1]
    with pytest.raises(UnavailableError, match="not running"):
        next(followed)

    assert now > SECONDS_WITHOUT_ANSWER


def test_who_may_not_is_told_at_once(served: Any) -> None:
    """Waiting would not help."""
    place = "tcp://{}:{}".format(*served.tcp)
    with pytest.raises(DeniedError):
        next(Client(place, token="k" * 40).events(follow=True))


def test_what_is_asked_for() -> None:
    """Parameters as the API has them."""
    assert events_path(None, follow=True) == "/v1/events"
    assert events_path(0, follow=False) == "/v1/events?since=0&follow=false"
