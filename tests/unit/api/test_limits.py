"""What a request may weigh."""

from __future__ import annotations

import json
from dataclasses import replace

from natlb.api.limits import BODY_BYTES

HEAD = b"POST /v1/reload HTTP/1.1\r\nhost: natlb\r\ncontent-type: application/json\r\n"


def body_of(answer: bytes) -> dict:
    """Return the document of an answer taken off the socket."""
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def test_a_body_at_the_limit_is_read(served) -> None:
    """The limit is what it says."""
    body = b'{"config": "/' + b"a" * (BODY_BYTES - 15) + b'"}'
    answer = served.ask(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)

    assert len(body) == BODY_BYTES
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_body_over_the_limit_is_refused(served) -> None:
    """Memory is bounded, whatever a client sends."""
    body = b"x" * (BODY_BYTES + 1)
    answer = served.ask(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)

    assert answer.startswith(b"HTTP/1.1 413")
    assert body_of(answer)["error"]["code"] == "usage"
    assert not served.instance.calls


def test_a_body_over_the_limit_in_chunks_is_refused(served) -> None:
    """No announced length is needed to be too long."""
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    answer = served.ask(HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk * 20 + b"0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413")


def test_a_client_that_leaves_in_the_middle_is_forgotten(served) -> None:
    """Half a request asks the instance for nothing, and the next one is served."""
    with served.connect() as connection:
        connection.sendall(HEAD + b"content-length: 100\r\n\r\n{")

    assert served.ask(b"GET /v1/status HTTP/1.1\r\nhost: natlb\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert served.instance.calls == [("status",)]


def test_an_answer_that_fails_on_its_way_is_cut_not_ended(served) -> None:
    """Half a list must not read like a whole one; and the next request is served."""
    flow = served.instance.table[0]
    served.instance.table = [flow] * 300 + [replace(flow, source={1})]
    answer = served.ask(b"GET /v1/flows HTTP/1.1\r\nhost: natlb\r\n\r\n", close=False)

    assert answer.startswith(b"HTTP/1.1 200")
    assert not answer.endswith(b"0\r\n\r\n")
    assert served.ask(b"GET /v1/status HTTP/1.1\r\nhost: natlb\r\n\r\n").startswith(b"HTTP/1.1 200")
