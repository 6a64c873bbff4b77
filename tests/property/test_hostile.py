"""Mutated packets by the million, in batches as a worker turns them.

Each gets a verdict and a counter, none an exception; and what goes out keeps the invariants: sums
as right or as wrong as they came (I1), nothing changed but ends and sums (I2), no private address
on the public side (I3), one packet out for one in, or its pieces (I4); the laws of all memory
behind all of it, and nothing left in the end (I5). Everything is configured at once.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import settings

from natlb import jit
from natlb.core.batch import start_batch
from natlb.core.housekeeping import keep_house
from natlb.core.layout import HEADROOM, STATE_LABELS
from natlb.core.pipeline import process_batch
from natlb.core.policy import pick
from natlb.core.state import TTL_ROUTE
from natlb.engine import BATCH, Engine, Verdict
from tests.datapath import assert_counts_agree
from tests.hostile import MTUS, all_broken_laws, engine, seeds, talks
from tests.invariants import Left, judge, left_by

EXAMPLES = settings.default.max_examples  # type: ignore[union-attr]
# Ten million in the profile of `make fuzz`; interpreted as few as meet everything
MOST_PACKETS = 10_000_000
PACKETS = min(MOST_PACKETS, EXAMPLES * (2000 if EXAMPLES >= 500 else 500))
PACKETS = PACKETS if jit.COMPILED else max(PACKETS // 5, 10_000)
AT_ONCE = 16 * BATCH  # mutated together: most of the time is numpy's, for each call
TALKS = 32  # connections among the packets of each lot
WIDTH = 1600  # octets that a packet may have here
LAWS_EVERY = 100  # batches
LEAP = 40  # batches until all timers run out, and ports have cooled down


class Mutator:
    """Fills an engine's batch with mutations of sound packets, a whole batch at a time."""

    def __init__(self, seed: int, path: Engine) -> None:
        """Draw by this seed."""
        self.chance = np.random.default_rng(seed)
        self.batch = path._batch
        sound, talking = seeds(), talks()
        self._talks = []
        for talk in talking:
            self._talks.append(np.arange(len(sound), len(sound) + len(talk)))
            sound += talk
        self.lengths = np.array([len(packet) for packet in sound])
        self.octets = np.zeros((len(sound), WIDTH), np.uint8)
        for at, packet in enumerate(sound):
            self.octets[at, : len(packet)] = np.frombuffer(packet, np.uint8)
        self._at = AT_ONCE
        self._made: Any = None
        self._forms = np.zeros(AT_ONCE, self.batch.frames.dtype)

    def fill(self) -> list[bytes]:
        """Make the next batch, and return its packets."""
        if self._at == AT_ONCE:
            self._make()
            self._at = 0
        some = slice(self._at, self._at + BATCH)
        self._at += BATCH
        octets, forms = self._made[some], self._forms[some]
        longest = int(forms["length"].max())
        self.batch.slots[:BATCH, HEADROOM : HEADROOM + longest] = octets[:, :longest]
        self.batch.frames[:] = forms
        self.batch.frames["slot"] = np.arange(BATCH)
        return [row[:end].tobytes() for row, end in zip(octets, forms["length"], strict=True)]

    def _make(self) -> None:
        chance, frames = self.chance, self._forms
        chosen = chance.integers(0, len(self.lengths), AT_ONCE)
        is_left = self._let_talk(chosen)
        octets, lengths = self.octets[chosen], self.lengths[chosen].copy()
        self._mutate(octets, lengths, np.flatnonzero(~is_left))
        frames[:] = 0
        frames["start"] = HEADROOM
        frames["length"] = lengths
        from_backends = (octets[:, 12] == 10) | (octets[:, 8] == 0xFD)
        is_wrong = chance.random(AT_ONCE) < 0.03
        frames["way"] = np.where(is_wrong, 1 - from_backends, from_backends)
        self._offload(octets, frames)
        self._made = octets

    def _let_talk(self, chosen: Any) -> Any:
        """Have some connections among the others, and return which packets to leave as they are."""
        chance, is_left = self.chance, np.zeros(AT_ONCE, bool)
        for start in range(0, AT_ONCE - AT_ONCE // TALKS, AT_ONCE // TALKS):
            talk = self._talks[chance.integers(0, len(self._talks))]
            places = start + 2 * np.arange(len(talk))
            chosen[places] = talk
            is_left[places] = chance.random(len(talk)) < 0.9
        return is_left

    def _mutate(self, octets: Any, lengths: Any, rows: Any) -> None:
        """Change octets of about half of these packets, and cut or lengthen some."""
        chance = self.chance
        for _ in range(4):
            hit = rows[chance.random(rows.size) < 0.15]
            places = chance.integers(0, np.minimum(lengths[hit], 96))
            octets[hit, places] = chance.integers(0, 256, hit.size)
        cut = rows[chance.random(rows.size) < 0.05]
        lengths[cut] = chance.integers(0, lengths[cut] + 1)
        longer = rows[chance.random(rows.size) < 0.05]
        lengths[longer] += chance.integers(0, 40, longer.size)
        mended = (octets[:, 0] == 0x45) & (chance.random(AT_ONCE) < 0.8)
        octets[mended, 10:12] = 0
        words = octets[mended, :20].astype(np.int64).reshape(-1, 10, 2)
        totals = (words[:, :, 0] << 8 | words[:, :, 1]).sum(axis=1)
        totals = (totals & 0xFFFF) + (totals >> 16)
        totals = ~((totals & 0xFFFF) + (totals >> 16)) & 0xFFFF
        octets[mended, 10], octets[mended, 11] = totals >> 8, totals & 0xFF

    def _offload(self, octets: Any, frames: Any) -> None:
        """Give some an offload form: most of these fit, some lie."""
        chance = self.chance
        given = np.flatnonzero(chance.random(AT_ONCE) < 0.15)
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


def kinds_of(came: bytes, arrived: int, several: list[Left]) -> Counter[str]:
    """Return what of the uncommon a packet was that went on."""
    out = several[0]
    is_error = came[9 if came[0] >> 4 == 4 else 6] in (1, 58)
    is_crossed = came[0] >> 4 != out.octets[0] >> 4
    names = ("error " if is_error else "", "crossed " if is_crossed else "")
    kind = "".join(names) or ("hairpin " if arrived == out.way else "")
    found = {kind + "sent": 1}
    if len(several) > 1:
        found["in pieces"] = 1
    return Counter(found)


def turned(path: Engine, mutator: Mutator, now: int) -> Counter[str]:
    """Turn the next batch, hold every invariant for it, and return how much of what happened."""
    batch = path._batch
    before = mutator.fill()
    arrived = batch.frames["way"].tolist()
    unfinished = (batch.frames["needs_checksum"] != 0).tolist()
    start_batch(batch, BATCH)
    process_batch(path._core, now, TTL_ROUTE, pick)
    seen: Counter[str] = Counter()
    for at, (verdict, several) in enumerate(left_by(path)):
        judge(verdict, before[at], arrived[at], several, MTUS, unfinished=unfinished[at])
        seen[verdict.name] += 1
        if verdict is Verdict.FORWARD:
            seen += kinds_of(before[at], arrived[at], several)
    return seen


UNCOMMON = ("hairpin sent", "crossed sent", "error sent", "error crossed sent", "in pieces")


def test_mutated_packets_by_the_million_break_nothing() -> None:
    """10^7 of them in the profile of `make fuzz`."""
    path = engine()
    mutator = Mutator(1, path)
    seen: Counter[str] = Counter()
    states: Counter[int] = Counter()
    turns, now = PACKETS // BATCH, 0
    for turn in range(turns):
        now += 130_000 if turn % LEAP == 0 else int(mutator.chance.integers(0, 200))
        seen += turned(path, mutator, now)
        if turn % 10 == 9:
            start_batch(path._batch, 0)
            keep_house(path._core, now)
        states.update(path._flows.rows["state"].tolist())
        if turn % LAWS_EVERY == LAWS_EVERY - 1:
            assert not all_broken_laws(path)

    stats = path.stats()
    assert_counts_agree(stats)
    assert "internal" not in stats.drops
    for verdict in ("FORWARD", "PASS", "REPLY", "HOLD", "DROP"):
        assert seen[verdict] > turns // 2, seen
    for kind in UNCOMMON:
        assert seen[kind] > turns // 20, seen
    for state in STATE_LABELS:
        assert states[state] > turns // 20, states
    assert len(stats.drops) >= 12, stats.drops
    assert {"echo", "no-service", "out-of-state", "mtu-exceeded"} <= set(stats.replies)
    assert stats.flows.opened > turns // 4
    assert stats.flows.evicted > 0
    now += 10_000_000
    keep_house(path._core, now)
    assert not path.flows()
    assert not path._flows.buckets.any()
    assert not path._core.sources.counts["flows"].any()
    assert path.stats().packets.held == 0
    assert not all_broken_laws(path)
