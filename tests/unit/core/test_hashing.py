from __future__ import annotations

import random
import struct
from typing import Any

import numpy as np
import pytest

from natlb.core.hashing import NO_PORT, datagram_hash, index_hash, second_hash, spread_hash
from natlb.core.layout import HALF
from natlb.wire.fields import TCP, UDP
from tests import twin
from tests.kernels import client_key, key_of, needs_plain_kernels

needs_plain_kernels()

# HalfSipHash-1-3 of the octets 0, 1, 2, ... with the key 00 01 ... 07, for lengths 0, 4, ... 36:
# Linux, lib/tests/siphash_kunit.c, its 32-bit hsiphash
VECTORS = (
    *(0x5814C896, 0x7E059EA6, 0x577999B1, 0x6B28096C, 0x8B31D501),
    *(0x911BB605, 0x57150AD7, 0x0A4100D0, 0xBC6DDA8D, 0x7C46FB7F),
)


def test_the_twin_agrees_with_the_kernel_of_linux() -> None:
    """Then the twin may judge."""
    for count, expected in enumerate(VECTORS):
        octets = bytes(range(4 * count))
        words = list(struct.unpack(f"<{count}I", octets))

        assert twin.half_sip_hash((0x03020100, 0x07060504), words, len(octets)) == expected


def random_key(*, mapped: bool) -> Any:
    """Return a key of random IPv4 or IPv6 addresses."""
    key = np.frombuffer(random.randbytes(HALF.itemsize), HALF)[0].copy()
    for end in ("source", "destination"):
        if mapped:
            key[f"{end}0"] = key[f"{end}1"] = 0
            key[f"{end}2"] = 0xFFFF
    return key


@pytest.mark.parametrize("mapped", [True, False])
def test_the_index_hash_is_its_twins(mapped: bool) -> None:
    """On random keys of both versions: a lane mixed up would still look like a hash."""
    for _ in range(200):
        key, protocol = random_key(mapped=mapped), random.choice((TCP, UDP))
        secret = random.getrandbits(32), random.getrandbits(32)

        found = index_hash(*secret, key, protocol)

        assert found == twin.half_sip_hash(secret, twin.key_words(key), protocol)
        assert second_hash(found) == twin.second_hash(found)
        assert 0 <= second_hash(found) < 1 << 32


def test_the_spread_hash_is_half_sip_hash_of_the_address() -> None:
    """Sixteen octets, by the book: any program can compute which backend a client gets."""
    for _ in range(100):
        lanes: Any = tuple(random.getrandbits(32) for _ in range(4))
        seed = random.getrandbits(32), random.getrandbits(32)

        assert spread_hash(*seed, lanes, NO_PORT) == twin.half_sip_hash(seed, list(lanes), 16)
        port = random.getrandbits(16)
        expected = twin.half_sip_hash(seed, [*lanes, port], 18)
        assert spread_hash(*seed, lanes, port) == expected


def test_the_datagram_hash_is_its_twins() -> None:
    """Over both addresses, the identification, and one octet more."""
    for _ in range(100):
        key, secret = random_key(mapped=False), (random.getrandbits(32), random.getrandbits(32))
        number, context = random.getrandbits(32), random.getrandbits(8)
        words = [int(key[f"{end}{lane}"]) for end in ("source", "destination") for lane in range(4)]

        found = datagram_hash(*secret, key, number, context)

        assert found == twin.half_sip_hash(secret, [*words, number], context)


def test_a_key_of_ip6_with_zeros_above_is_not_hashed_as_ip4() -> None:
    """Only ::ffff:a.b.c.d is."""
    for text in ("[::fffe:c633:6402]:1", "[0:1::ffff:c633:6402]:1", "[1::ffff:c633:6402]:1"):
        key = key_of(text, "[2001:db8::1]:2")
        assert index_hash(1, 2, key, TCP) == twin.half_sip_hash((1, 2), twin.key_words(key), TCP)
        assert len(twin.key_words(key)) == 9


def test_nobody_can_tell_bucket_from_tuple_without_the_secret() -> None:
    """Tuples that collide under one secret do not under another."""
    by_bucket: dict[int, list[Any]] = {}
    for number in range(4000):
        key = client_key(number)
        by_bucket.setdefault(index_hash(1, 2, key, TCP) * 64 >> 32, []).append(key)
    crowded = max(by_bucket.values(), key=len)

    elsewhere = {index_hash(3, 4, key, TCP) * 64 >> 32 for key in crowded}

    assert len(crowded) > 60
    assert len(elsewhere) > 30


def test_tags_and_buckets_are_spread_evenly() -> None:
    """Consecutive clients, as a flood has them."""
    hashes = [index_hash(5, 6, client_key(number), TCP) for number in range(6400)]
    for part in (
        [each & 0x7F for each in hashes],
        [each * 128 >> 32 for each in hashes],
        [second_hash(each) * 128 >> 32 for each in hashes],
    ):
        counts = np.bincount(part, minlength=128)
        chi = float(((counts - 50) ** 2 / 50).sum())

        assert chi < 200  # 127 degrees of freedom: 0.002 % of fair ones are above
