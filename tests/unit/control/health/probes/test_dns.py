"""Checks by a question to a name server."""

from __future__ import annotations

import asyncio
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from natlb.control.health.codes import Code
from tests.unit.control.health.servers import SHORT, answering, ask, never_late

NAME = "www.example.com."


def answered(rcode: int = 0, *records: str, flags: int = 0):
    """Return who answers so: each record is type and value."""

    def answer(said: bytes) -> bytes:
        reply = dns.message.make_response(dns.message.from_wire(said))
        reply.set_rcode(dns.rcode.Rcode(rcode))
        reply.flags |= flags
        for record in records:
            kind, value = record.split(" ", 1)
            reply.answer.append(dns.rrset.from_text(NAME, 60, "IN", kind, value))
        return reply.to_wire()

    return answer


def asked(answer, **check: Any):
    """Return what a check comes to that gets this answer."""

    async def run():
        async with answering(answer) as port:
            return await ask(port, type="dns", name="www.example.com", **check)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "check", "status", "code"),
    [
        (answered(), {}, "up", Code.L7OK),
        (answered(0, "A 192.0.2.1"), {"expect": "192.0.2.1"}, "up", Code.L7OK),
        (
            answered(0, "AAAA 2001:db8::1"),
            {"record": "AAAA", "expect": "2001:DB8:0::1"},
            "up",
            "L7OK",
        ),
        (
            answered(0, "CNAME web.example."),
            {"record": "CNAME", "expect": "Web.Example"},
            "up",
            "L7OK",
        ),
        (answered(0, "A 192.0.2.2"), {"expect": "192.0.2.1"}, "down", Code.L7RSP),
        (answered(0, "CNAME web.example."), {"expect": "web.example"}, "down", Code.L7RSP),
        (answered(2), {}, "down", Code.L7STS),
        (answered(3), {}, "down", Code.L7STS),
        (lambda said: said[:2] + b"garbage", {}, "down", Code.L7RSP),
        (lambda _: b"", {}, "down", Code.L7RSP),
        (lambda said: said, {}, "down", Code.L7RSP),
        (lambda said: answered()(b"\0\0" + said[2:]), {}, "down", Code.L7RSP),
    ],
)
def test_the_answer_decides(answer, check, status, code) -> None:
    """By its code, then by its records."""
    result = asked(answer, **check)

    assert (result.status, result.code) == (status, code), result.reason


def test_what_was_answered_is_told() -> None:
    """With the name that was asked for."""
    assert asked(answered(2)).reason == "SERVFAIL for www.example.com A"
    cut = asked(answered(0, flags=dns.flags.TC), expect="192.0.2.1")

    assert "cut short" in cut.reason


def test_a_server_that_is_silent_is_l7tout(monkeypatch) -> None:
    """As one that answers others."""
    never_late(monkeypatch)

    assert asked(lambda _: None, timeout=SHORT).code is Code.L7TOUT
