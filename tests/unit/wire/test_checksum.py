from __future__ import annotations

import random
import struct

import pytest

from natlb.testing import packets
from natlb.wire.checksum import (
    NO_DELTA,
    add_delta,
    adjust_checksum,
    adjust_partial_checksum,
    apply_delta,
    checksum_offset,
    fold,
    sum_octets,
    sum_pseudo_header,
    update_checksum,
)
from natlb.wire.fields import IP4_SOURCE, IP6_SOURCE, TCP, UDP
from natlb.wire.octets import get_u16
from tests.kernels import needs_plain_kernels, octets

needs_plain_kernels()

EDGES = (0, 1, 0x5555, 0x7FFF, 0x8000, 0xAAAA, 0xFFFE, 0xFFFF)


def test_fold_keeps_the_sum_modulo_ffff() -> None:
    """Also of what three folds are just enough for."""
    for total in (0, 1, 0xFFFF, 0x10000, 0x1FFFE, 0xFFFFFFFF, (1 << 48) - 1):
        folded = fold(total)
        assert folded <= 0xFFFF
        assert folded % 0xFFFF == total % 0xFFFF
        assert bool(folded) == bool(total)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 20, 1499, 1500])
def test_sum_of_octets_is_that_of_the_plain_way(length: int) -> None:
    """An odd last octet counts as the high half of a word."""
    text = random.randbytes(length + 4)

    assert sum_octets(octets(text), 3, 3 + length) == packets.sum_words(text[3 : 3 + length])


def test_update_equals_the_full_sum_for_every_pair_of_edge_words() -> None:
    """RFC 1624: HC = 0xdd2f, m = 0x5555, m' = 0x3285 is what the shorter form gets wrong."""
    assert update_checksum(0xDD2F, 0x5555, 0x3285) == 0
    for other in (0x0001, 0x1234, 0xFFFF):
        for old in EDGES:
            for new in EDGES:
                before = ~packets.sum_words(struct.pack("!HH", old, other)) & 0xFFFF
                after = ~packets.sum_words(struct.pack("!HH", new, other)) & 0xFFFF

                assert update_checksum(before, old, new) == after


def test_a_delta_summed_once_serves_every_packet() -> None:
    """That is what a flow keeps: the sum of what changes, folded into each packet's checksum."""
    changes = [(random.getrandbits(16), random.getrandbits(16)) for _ in range(6)]
    delta = NO_DELTA
    for old, new in changes:
        delta = add_delta(delta, old, new)
    rest = random.randbytes(40)
    before = struct.pack("!6H", *(old for old, _ in changes)) + rest
    after = struct.pack("!6H", *(new for _, new in changes)) + rest
    checksum = ~packets.sum_words(before) & 0xFFFF

    assert apply_delta(checksum, delta) == ~packets.sum_words(after) & 0xFFFF


def test_no_delta_changes_no_checksum() -> None:
    """A flow whose NAT changes nothing must not turn one zero into the other."""
    for checksum in range(0, 0xFFFF, 97):
        assert apply_delta(checksum, NO_DELTA) == checksum


@pytest.mark.parametrize(
    ("source", "addresses", "width"),
    [
        ("198.51.100.2:40000", IP4_SOURCE, 8),
        ("[2001:db8::2]:40000", IP6_SOURCE, 32),
    ],
)
def test_pseudo_header_is_summed_as_the_rfcs_lay_it_out(
    source: str, addresses: int, width: int
) -> None:
    """Lengths past 65,535 count in both halves."""
    destination = "203.0.113.10:80" if width == 8 else "[2001:db8::1]:80"
    packet = packets.tcp(source, destination)
    ends = packets.split_endpoint(source)[0], packets.split_endpoint(destination)[0]
    length = 1460 if width == 8 else 70000

    found = sum_pseudo_header(octets(packet), addresses, width, TCP, length)

    assert found == packets.sum_words(packets.pseudo_header(*ends, TCP, length))


def test_checksums_lie_where_the_rfcs_put_them() -> None:
    """TCP and UDP keep them at different places."""
    assert checksum_offset(TCP) == 16
    assert checksum_offset(UDP) == 6


def test_a_udp_zero_stays_and_a_sum_of_zero_is_sent_as_ffff() -> None:
    """RFC 768: zero means that the sender computed none; it is not a sum."""
    segment = octets(bytes(8))
    adjust_checksum(segment, 0, UDP, 0x1234)
    assert get_u16(segment, 6) == 0

    segment = octets(bytes(6) + b"\x12\x34")
    adjust_checksum(segment, 0, UDP, 0x1234)
    assert get_u16(segment, 6) == 0xFFFF

    segment = octets(bytes(16) + b"\x12\x34")
    adjust_checksum(segment, 0, TCP, 0x1234)
    assert get_u16(segment, 16) == 0


def test_an_unfinished_checksum_is_a_sum_of_its_own() -> None:
    """Not inverted, and a zero in it is a sum like any other, UDP or not."""
    segment = octets(bytes(8))
    adjust_partial_checksum(segment, 0, UDP, 0x1234)
    assert get_u16(segment, 6) == 0x1234
    adjust_partial_checksum(segment, 0, UDP, 0xF000)
    assert get_u16(segment, 6) == fold(0x1234 + 0xF000)
