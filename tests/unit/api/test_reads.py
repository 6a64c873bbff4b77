"""Paths that show one thing, and events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from natlb.client.transport import UnixConnection
from natlb.model import to_json


def get(served: Any, path: str, *headers: str) -> tuple[int, Any]:
    """Return status and document."""
    connection = UnixConnection(served.path, 30)
    told = dict(each.split(": ", 1) for each in headers)
    connection.request("GET", path, headers={"connection": "close", **told})
    with connection.getresponse() as answer:
        return answer.status, json.loads(answer.read())


def test_one_backend_and_one_service_are_as_in_the_lists(served: Any) -> None:
    """The same nouns, the same names."""
    assert get(served, "/v1/services/web/backends/be2") == (200, to_json(served.instance.pool[1]))
    assert get(served, "/v1/services/web") == (200, get(served, "/v1/services")[1][0])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/services/dns", "no service 'dns'; there are web"),
        ("/v1/services/web/backends/be9", "no backend 'be9'; there are be1, be2, be3"),
        ("/v1/services/dns/backends/be1", "no service 'dns'"),
        ("/v1/services/%0a%1b[31m", "no service '\\n\\x1b[31m'"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(served: Any, path: str, words: str) -> None:
    """Names that are no names are quoted."""
    status, document = get(served, path)

    assert status == 404
    assert words in document["error"]["message"]


def test_events_are_listed(served: Any) -> None:
    """Those after a number, where one is given."""
    for kind in ("first", "second"):
        served.instance.events.note(kind, "warning", service="web")
    _, events = get(served, "/v1/events?follow=false")

    assert [each["kind"] for each in events] == ["first", "second"]
    assert list(events[0]) == ["id", "at", "level", "kind", "fields"]
    assert get(served, "/v1/events?since=1", "accept: application/json") == (200, events[1:])
    assert get(served, "/v1/events?follow=0&since=9", "last-event-id: 1") == (200, events[1:])
    assert get(served, "/v1/events?follow=0&since=9")[1][0]["kind"] == "gap"


@pytest.mark.parametrize("number", ["x", "-1", "1e3", "9" * 19, "\xb2"])
def test_a_number_that_is_none_is_refused(served: Any, number: str) -> None:
    """It would be taken for the beginning."""
    assert get(served, "/v1/events", f"last-event-id: {number}")[0] == 400
