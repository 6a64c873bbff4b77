from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from natlb.core.counters import (
    account_closing,
    account_ended,
    account_held_dropped,
    account_held_lost,
    account_no_longer_opening,
    account_opened,
    account_piece_unsent,
    account_released,
    account_unsent,
    account_verdict,
)
from natlb.core.layout import CLOSING, ESTABLISHED, OPENING, RECEIVED, ROW
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
    account_unsent(path._counters, 3, 300, outcome)
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


def test_what_is_held_moves_to_the_column_it_ends_in() -> None:
    """Received once, on arrival; octets too."""
    path = engine()
    counters, ends = path._counters, [FORWARD, PASS, drop(15), answered(ECHO)]
    for _ in range(6):
        account_verdict(counters, parsed(1, 100), HOLD, 0)
    assert path.stats().packets.held == 6
    for outcome in ends:
        account_released(counters, parsed(1, 100), outcome)
    account_held_dropped(counters, 16)
    stats = path.stats()

    assert stats.packets.held == 1
    assert stats.drops == {"fragment-timeout": 1, "fragment-limit": 1}
    assert stats.replies == {"echo": 1}
    assert (stats.bytes.received, stats.bytes.forwarded) == (600, 100)


def test_what_a_dead_worker_held_is_dropped() -> None:
    """It is gone: the sum holds for the next worker all the same."""
    path = engine()
    for _ in range(3):
        account_verdict(path._counters, parsed(1, 100), HOLD, 0)
    account_held_lost(path._counters)

    assert_counts_agree(path.stats())
    assert path.stats().packets.held == 0
    assert path.stats().drops == {"internal": 3}


def test_pieces_are_sent_and_their_packet_is_forwarded_once() -> None:
    """And lost once, with the first piece that is."""
    path = engine()
    account_verdict(path._counters, parsed(1, 3000), FORWARD, 3)
    counts = path.stats().packets
    assert (counts.forwarded, counts.sent) == (1, 3)
    account_unsent(path._counters, 1, 3000, FORWARD)
    account_piece_unsent(path._counters)
    counts = path.stats().packets

    assert_counts_agree(path.stats())
    assert (counts.forwarded, counts.dropped, counts.sent) == (0, 1, 1)


def test_a_flow_is_opening_or_closing_or_neither() -> None:
    """Counted for its backend and its service; when it ends, its state says what it was."""
    counters = make(Kind.COUNTERS)
    row = np.zeros(1, ROW)[0]
    row["state"], row["service"], row["backend"] = OPENING, 2, 5
    columns = counters.services[2], counters.backends[5]

    def counts() -> set[tuple[int, int, int, int]]:
        fields = "current", "opening", "closing", "total"
        assert counters.loads[5] == columns[1]["current"] - columns[1]["closing"]
        return {tuple(int(each[field]) for field in fields) for each in columns}  # type: ignore[misc]

    account_opened(counters, row)
    assert counts() == {(1, 1, 0, 1)}
    account_no_longer_opening(counters, row)
    assert counts() == {(1, 0, 0, 1)}
    account_closing(counters, row)
    assert counts() == {(1, 0, 1, 1)}
    account_ended(counters, row, CLOSING)
    assert counts() == {(0, 0, 0, 1)}
    account_opened(counters, row)
    account_no_longer_opening(counters, row)
    account_ended(counters, row, ESTABLISHED)
    assert counts() == {(0, 0, 0, 2)}
    assert counters.services["current"].sum() == counters.backends["closing"].sum() == 0
