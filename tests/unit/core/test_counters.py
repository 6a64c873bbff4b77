from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from natlb.core.counters import account_unsent, account_verdict
from natlb.core.layout import RECEIVED
from natlb.core.memory import Kind, make
from natlb.core.verdict import ECHO, FORWARD, HOLD, PASS, DropReason, answered, drop
from natlb.wire.parsed import PARSED
from tests.datapath import assert_counts_agree, engine
from tests.kernels import needs_plain_kernels

needs_plain_kernels()

OUTCOMES = [FORWARD, PASS, drop(1), drop(23), answered(ECHO), answered(6)]


def parsed(segments: int, octets: int) -> Any:
    """Return what counters read of a packet."""
    record = np.zeros(1, PARSED)[0]
    record["segments"], record["wire_bytes"] = segments, octets
    return record


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_fate_has_its_counter(outcome: int) -> None:
    """As many packets as went on the wire; received is the sum of the fates."""
    path = engine()
    account_verdict(path._counters, parsed(3, 300), outcome, 1)
    stats = path.stats()

    assert_counts_agree(stats)
    assert stats.packets.received == 3
    assert stats.bytes.received == 300
    assert stats.bytes.forwarded == (300 if outcome == FORWARD else 0)
    expected = {FORWARD: 3, PASS: 3, drop(1): 0, drop(23): 0}.get(outcome, 1)
    assert stats.packets.sent == expected


@pytest.mark.parametrize("outcome", [each for each in OUTCOMES if each not in (drop(1), drop(23))])
def test_what_could_not_be_written_was_dropped_after_all(outcome: int) -> None:
    """`queue-full`; and nothing else is left of its first counting."""
    path = engine()
    account_verdict(path._counters, parsed(3, 300), outcome, 1)
    account_unsent(path._counters, parsed(3, 300), outcome)
    stats = path.stats()

    assert_counts_agree(stats)
    assert stats.drops == {"queue-full": 3}
    assert stats.replies == {}
    assert (stats.packets.received, stats.packets.dropped, stats.packets.sent) == (3, 3, 0)
    assert stats.bytes.forwarded == 0


def test_every_reason_has_room() -> None:
    """As a drop and as an answer."""
    counters = make(Kind.COUNTERS)
    for reason in DropReason:
        account_verdict(counters, parsed(1, 40), drop(int(reason)), 0)
        account_verdict(counters, parsed(1, 40), answered(int(reason)), 1)

    assert counters.totals[RECEIVED] == 2 * len(DropReason)
    assert counters.drops.sum() == counters.replies.sum() == len(DropReason)


def test_no_packet_is_held_yet() -> None:
    """The verdict exists; the gauge is the contract's."""
    assert HOLD not in [outcome & 0xFF for outcome in OUTCOMES]
    assert engine().stats().packets.held == 0
