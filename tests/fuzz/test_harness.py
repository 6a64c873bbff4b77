"""What fuzzing begins with goes through and reaches far, and a broken law would be seen."""

from __future__ import annotations

from collections import Counter

import pytest

from natlb.core.layout import RECEIVED
from natlb.engine import PacketMeta, Verdict
from tests.fuzz.harness import HEAD, Harness, conversation, corpus
from tests.invariants import Left, judge


def test_every_input_of_the_corpus_keeps_the_laws() -> None:
    """In one engine, one behind the other."""
    fuzzed = Harness()
    for octets in corpus():
        fuzzed.take(octets)
    verdicts = fuzzed.engine.stats().packets

    assert verdicts.forwarded > 30
    assert verdicts.received == sum(len(conversation(octets)) for octets in corpus())


class Watched(Harness):
    """One that keeps what became of each packet."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        super().__init__()
        self.seen: list[tuple[bytes, Verdict, list[Left]]] = []

    def send(self, packet: bytes, meta: PacketMeta) -> tuple[Verdict, list[Left]]:
        """Send a packet, and keep its fate."""
        verdict, several = super().send(packet, meta)
        self.seen.append((packet, verdict, several))
        return verdict, several


def test_the_corpus_reaches_far() -> None:
    """Every verdict; packets and errors within a version and across, both ways; pieces."""
    fuzzed = Watched()
    for octets in corpus():
        fuzzed.take(octets)
    kinds: Counter[str] = Counter(verdict.name for _, verdict, _ in fuzzed.seen)
    for packet, verdict, several in fuzzed.seen:
        if verdict is Verdict.FORWARD:
            out = several[0].octets
            is_error = out[9 if out[0] >> 4 == 4 else 6] in (1, 58)
            kinds[f"{packet[0] >> 4}{out[0] >> 4}{' error' if is_error else ''}"] += 1
            kinds["in pieces"] += len(several) > 1
    wanted = {"44", "46", "64", "66", "44 error", "46 error", "64 error", "66 error", "in pieces"}

    assert {*wanted, *(verdict.name for verdict in Verdict)} <= set(+kinds)


def test_inputs_do_not_see_each_other() -> None:
    """The same one has the same packets sent, whatever came before."""
    inputs = corpus()
    for octets in inputs:
        fuzzed = Watched()
        fuzzed.take(octets)
        first, fuzzed.seen = fuzzed.seen, []
        fuzzed.take(inputs[0])
        fuzzed.seen = []
        fuzzed.take(octets)
        assert fuzzed.seen == first


def test_a_broken_law_is_seen() -> None:
    """A count that does not add up, and a packet that leaves with another sum than it came."""
    fuzzed = Harness()
    fuzzed.engine._counters.totals[RECEIVED] += 1
    with pytest.raises(AssertionError):
        fuzzed.take(corpus()[0])
    fuzzed = Harness()
    fuzzed.take(corpus()[0])
    packet, meta, _ = conversation(corpus()[0])[1]
    wrong = Left(packet[:30] + b"\1" + packet[31:], 1)
    with pytest.raises(AssertionError):
        judge(Verdict.PASS, packet, 0, [wrong], (1500, 1500), unfinished=bool(meta.side))


def test_any_octets_are_a_conversation() -> None:
    """Cut off anywhere."""
    octets = HEAD.pack(7, 0x11, 5) + b"12345" + HEAD.pack(1, 0, 9) + b"123"
    found = conversation(octets)

    assert [packet for packet, _, _ in found] == [b"12345", b"123"]
    assert conversation(octets[:3]) == []
