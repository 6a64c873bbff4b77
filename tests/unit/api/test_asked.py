"""Revisions as entity tags: what is known already, and what a change starts from."""

from __future__ import annotations

from typing import Any

import pytest

from natlb.api.asked import etag, given

HEAD = "{} HTTP/1.1\r\nhost: natlb\r\nconnection: close\r\n"
TAGGED = (
    "/v1/status",
    "/v1/services",
    "/v1/services/web",
    "/v1/backends",
    "/v1/services/web/backends",
    "/v1/services/web/backends/be1",
)


def ask(served: Any, line: str, *headers: str, body: str = "") -> tuple[int, str]:
    """Return status and the whole answer."""
    if body:
        headers = (*headers, "content-type: application/json", f"content-length: {len(body)}")
    text = HEAD.format(line) + "".join(f"{each}\r\n" for each in headers) + "\r\n" + body
    answer = served.ask(text.encode()).decode()
    return int(answer.split()[1]), answer


@pytest.mark.parametrize("path", TAGGED)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_can_be_changed_has_a_tag(served: Any, path: str, method: str) -> None:
    """And HEAD says what GET would, without the body."""
    status, answer = ask(served, f"{method} {path}")

    assert status == 200
    assert 'etag: "r7"' in answer
    assert (not answer.partition("\r\n\r\n")[2]) == (method == "HEAD")


@pytest.mark.parametrize(
    ("known", "status"),
    [('"r7"', 304), ('W/"r7"', 304), ("*", 304), ('"r1", "r7"', 304), ('"r6"', 200), ("r7", 200)],
)
def test_who_knows_it_already_is_told_so(served: Any, known: str, status: int) -> None:
    """By the rules of HTTP: compared weakly."""
    answered, answer = ask(served, "GET /v1/backends", f"if-none-match: {known}")

    assert answered == status
    assert (not answer.partition("\r\n\r\n")[2]) == (status == 304)


@pytest.mark.parametrize(
    ("known", "status"),
    [('"r7"', 200), ("*", 200), ('"r1", "r7"', 200), ('"r6"', 412), ('W/"r7"', 412), ("r7", 412)],
)
def test_a_change_from_another_state_is_not_made(served: Any, known: str, status: int) -> None:
    """Two who look at the same time do not undo each other's work."""
    path = "/v1/services/web/backends/be1"
    answered, answer = ask(served, f"PATCH {path}", f"if-match: {known}", body='{"weight": 5}')

    assert answered == status
    assert [each[0] for each in served.instance.calls] == ["set_backend"] * (status == 200)
    assert ('"code": "changed"' in answer) == (status == 412)
    meant = None if known == "*" else frozenset({7})
    assert served.instance.meant == [meant] * (status == 200)


def test_words_left_out_are_no_words() -> None:
    """Tags have one form."""
    assert given({"a": None, "b": 0}) == {"b": 0}
    assert etag(12) == '"r12"'
