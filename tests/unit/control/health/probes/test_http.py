"""Checks by one request, with and without TLS."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from natlb.control.config.values import CheckConfig
from natlb.control.health.codes import Code
from natlb.control.health.probes.http import MOST_BODY, server_name
from tests.unit.control.health.servers import (
    SHORT,
    against,
    ask,
    closing,
    flooding,
    listening,
    never_late,
    saying,
    silent,
    target,
    trickling,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


def met(talk, **check: Any):
    """Return what a check comes to that meets this server."""
    return against(talk, type="http", **check)


@pytest.mark.parametrize(
    ("answer", "check", "status", "code"),
    [
        (OK, {}, "up", Code.L7OK),
        (OK, {"match": "^fine$"}, "up", Code.L7OK),
        (OK, {"match": "bad"}, "down", Code.L7RSP),
        (OK, {"status": ((204, 204), (300, 399))}, "down", Code.L7STS),
        (b"HTTP/1.1 503 No\r\n\r\n", {}, "down", Code.L7STS),
        (b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n", {}, "up", Code.L7OK),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", {"status": ((200, 200),)}, "down", "L7STS"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", {"match": "old"}, "up", Code.L7OK),
        (b"HTTP/1.1 103 Early\r\n\r\n" + OK, {}, "up", Code.L7OK),
        (b"SSH-2.0-OpenSSH_9.9\r\n", {}, "down", Code.L7RSP),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, {}, "down", Code.L7RSP),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfine", {"match": "x"}, "down", "L7RSP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", {}, "down", Code.L7RSP),
        (b"", {}, "down", Code.L7RSP),
    ],
)
def test_the_answer_decides(answer, check, status, code) -> None:
    """Its status, and its body where a pattern is looked for; no redirect is followed."""
    result = met(saying(answer), **check)

    assert (result.status, result.code) == (status, code), result.reason
    assert [each.name for each in result.phases] == ["open", "connect", "request", "answer"]


def test_the_request_is_as_configured() -> None:
    """Method, path and host, and who asks; the connection is for this alone."""
    heard = []

    async def talk(connection) -> None:
        loop = asyncio.get_running_loop()
        heard.append(await loop.sock_recv(connection, 4096))
        await loop.sock_sendall(connection, OK)

    async def run() -> None:
        async with listening(talk) as port:
            await ask(port, type="http", method="HEAD", path="/up?x=1", host="web.test")

    asyncio.run(run())
    line, *headers = heard[0].decode().split("\r\n")

    assert line == "HEAD /up?x=1 HTTP/1.1"
    assert {"Host: web.test", "Connection: close", "Accept: */*"} <= set(headers)


def test_what_was_seen_is_told() -> None:
    """The status line, and how a body begins that does not match."""
    result = met(saying(OK), match="bad")

    assert result.reason == "HTTP/1.1 200 OK, body does not match: fine"
    assert result.phases[-1].seen == "HTTP/1.1 200 OK, 4 octets: fine"
    assert met(closing).reason == "closed without an answer"


def test_a_body_is_read_no_further_than_64_kib() -> None:
    """And not waited for where it does not matter."""
    body = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MOST_BODY - 3) + b"end"
    far = met(saying(body + b"beyond" * 10_000), match="beyond")

    assert met(saying(body + b"beyond" * 10_000), match="end$").code is Code.L7OK
    assert far.code is Code.L7RSP
    assert f"{MOST_BODY} octets" in far.phases[-1].seen


def test_a_body_that_makes_an_expression_endless_ends_the_check() -> None:
    """Control has others to look after."""
    body = b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 60 + b"b"
    result = met(saying(body), match="(a+)+$")

    assert (result.status, result.code) == ("down", Code.L7RSP)
    assert "too long" in result.reason


@pytest.mark.parametrize("talk", [silent, trickling(OK)], ids=["silent", "trickling"])
def test_an_answer_that_does_not_end_in_time_is_l7tout(talk, monkeypatch) -> None:
    """However much of it came."""
    never_late(monkeypatch)
    result = met(talk, timeout=SHORT)

    assert (result.status, result.code) == ("down", Code.L7TOUT)
    assert result.reason == f"no answer within {SHORT:g} s"


@pytest.mark.parametrize(
    "piece", [b"HTTP/1.1 100 Continue\r\n\r\n", b"x" * 1000], ids=["continue", "garbage"]
)
def test_a_flood_ends_the_check(piece) -> None:
    """Answers that only announce an answer are free to send."""
    result = met(flooding(piece))

    assert (result.status, result.code) == ("down", Code.L7RSP)


@pytest.mark.parametrize(
    ("check", "name"),
    [
        ({}, "127.0.0.1"),
        ({"host": "web.test:8443"}, "web.test"),
        ({"host": "[::1]:8443"}, "::1"),
        ({"host": "web.test", "sni": "other.test"}, "other.test"),
    ],
)
def test_the_certificate_must_name_who_is_asked(check, name) -> None:
    """`sni` first, then the name of `host`, then the address."""
    assert server_name(CheckConfig(**check), target(443)) == name
