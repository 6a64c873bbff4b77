"""A seeded stream of packets, commands and changes, and what an engine makes of it, step by step.

Run as a program it prints a line for each step: two processes that are given the same seed, one
compiled and one interpreted, must print the same.
"""

from __future__ import annotations

import hashlib
import random
import sys
from typing import TYPE_CHECKING, Any

from natlb.engine import Engine, PacketMeta
from natlb.testing import packets
from natlb.testing.packets import Header, join_endpoint, split_endpoint
from tests.datapath import B1, B1_6, B2, B3, CLIENT, CLIENT6, SERVICES, VIP, VIP6, config

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 24
NAMES = [f"web/{B1}:8080", f"web/{B2}:8080", f"dns/{B1}:5353", f"web6/[{B1_6}]:8080"]
ADDED = {**SERVICES, "web": {**SERVICES["web"], "backends": [f"{B2}:8080", f"{B3}:8080"]}}
HASHED = {**SERVICES, "web": {**SERVICES["web"], "policy": "source-hash"}}
TIMEOUTS = {
    "tcp_established": 60,
    "tcp_opening": 9,
    "tcp_transitory": 7,
    "udp": 11,
    "udp_unreplied": 5,
}


class Stream:
    """Draws packets from few enough ends that flows meet, and mutates some."""

    def __init__(self, seed: int) -> None:
        """Draw by this seed alone."""
        self.chance = random.Random(seed)

    def packet(self) -> tuple[bytes, PacketMeta]:
        """Return one more packet."""
        chance = self.chance
        packet = self._sound()
        if chance.random() < 0.25:
            packet = self._mutated(packet)
        side = chance.choice([None, None, None, None, "public", "private"])
        unfinished = chance.random() < 0.2
        if unfinished and len(packet) > 60 and chance.random() < 0.9:
            packet = self._unfinished(packet)
        size = chance.choice([0, 0, 0, 1, 100, 1448, 65535])
        return packet, PacketMeta(side=side, unfinished_checksum=unfinished, segment_size=size)  # type: ignore[arg-type]

    def _ends(self) -> tuple[str, str, int]:
        chance = self.chance
        six, port = chance.random() < 0.3, chance.choice([80, 53, 99])
        client = split_endpoint(CLIENT6 if six else CLIENT)[0] + chance.randrange(6)
        vip = VIP6 if six else VIP
        source = join_endpoint(client, 40000 + chance.randrange(4))
        destination = f"[{vip}]:{port}" if six else f"{vip}:{port}"
        if chance.random() < 0.5:
            backend = chance.choice([B1_6, "fd00:9::12"] if six else [B1, B2, B3])
            server = {80: 8080, 53: 5353}.get(port, 1234)
            return (f"[{backend}]:{server}" if six else f"{backend}:{server}"), source, port
        return source, destination, port

    def _sound(self) -> bytes:
        chance = self.chance
        source, destination, port = self._ends()
        header = Header(
            ttl=chance.choice([64, 64, 64, 2, 1, 0]),
            tos=chance.randrange(256),
            identification=chance.randrange(65536),
            dont_fragment=chance.random() < 0.8,
            more_fragments=chance.random() < 0.02,
            options=b"\1\1\1\1" if chance.random() < 0.02 else b"",
        )
        payload = chance.choice([b"", b"x", b"hello", bytes(chance.choice([64, 1300, 3001]))])
        if chance.random() < 0.06:
            return self._icmp(source, destination, header)
        if port == 53 or chance.random() < 0.1:
            checksum = chance.choice([None, None, None, 0])
            return packets.udp(source, destination, payload, checksum=checksum, header=header)
        return packets.tcp(
            source,
            destination,
            chance.choice(["S", "S", "SA", "A", "A", "PA", "FA", "R", "RA", "SF", ""]),
            sequence=chance.getrandbits(32),
            acknowledgement=chance.getrandbits(32),
            payload=payload,
            options=bytes(chance.choice([0, 0, 12])),
            header=header,
        )

    def _icmp(self, source: str, destination: str, header: Header) -> bytes:
        here, there = (str(split_endpoint(each)[0]) for each in (source, destination))
        kind = self.chance.choice([0, 3, 5, 8, 11, 128, 1, 2, 135, 137])
        return packets.icmp(here, there, kind, 0, 7, bytes(40), header=header)

    def _unfinished(self, packet: bytes) -> bytes:
        at = packets.transport_at(packet)
        is_whole = packets.read(packet).protocol in (6, 17) and len(packet) >= at + 20
        return packets.unfinished(packet) if is_whole else packet

    def _mutated(self, packet: bytes) -> bytes:
        chance, octets = self.chance, bytearray(packet)
        for _ in range(chance.randrange(1, 4)):
            octets[chance.randrange(min(len(octets), 60))] = chance.randrange(256)
        del octets[len(octets) - chance.choice([0, 0, 1, 17]) :]
        if octets[0] >> 4 == 4 and len(octets) >= 60 and chance.random() < 0.7:
            header = (octets[0] & 15) * 4
            octets[10:12] = b"\0\0"
            octets[10:12] = (~packets.sum_words(bytes(octets[:header])) & 0xFFFF).to_bytes(2)
        return bytes(octets)


def play(seed: int, steps: int) -> Iterator[str]:
    """Yield what each step came to, and at the end all memory."""
    stream = Stream(seed)
    chance = stream.chance
    ttl = chance.choice(["route", "direct", "own"])
    path = Engine(config(timeouts=TIMEOUTS, max_flows=40), seed, ttl=ttl, mtu=(1400, 1280))  # type: ignore[arg-type]
    now = 0.0
    for number in range(steps):
        now += chance.choice([0.0, 0.0, 0.001, 0.5, 3.0])
        batch = [stream.packet() for _ in range(BATCH)]
        results = path.process_batch([p for p, _ in batch], now, [meta for _, meta in batch])
        digest = hashlib.sha256()
        for result in results:
            digest.update(
                repr((result.verdict, result.reason, result.packets, result.sides)).encode()
            )
        verdicts = "".join(str(int(result.verdict)) for result in results)
        yield f"{number} {verdicts} {digest.hexdigest()[:16]} {_change(path, chance, now)}"
    for name, array in _memory(path):
        yield f"{name} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"
    yield repr(path.stats())
    yield repr(path.flows())


def _change(path: Engine, chance: random.Random, now: float) -> str:
    """Do something else now and then; return what it sent."""
    sent: list[bytes] = []
    drawn = chance.random()
    if drawn < 0.1:
        sent = path.tick(now)
    elif drawn < 0.15:
        words = chance.choice(["", "state=established", "protocol=udp", "client=198.51.100.0/30"])
        sent = path.command(f"flush {words} --reset", now)
    elif drawn < 0.2:
        path.load(config(chance.choice([SERVICES, ADDED, HASHED]), timeouts=TIMEOUTS, max_flows=40))
    elif drawn < 0.3:
        known = {f"{backend.service}/{backend.name}" for backend in path.backends()}
        name = chance.choice(NAMES)
        state: Any = chance.choice(["ready", "ready", "draining", "maint"])
        if name in known:
            sent = path.set_backend(name, state=state, weight=chance.randrange(3))
    return hashlib.sha256(b"".join(sent)).hexdigest()[:8] if sent else "-"


def _memory(path: Engine) -> Iterator[tuple[str, Any]]:
    for memory in (path._flows, path._counters, path._core.tables):
        yield from memory._asdict().items()


if __name__ == "__main__":
    for line in play(int(sys.argv[1]), int(sys.argv[2])):
        print(line)  # noqa: T201 - it is what the other process is compared with
