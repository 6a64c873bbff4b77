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
from tests.datapath import B1, B1_6, B2, B3, CLIENT, CLIENT6, VIP, VIP6
from tests.hostile import MTUS, SERVICES, config, seeds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BATCH = 24
SEEDS = seeds()
CHANGES: list[dict[str, Any]] = [
    SERVICES,
    {**SERVICES, "web": {**SERVICES["web"], "backends": [f"{B2}:8080", f"{B3}:8080"]}},
    {**SERVICES, "web": {**SERVICES["web"], "policy": "source-hash"}},
    {**SERVICES, "web": {**SERVICES["web"], "nat": "full", "unknown": "drop"}},
    {**SERVICES, "mixed": {**SERVICES["mixed"], "backends": [f"[{B1_6}]:8081"], "mss_clamp": True}},
    {**SERVICES, "plain": {**SERVICES["plain"], "datagrams": 2, "max_flows": 2}},
]
WORDS = ["", "state=established", "protocol=udp", "client=198.51.100.0/30"]


class Stream:
    """Draws packets from few enough ends that flows meet, and mutates some."""

    def __init__(self, seed: int) -> None:
        """Draw by this seed alone."""
        self.chance = random.Random(seed)

    def packet(self) -> tuple[bytes, PacketMeta]:
        """Return one more packet: of few ends, whose flows get on, or of any kind there is."""
        chance = self.chance
        packet = self._sound() if chance.random() < 0.3 else chance.choice(SEEDS)
        if chance.random() < 0.15:
            packet = self._mutated(packet)
        side = chance.choice([*[None] * 10, "public", "private"])
        unfinished = chance.random() < 0.1
        if unfinished and len(packet) > 60 and chance.random() < 0.9:
            packet = self._unfinished(packet)
        size = chance.choice([*[0] * 12, 1, 100, 1448, 65535])
        return packet, PacketMeta(side=side, unfinished_checksum=unfinished, segment_size=size)  # type: ignore[arg-type]

    def _ends(self) -> tuple[str, str, int]:
        chance = self.chance
        six, port = chance.random() < 0.3, chance.choice([80, 80, 53, 54, 81, 99])
        client = split_endpoint(CLIENT6 if six else CLIENT)[0] + chance.randrange(6)
        vip = VIP6 if six else VIP
        source = join_endpoint(client, 40000 + chance.randrange(4))
        destination = f"[{vip}]:{port}" if six else f"{vip}:{port}"
        if chance.random() < 0.5:
            backend = chance.choice([B1_6, "fd00:9::12"] if six else [B1, B2, B3])
            server = {80: 8080, 53: 5353, 54: 5454, 81: 8081}.get(port, 1234)
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
        if port in (53, 54) or chance.random() < 0.1:
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
    path = Engine(config(), seed, ttl=ttl, mtu=MTUS)  # type: ignore[arg-type]
    now = 0.0
    for number in range(steps):
        now += chance.choice([0.0, 0.0, 0.001, 0.1, 0.5, 3.0] if number % 20 else [130.0])
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
        sent = path.command(f"flush {chance.choice(WORDS)} --reset", now)
    elif drawn < 0.2:
        path.load(config(chance.choice(CHANGES)))
    elif drawn < 0.35:
        names = [f"{backend.service}/{backend.name}" for backend in path.backends()]
        state: Any = chance.choice(["ready", "ready", "draining", "maint"])
        health: Any = chance.choice([None, None, "up", "down"])
        weight = chance.choice([None, 0, 1, 2])
        sent = path.set_backend(chance.choice(names), state=state, weight=weight, health=health)
    return hashlib.sha256(b"".join(sent)).hexdigest()[:8] if sent else "-"


def _memory(path: Engine) -> Iterator[tuple[str, Any]]:
    """Yield all arrays there are, but the batch, whose spare slots keep what once was in them."""
    core = path._core
    for memory in (core.flows, core.counters, core.tables, core.sources, core.cooling):
        yield from memory._asdict().items()
    yield from _arrays(core.fragments._asdict().items())


def _arrays(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, value in named:
        if isinstance(value, tuple):
            yield from _arrays(value._asdict().items())  # type: ignore[attr-defined]
        else:
            yield name, value


if __name__ == "__main__":
    for line in play(int(sys.argv[1]), int(sys.argv[2])):
        print(line)  # noqa: T201 - it is what the other process is compared with
