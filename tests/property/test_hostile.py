"""Mutated packets by the million, in batches as a worker turns them.

Each gets a verdict and a counter, none an exception; and what goes out keeps the invariants: sums
as right or as wrong as they came (I1), nothing changed but ends and sums (I2), no private address
on the public side (I3), one packet out for one in (I4), a sound table behind all of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import settings

from natlb import jit
from natlb.core.batch import OUTPUT, start_batch
from natlb.core.layout import HEADROOM, PRIVATE, PUBLIC
from natlb.core.lifetime import sweep_all
from natlb.core.pipeline import process_batch
from natlb.core.policy import pick
from natlb.core.state import TTL_ROUTE
from natlb.engine import BATCH, Engine, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header
from tests.datapath import (
    B1,
    B1_6,
    B2,
    B2_6,
    CLIENT,
    CLIENT6,
    VIP,
    VIP6,
    assert_counts_agree,
    broken_laws,
    config,
)

EXAMPLES = settings.default.max_examples  # type: ignore[union-attr]
# A million in CI's profile; interpreted, a fiftieth of that takes as long
PACKETS = EXAMPLES * (2000 if EXAMPLES >= 500 else 500) // (1 if jit.COMPILED else 20)
CALLS, ANSWERS = ("S", "A", "PA", "FA", "R"), ("SA", "A", "FA")
WIDTH = 320  # octets that a packet may have here
PRIVATE_ADDRESSES = [packets.split_endpoint(address)[0].packed for address in (B1, B2, B1_6, B2_6)]
FORWARD, PASS, REPLY, DROP = (
    int(verdict) for verdict in (Verdict.FORWARD, Verdict.PASS, Verdict.REPLY, Verdict.DROP)
)


def seeds() -> list[bytes]:
    """Return sound packets of every kind, between few ends, so that flows come about."""
    found = [packets.echo_request(CLIENT, VIP), packets.echo_request(CLIENT6, VIP6)]
    for port in range(40000, 40006):
        for client, vip, backend in (
            (f"{CLIENT}:{port}", VIP, f"{B1}"),
            (f"[{CLIENT6}]:{port}", f"[{VIP6}]", f"[{B1_6}]"),
        ):
            vip_port, odd = f"{vip}:80", b"odd"
            found += [packets.tcp(client, vip_port, each, payload=odd) for each in CALLS]
            for other in (backend, backend.replace("11", "12")):
                server = f"{other}:8080"
                found += [packets.tcp(server, client, each, payload=odd) for each in ANSWERS]
                found.append(packets.udp(f"{other}:5353", client, bytes(200)))
                found.append(packets.tcp(f"{other}:999", client))
            found += [packets.udp(client, f"{vip}:{dns}", odd) for dns in (53, 54)]
    tails = Header(dont_fragment=False, fragment_offset=3)
    options = Header(options=b"\x07\x07\x04\0\0\0\0\0")
    found += [
        packets.udp(f"{CLIENT}:40000", f"{VIP}:53", b"zero", checksum=0),
        packets.udp(f"{CLIENT}:40000", f"{VIP}:53", bytes(16), header=tails),
        packets.udp(f"{B1}:5353", f"{CLIENT}:40000", bytes(16), header=tails),
        packets.tcp(f"{CLIENT}:40000", f"{VIP}:80", header=options),
        packets.icmp(CLIENT, VIP, 3, 4, 1300, packets.tcp(f"{VIP}:80", f"{CLIENT}:40000", "A")),
        packets.icmp(B1, CLIENT, 3, 3, 0, packets.udp(f"{CLIENT}:40000", f"{B1}:5353")),
    ]
    ends = [packets.split_endpoint(each)[0] for each in (CLIENT6, VIP6)]
    segment = packets.tcp(f"[{CLIENT6}]:40000", f"[{VIP6}]:80")[40:]
    for first, text in (
        (0, b"\x06\0\1\4\0\0\0\0"),
        (60, b"\x2c\0\1\4\0\0\0\0\x06\0\0\1\0\0\0\x63"),
        (43, b"\x06\0\4\0\0\0\0\0"),
        (44, b"\x06\0\0\0\0\0\0\x63"),
        (51, b"\x06\4" + bytes(22)),
    ):
        found.append(packets.ip(ends[0], ends[1], first, text + segment))
    return found


class Mutator:
    """Fills an engine's batch with mutations of sound packets, a whole batch at a time."""

    def __init__(self, seed: int, engine: Engine) -> None:
        """Draw by this seed."""
        self.chance = np.random.default_rng(seed)
        self.batch = engine._batch
        sound = seeds()
        self.lengths = np.array([len(packet) for packet in sound])
        self.octets = np.zeros((len(sound), WIDTH), np.uint8)
        for at, packet in enumerate(sound):
            self.octets[at, : len(packet)] = np.frombuffer(packet, np.uint8)

    def fill(self) -> None:
        """Make the next batch."""
        chance, frames = self.chance, self.batch.frames
        chosen = chance.integers(0, len(self.lengths), BATCH)
        octets, lengths = self.octets[chosen], self.lengths[chosen].copy()
        self._mutate(octets, lengths)
        self.batch.slots[:BATCH, HEADROOM : HEADROOM + WIDTH] = octets
        frames[:] = 0
        frames["slot"] = np.arange(BATCH)
        frames["start"] = HEADROOM
        frames["length"] = lengths
        from_backends = (octets[:, 12] == 10) | (octets[:, 8] == 0xFD)
        frames["way"] = np.where(chance.random(BATCH) < 0.1, 1 - from_backends, from_backends)
        self._offload(octets, frames)

    def _mutate(self, octets: Any, lengths: Any) -> None:
        chance, rows = self.chance, np.arange(BATCH)
        for _ in range(4):
            hit = rows[chance.random(BATCH) < 0.25]
            places = chance.integers(0, np.minimum(lengths[hit], 64))
            octets[hit, places] = chance.integers(0, 256, hit.size)
        cut = chance.random(BATCH) < 0.1
        lengths[cut] = chance.integers(0, lengths[cut] + 1)
        longer = chance.random(BATCH) < 0.1
        lengths[longer] += chance.integers(0, 40, int(longer.sum()))
        mended = (octets[:, 0] == 0x45) & (chance.random(BATCH) < 0.8)
        octets[mended, 10:12] = 0
        words = octets[mended, :20].astype(np.int64).reshape(-1, 10, 2)
        totals = (words[:, :, 0] << 8 | words[:, :, 1]).sum(axis=1)
        totals = (totals & 0xFFFF) + (totals >> 16)
        totals = ~((totals & 0xFFFF) + (totals >> 16)) & 0xFFFF
        octets[mended, 10], octets[mended, 11] = totals >> 8, totals & 0xFF

    def _offload(self, octets: Any, frames: Any) -> None:
        """Give some an offload form: most of these fit, some lie."""
        chance = self.chance
        given = np.flatnonzero(chance.random(BATCH) < 0.15)
        six = octets[given, 0] >> 4 == 6
        protocol = np.where(six, octets[given, 6], octets[given, 9])
        frames["needs_checksum"][given] = 1
        frames["checksum_start"][given] = np.where(six, 40, 20)
        frames["checksum_offset"][given] = np.where(protocol == 6, 16, 6)
        cut = given[chance.random(given.size) < 0.5]
        frames["gso_type"][cut] = chance.choice([1, 4, 5, 0x81, 3, 77], cut.size)
        frames["gso_size"][cut] = chance.choice([0, 1, 3, 1448, 65535], cut.size)
        lies = given[chance.random(given.size) < 0.2]
        for name in ("checksum_start", "checksum_offset", "needs_checksum"):
            frames[name][lies] = chance.integers(0, 100, lies.size)


def changed_places(before: bytes, after: bytes, *, original: bool) -> set[int]:
    """Return the octets that differ and may not, of a packet that was translated."""
    at = packets.transport_at(before)
    checksum = at + (16 if packets.read(before).protocol == 6 else 6)
    if at == 40:
        addresses = range(24, 40) if original else range(8, 24)
        header: list[int] = []
    else:
        addresses = range(16, 20) if original else range(12, 16)
        header = [10, 11]
    port = [at + 2, at + 3] if original else [at, at + 1]
    allowed = {*addresses, *header, *port, checksum, checksum + 1}
    return {at for at, (a, b) in enumerate(zip(before, after, strict=True)) if a != b} - allowed


def judge_batch(engine: Engine, before: list[bytes]) -> np.ndarray:
    """Hold every invariant for a batch that was turned; return how many had which verdict."""
    batch = engine._batch
    verdicts, reasons = batch.outcomes & 0xFF, batch.outcomes >> 8
    frames = batch.frames.copy()
    output = batch.output[: int(batch.numbers[OUTPUT])]
    assert set(np.unique(verdicts)) <= {FORWARD, PASS, REPLY, DROP}
    assert ((reasons > 0) | (verdicts != DROP)).all()
    slots = output["slot"]
    assert len(np.unique(slots)) == len(slots)
    assert set(slots.tolist()) == set(np.flatnonzero(verdicts != DROP).tolist())
    for out in output:
        slot, start, length = int(out["slot"]), int(out["start"]), int(out["length"])
        packet = batch.slots[slot, start : start + length].tobytes()
        came, way, verdict = before[slot], int(out["way"]), int(verdicts[slot])
        arrived = int(frames["way"][slot])
        assert len(packet) == length
        if verdict == PASS:
            assert packet == came
            assert way == 1 - arrived
            continue
        if verdict == REPLY:
            assert not packets.faults(packet)
            assert way == arrived
        if verdict == FORWARD:
            judge_translation(came[:length], packet, out, arrived)
            assert way == 1 - arrived
        if way == PUBLIC:
            told = [a for a in PRIVATE_ADDRESSES if a in packet and a not in came]
            assert not told
    return np.bincount(verdicts, minlength=6)


def judge_translation(came: bytes, packet: bytes, out: Any, arrived: int) -> None:
    """Hold I1 and I2 for a packet of a flow."""
    assert not changed_places(came, packet, original=arrived == PUBLIC)
    ends = packets.read(came), packets.read(packet)
    assert ends[0].ttl == ends[1].ttl
    if out["needs_checksum"]:
        came, packet = packets.finished(came), packets.finished(packet)
    assert packets.faults(came) == packets.faults(packet)


def test_mutated_packets_by_the_million_break_nothing() -> None:
    """10^6 of them in CI's profile."""
    timeouts = {"tcp_opening": 4, "tcp_transitory": 2, "udp": 3, "udp_unreplied": 2}
    path = Engine(config(timeouts=timeouts, max_flows=30))
    mutator = Mutator(1, path)
    verdicts, turns, now = np.zeros(6, np.int64), PACKETS // BATCH, 0
    for turn in range(turns):
        mutator.fill()
        before = [
            path._batch.slots[at, HEADROOM : HEADROOM + int(length)].tobytes()
            for at, length in enumerate(path._batch.frames["length"])
        ]
        now += int(mutator.chance.integers(0, 200))
        start_batch(path._batch, BATCH)
        process_batch(path._core, now, TTL_ROUTE, pick)
        verdicts += judge_batch(path, before)
        if turn % 50 == 49:
            sweep_all(path._core, now)
            assert not broken_laws(path._flows, path._counters)

    stats = path.stats()
    assert_counts_agree(stats)
    assert "internal" not in stats.drops
    for verdict in (FORWARD, PASS, REPLY, DROP):
        assert verdicts[verdict] > turns, verdicts
    assert len(stats.drops) >= 7
    assert {"echo", "no-service", "out-of-state"} <= set(stats.replies)
    assert stats.flows.opened > turns // 4
    assert stats.flows.peak == 30
    sweep_all(path._core, now + 10_000_000)
    assert not path.flows()
    assert not path._flows.buckets.any()
    assert PRIVATE != PUBLIC
