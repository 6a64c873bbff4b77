"""What is looked at before a request means anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from natlb.api import gate
from natlb.api.gate import LISTS_AT_ONCE, Allowances, Listing, RefusedError, needed_role
from natlb.errors import BusyError
from tests.unit.api.wrong_requests import WRONG, Wrong
from tests.unit.conftest import TOKENS

if TYPE_CHECKING:
    from pathlib import Path

WORDS: dict[str, str] = dict(TOKENS.items())
STATUSES = {400, 401, 403, 404, 405, 409, 412, 413, 415, 421, 422, 429}


def octets_of(asked: Wrong) -> bytes:
    """Return a request as it is sent."""
    body = asked.body.encode() if isinstance(asked.body, str) else asked.body
    own = {each.partition(":")[0] for each in asked.headers}
    lines = [f"{asked.line} HTTP/1.1", "connection: close", *asked.headers]
    if "host" not in own:
        lines.append("host: natlb")
    if asked.token is not None:
        lines.append(f"authorization: Bearer {WORDS.get(asked.token, asked.token)}")
    if body is not None:
        lines.append(f"content-length: {len(body)}")
        lines += [] if "content-type" in own else ["content-type: application/json"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def ask(served: Any, asked: Wrong) -> tuple[int, str, Any]:
    """Return status, head and document of what is answered."""
    places = {"admin": served.path, "operate": served.operate, "read": served.read}
    answer = served.ask(octets_of(asked), to=places.get(asked.door, served.tcp)).decode()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), head.lower(), json.loads(body) if body else None


@pytest.mark.parametrize("asked", WRONG, ids=lambda each: f"{each.status} {each.line[:40]}")
def test_a_wrong_request_gets_its_status_and_changes_nothing(served: Any, asked: Wrong) -> None:
    """In the one form of all errors."""
    pool, revision = list(served.instance.pool), served.instance.revision
    if asked.status == 409:
        served.instance.failure = BusyError("64 commands are under way")
    status, head, document = ask(served, asked)

    assert status == asked.status
    assert list(document["error"]) == ["code", "message", "fix"]
    assert ("\r\nwww-authenticate: bearer" in head) == (status == 401)
    assert ("\r\nallow: " in head) == (status == 405)
    assert (served.instance.pool, served.instance.revision) == (pool, revision)


def test_there_are_sixty_of_every_kind() -> None:
    """429 takes more than one request: it has a test of its own."""
    assert len(WRONG) >= 60
    assert {each.status for each in WRONG} == STATUSES - {429}


def test_allow_names_all_methods_of_a_path(served: Any) -> None:
    """Whichever route would have had them."""
    _, head, _ = ask(served, Wrong(405, "PUT /v1/services/web/backends/be1", "{}"))

    assert "\r\nallow: get, head, patch, delete" in head


@pytest.mark.parametrize(
    ("door", "token"),
    [("admin", None), ("operate", None), ("tcp", "operate"), ("tcp", "admin")],
)
def test_who_may_is_let_in(served: Any, door: str, token: str | None) -> None:
    """By a socket's file, or by a token."""
    change = Wrong(200, "PATCH /v1/services/web/backends/be1", '{"weight": 5}', (), door, token)

    assert ask(served, change)[0] == 200
    assert served.instance.pool[0].weight == 5


@pytest.mark.parametrize("door", ["read", "operate", "tcp"])
def test_everybody_who_is_let_in_may_read(served: Any, door: str) -> None:
    """All that `--json` shows."""
    for path in ("/v1/status", "/v1/flows", "/metrics", "/openapi.json", "/v1/events?follow=0"):
        assert served.ask(
            octets_of(Wrong(200, f"GET {path}", None, (), door, "read")),
            to={"read": served.read, "operate": served.operate, "tcp": served.tcp}[door],
        ).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("host", ["natlb", "NATLB", "localhost:80", "localhost", "127.0.0.1:9"])
def test_natlb_has_these_names(served: Any, host: str) -> None:
    """And an Origin that says the same is natlb's own."""
    headers = (f"host: {host}", f"origin: http://{host.lower()}")
    asked = Wrong(200, "GET /v1/status", None, headers, "tcp", "read")

    assert ask(served, asked)[0] == (200 if host != "NATLB" else 403)


def test_more_changes_than_there_is_time_for_are_refused(
    folder: Path, serving_at: Any, monkeypatch: Any
) -> None:
    """With the seconds to wait; reading goes on, and so do others."""
    monkeypatch.setattr(gate, "CHANGES_A_SECOND", 1e-3)
    monkeypatch.setattr(gate, "CHANGES_AT_ONCE", 3)
    change = Wrong(200, "PATCH /v1/services/web/backends/be1", '{"weight": 5}', (), "operate")
    with serving_at(str(folder / "restless")) as served:
        answers = [ask(served, change)[0] for _ in range(3)]
        status, head, document = ask(served, change)

        assert answers == [200, 200, 200]
        assert (status, document["error"]["code"]) == (429, "busy")
        assert "\r\nretry-after: " in head
        assert len(served.instance.calls) == 3
        assert ask(served, change._replace(door="admin"))[0] == 200
        assert ask(served, Wrong(200, "GET /v1/services/web", door="operate"))[0] == 200


def test_changes_come_back_with_time() -> None:
    """Ten reloads a second go on for ever."""
    now = [0.0]
    allowed = Allowances(50.0, 200, lambda: now[0])
    for _ in range(600):
        now[0] += 0.1
        assert allowed.take("admin 0") == 0.0
    for _ in range(200):
        allowed.take("admin 0")
    assert allowed.take("admin 0") == pytest.approx(0.02)
    assert allowed.take("operate 0") == 0.0
    now[0] += 0.021
    assert allowed.take("admin 0") == 0.0


def test_callers_are_not_remembered_for_ever() -> None:
    """However many users a host has."""
    allowed = Allowances(1.0, 1, lambda: 0.0)
    for number in range(5000):
        allowed.take(str(number))

    assert len(allowed._spent) <= 1000


def test_so_many_lists_are_written_at_a_time() -> None:
    """Each may be a million flows in memory."""
    listing = Listing()
    for _ in range(LISTS_AT_ONCE):
        listing.__enter__()
    with pytest.raises(RefusedError) as caught:
        listing.__enter__()
    listing.__exit__(None)

    assert caught.value.status == 429
    assert caught.value.headers == {"retry-after": "1"}
    with listing:
        pass


def test_what_changes_more_needs_more() -> None:
    """HEAD and GET need the least."""
    assert needed_role("HEAD", "/v1/reload") == "read"
    assert needed_role("POST", "/v1/flush") == "operate"
    assert needed_role("POST", "/v1/reload") == "admin"
    assert needed_role("POST", "/v1/config/save") == "admin"
