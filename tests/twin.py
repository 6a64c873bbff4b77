"""Naive twins: what kernels compute, written again from the papers, for Python's own integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.layout import BUCKET, BUCKETS, KEY0, KEY1

if TYPE_CHECKING:
    from natlb.core.flow_table import FlowTable

WORD = 0xFFFFFFFF


def half_sip_hash(key: tuple[int, int], words: list[int], last: int) -> int:
    """Return HalfSipHash-1-3 of 32-bit words; `last` stands where the paper has the length."""
    v = [key[0], key[1], 0x6C796765 ^ key[0], 0x74656462 ^ key[1]]

    def turn(word: int, bits: int) -> int:
        return (word << bits | word >> 32 - bits) & WORD

    def add(to: int, what: int, bits: int, again: int) -> None:
        v[to] = (v[to] + v[what]) & WORD
        v[what] = turn(v[what], bits) ^ v[to]
        v[to] = turn(v[to], again)

    def sip_round() -> None:
        add(0, 1, 5, 16)
        add(2, 3, 8, 0)
        add(0, 3, 7, 0)
        add(2, 1, 13, 16)

    for word in [*words, (last & 0xFF) << 24]:
        v[3] ^= word
        sip_round()
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(3):
        sip_round()
    return v[1] ^ v[3]


def second_hash(first: int) -> int:
    """Return the hash that names a key's second bucket."""
    for _ in range(2):
        first = (first ^ first >> 16) * 0x45D9F3B & WORD
    return first ^ first >> 16


def key_words(key: Any) -> list[int]:
    """Return what the index hash reads of a key: of IPv4 addresses the last lane alone."""
    names = [f"{end}{lane}" for end in ("source", "destination") for lane in range(4)]
    lanes = [int(key[name]) for name in names]
    if lanes[:3] == [0, 0, 0xFFFF]:
        chosen = [lanes[3], lanes[7]]
    else:
        chosen = [*lanes[:3], *lanes[4:7], lanes[3], lanes[7]]
    return [*chosen, int(key["source_port"]) << 16 | int(key["destination_port"])]


def hash_of(flows: FlowTable, key: Any, protocol: int) -> int:
    """Return the hash that places a key in this table."""
    secret = int(flows.meta[KEY0]), int(flows.meta[KEY1])
    return half_sip_hash(secret, key_words(key), protocol)


def buckets_of(flows: FlowTable, hashed: int) -> set[int]:
    """Return where a hash's buckets begin: two, or both the same."""
    count = int(flows.meta[BUCKETS])
    return {(each * count >> 32) * BUCKET for each in (hashed, second_hash(hashed))}
