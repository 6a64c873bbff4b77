"""Checks by a datagram."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from natlb.control.health.codes import Code
from tests.unit.control.health.servers import CLOSED, SHORT, answering, ask, never_late


def asked(answer: bytes | None, **check: Any):
    """Return what a check comes to whose payload gets this answer."""

    async def run():
        async with answering(lambda _: answer) as port:
            return await ask(port, type="udp", send=b"PING", **check)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "expect", "status", "code"),
    [
        (b"PONG", "^PONG$", "up", Code.L7OK),
        (b"PONG", r"P\x4fN", "up", Code.L7OK),
        (b"\x00\xff", r"\x00\xff", "up", Code.L7OK),
        (b"NO", "^PONG$", "down", Code.L7RSP),
        (b"", "PONG", "down", Code.L7RSP),
        (b"a" * 60 + b"b", "(a+)+$", "down", Code.L7RSP),
        (b"whatever", None, "up", Code.L4OK),
    ],
)
def test_the_first_answer_decides(answer, expect, status, code) -> None:
    """Found in its octets."""
    result = asked(answer, expect=expect)

    assert (result.status, result.code) == (status, code)
    assert [each.name for each in result.phases] == ["open", "connect", "request", "answer"]


def test_silence_where_an_answer_is_expected_is_l7tout(monkeypatch) -> None:
    """Nothing came of any layer."""
    never_late(monkeypatch)
    result = asked(None, expect="PONG", timeout=SHORT)

    assert (result.status, result.code) == ("down", Code.L7TOUT)


def test_silence_passes_where_nothing_is_expected(monkeypatch) -> None:
    """Who answers no stranger is not down; nobody refused."""
    never_late(monkeypatch)
    result = asked(None, timeout=SHORT)

    assert (result.status, result.code) == ("up", Code.L4OK)


@pytest.mark.parametrize("expect", [None, "PONG"])
def test_port_unreachable_is_a_refusal(expect) -> None:
    """The backend's host says so by ICMP, and a connected socket hears it."""
    result = asyncio.run(ask(CLOSED, type="udp", send=b"PING", expect=expect))

    assert (result.status, result.code) == ("down", Code.L4CON)
