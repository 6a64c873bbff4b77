"""What fuzzing calls: octets in, packets through an engine, the laws held.

The input is a row of packets, each behind four octets: the side and the offload form, the time that
passes, and its length. Whatever they are, each packet gets a verdict, what goes out keeps the
invariants, the counts agree, and all memory keeps its laws.

One engine takes all inputs, but none sees another's: before each the timers run out, after which
nothing may be left (I5), and what is drawn is drawn from the start. So an input that breaks a law
breaks it alone.
"""

from __future__ import annotations

import struct
from pathlib import Path

from natlb.core.batch import start_batch
from natlb.core.layout import DRAWS, IDENTIFICATION
from natlb.core.pipeline import process_batch
from natlb.core.policy import pick
from natlb.engine import PacketMeta, Verdict
from tests.datapath import assert_counts_agree
from tests.hostile import MTUS, all_broken_laws, engine
from tests.invariants import Left, judge, left_by
from tests.words import packet_of

CORPUS = Path(__file__).with_name("corpus.txt")
SIDES = (None, "public", "private", None)
HEAD = struct.Struct("!BBH")
LEAP = 200.0  # seconds: all timers have run out, all ports cooled down


class Harness:
    """One engine that lives through all inputs, as a worker does."""

    def __init__(self) -> None:
        """Start it."""
        self.engine = engine()
        self._now = 0.0

    def take(self, octets: bytes) -> None:
        """Send what the input names, and hold the laws; AssertionError where one is broken."""
        path = self.engine
        self._begin_anew()
        for packet, meta, seconds in conversation(octets):
            self._now += seconds
            self.send(packet, meta)
        path.tick(self._now)
        stats = path.stats()
        assert "internal" not in stats.drops
        assert_counts_agree(stats)
        faults = all_broken_laws(path)
        assert not faults, faults

    def send(self, packet: bytes, meta: PacketMeta) -> tuple[Verdict, list[Left]]:
        """Send a packet, whose exception is not caught here, and hold the invariants for it."""
        path = self.engine
        path._advance(self._now)
        path._place(0, packet, meta)
        arrived = int(path._batch.frames[0]["way"])
        start_batch(path._batch, 1)
        process_batch(path._core, path._now_ms, path._hops, pick)
        (found,) = left_by(path)
        judge(found[0], packet, arrived, found[1], MTUS, unfinished=meta.unfinished_checksum)
        return found

    def _begin_anew(self) -> None:
        """Let all that was run out, and draw as in an engine that begins."""
        path = self.engine
        self._now += LEAP
        path.tick(self._now)
        assert not path._flows.buckets.any()
        path._flows.meta[[DRAWS, IDENTIFICATION]] = 1, 0
        path._counters.policy[:] = 0


def conversation(octets: bytes) -> list[tuple[bytes, PacketMeta, float]]:
    """Return an input's packets, each with its side and offload form, and the time before it."""
    found, at = [], 0
    while at + HEAD.size <= len(octets):
        form, seconds, length = HEAD.unpack_from(octets, at)
        at += HEAD.size
        meta = PacketMeta(
            side=SIDES[form & 3],  # type: ignore[arg-type]
            unfinished_checksum=bool(form & 4),
            segment_size=(0, 0, 1, 1448)[form >> 3 & 3],
        )
        found.append((octets[at : at + length], meta, (seconds & 15) * (seconds >> 4) / 10))
        at += length
    return found


def corpus() -> list[bytes]:
    """Return the inputs that fuzzing begins with."""
    inputs: list[bytes] = []
    packet = b""
    for line in CORPUS.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        packet = packet_of(line.removeprefix("+ "), packet)
        octets = HEAD.pack(0, 0, len(packet)) + packet
        if line.startswith("+"):
            inputs[-1] += octets
        else:
            inputs.append(octets)
    return inputs
