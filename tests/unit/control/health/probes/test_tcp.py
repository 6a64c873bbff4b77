"""Checks by a connection alone."""

from __future__ import annotations

import asyncio

from natlb.control.health.codes import Code
from tests.unit.control.health.servers import CLOSED, against, ask, silent


def test_a_connection_is_enough() -> None:
    """The steps show where it went."""
    result = against(silent)

    assert (result.status, result.code) == ("up", Code.L4OK)
    assert [each.name for each in result.phases] == ["open", "connect"]
    assert " to 127.0.0.1:" in result.phases[1].seen


def test_a_refusal_is_l4con() -> None:
    """At once, not at the timeout."""
    result = asyncio.run(ask(CLOSED))

    assert (result.status, result.code) == ("down", Code.L4CON)
    assert result.reason == "connection refused"
