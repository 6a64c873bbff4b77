"""What fuzzing begins with goes through, and a broken law would be seen."""

from __future__ import annotations

import pytest

from natlb.core.layout import RECEIVED
from tests.fuzz.harness import HEAD, Harness, conversation, corpus


def test_every_input_of_the_corpus_keeps_the_laws() -> None:
    """In one engine, one behind the other."""
    harness = Harness()
    for octets in corpus():
        harness.take(octets)
    verdicts = harness.engine.stats().packets

    assert verdicts.forwarded > 10
    assert verdicts.received == sum(len(conversation(octets)) for octets in corpus())


def test_a_broken_law_is_seen() -> None:
    """A count that does not add up."""
    harness = Harness()
    harness.engine._counters.totals[RECEIVED] += 1
    with pytest.raises(AssertionError):
        harness.take(corpus()[0])


def test_any_octets_are_a_conversation() -> None:
    """Cut off anywhere."""
    octets = HEAD.pack(7, 0x11, 5) + b"12345" + HEAD.pack(1, 0, 9) + b"123"
    found = conversation(octets)

    assert [packet for packet, _, _ in found] == [b"12345", b"123"]
    assert conversation(octets[:3]) == []
