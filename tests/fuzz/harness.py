"""What fuzzing calls: octets in, packets through an engine, the laws held.

The input is a row of packets, each behind four octets: the side and the offload form, the time that
passes, and its length. Whatever they are, each packet gets a verdict, the counts agree, and the
flow table keeps its laws.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from natlb.engine import Engine, PacketMeta
from tests.datapath import assert_counts_agree, broken_laws
from tests.words import packet_of

CORPUS = Path(__file__).with_name("corpus.txt")
SIDES = (None, "public", "private", None)
LAWS_EVERY = 64
HEAD = struct.Struct("!BBH")

CONFIG: dict[str, Any] = {
    "datapath": {
        "max_flows": 24,
        "fragments": 8,
        "source": ["10.9.0.100", "fd00:9::100"],
        "source_ports": "2000-2015",
        "max_flows_per_source": 12,
    },
    "timeouts": {"tcp_established": 60, "tcp_opening": 10, "udp": 20, "udp_unreplied": 10},
    "services": {
        "web": {
            "listen": ["tcp://203.0.113.10:80", "tcp://[2001:db8:f::10]:80"],
            "backends": ["10.9.0.11:8080", "[fd00:9::11]:8080"],
            "mss_clamp": 1200,
        },
        "dns": {
            "listen": ["udp://203.0.113.10:53", "udp://[2001:db8:f::10]:53"],
            "backends": ["10.9.0.11:5353", "[fd00:9::11]:5353"],
            "datagrams": 1,
        },
        "full": {
            "listen": ["tcp://203.0.113.11:80", "tcp://[2001:db8:f::11]:80"],
            "backends": ["10.9.0.12:8080", "[fd00:9::12]:8080"],
            "nat": "full",
            "max_flows": 8,
        },
        "plain": {
            "listen": ["udp://203.0.113.11:53", "udp://[2001:db8:f::11]:53"],
            "backends": ["10.9.0.12:5353", "[fd00:9::12]:5353"],
            "access": {"deny": ["198.51.100.128/25"]},
        },
    },
}


class Harness:
    """One engine that lives through all inputs, as a worker does."""

    def __init__(self) -> None:
        """Start it."""
        self.engine = Engine(CONFIG, mtu=(1500, 1400))
        self._now = 0.0
        self._inputs = 0

    def take(self, octets: bytes) -> None:
        """Send what the input names, and hold the laws; AssertionError where one is broken."""
        for packet, meta, seconds in conversation(octets):
            self._now += seconds
            self.engine.process(packet, self._now, meta)
        self.engine.tick(self._now)
        stats = self.engine.stats()
        assert "internal" not in stats.drops, "a packet raised"
        assert_counts_agree(stats)
        self._inputs += 1
        if self._inputs % LAWS_EVERY == 0:
            faults = broken_laws(self.engine._flows, self.engine._counters)
            assert not faults, faults


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
