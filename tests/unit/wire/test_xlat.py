from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from natlb.core.layout import HEADROOM
from natlb.testing import packets
from natlb.testing.packets import Header
from natlb.wire.fields import FRAGMENT, IP4_DONT_FRAGMENT, ROUTING
from natlb.wire.frame import GSO_ECN, GSO_NONE, GSO_TCP4, GSO_TCP6, GSO_UDP_L4
from natlb.wire.parse import parse
from natlb.wire.parsed import PARSED
from natlb.wire.xlat import (
    compute_udp_checksum,
    find_extension,
    find_unfinished_route,
    fragment_word,
    has_no_checksum,
    put_header4,
    put_header6,
)
from tests import judge
from tests.kernels import frame_of, key_of, needs_plain_kernels, octets, parsed_of

needs_plain_kernels()

FROM4, TO4 = "198.51.100.2:40000", "203.0.113.10:80"
FROM6, TO6 = "[2001:db8::2]:40000", "[2001:db8:f::10]:80"
OPTIONS = bytes([0, 1, 4, 0, 0, 0, 0])  # behind the number of what follows


def extended(packet: bytes, *kinds: int) -> bytes:
    """Return an IPv6 packet with these extension headers of eight octets."""
    following = [*kinds[1:], packet[6]]
    headers = b"".join(bytes([kind]) + OPTIONS for kind in following)
    length = len(packet) - 40 + len(headers)
    return (
        packet[:4] + length.to_bytes(2) + bytes([kinds[0]]) + packet[7:40] + headers + packet[40:]
    )


class Slot:
    """A packet in a slot, with its frame and what was parsed of it."""

    def __init__(self, packet: bytes, **form: int) -> None:
        """Put it there."""
        self.octets = np.full(HEADROOM + len(packet) + 8, 0xEE, np.uint8)
        self.octets[HEADROOM : HEADROOM + len(packet)] = octets(packet)
        self.frame = frame_of(packet, start=HEADROOM, **form)
        self.parsed = np.zeros(1, PARSED)[0]
        parse(octets(packet), self.frame, self.parsed)

    def packet(self) -> bytes:
        """Return what the frame names."""
        start = int(self.frame["start"])
        return self.octets[start : start + int(self.frame["length"])].tobytes()


def test_a_header_of_ip4_stands_where_the_transport_begins() -> None:
    """With addresses from the other key; what was longer is left behind it in the slot."""
    packet = packets.udp(FROM6, TO6, b"hello", header=Header(tos=0x2E, flow_label=0xFFFFF))
    slot = Slot(extended(packet, 0, 60))
    put_header4(slot.octets, slot.frame, slot.parsed, key_of(TO4, FROM4), 33, 0xABCD0000)
    out = judge.IP(slot.packet())

    assert (out.src, out.dst, out.tos, out.ttl, out.proto) == (
        *("198.51.100.2", "203.0.113.10"),
        *(0x2E, 33, 17),
    )
    assert (out.id, int(out.flags), out.frag, out.len) == (0xABCD, 0, 0, 33)
    assert judge.IP(bytes(judge.IP(slot.packet()))).chksum == out.chksum
    assert slot.packet()[20:] == packet[40:]
    names = ("version", "l4", "payload", "end", "dont_fragment", "kind")
    assert [slot.parsed[name] for name in names] == [4, 20, 28, 33, 0, 0]


def test_a_header_of_ip6_grows_into_the_headroom() -> None:
    """The flow label is 0; nothing behind the header moves."""
    packet = packets.tcp(FROM4, TO4, "A", payload=b"hello", header=Header(tos=0xB9))
    slot = Slot(packet)
    put_header6(slot.octets, slot.frame, slot.parsed, key_of(TO6, FROM6), 7, 0)
    out = judge.IPv6(slot.packet())

    assert (out.src, out.dst) == ("2001:db8::2", "2001:db8:f::10")
    assert (out.tc, out.fl, out.hlim, out.nh, out.plen) == (0xB9, 0, 7, 6, 25)
    assert slot.packet()[40:] == packet[20:]
    assert slot.frame["start"] == HEADROOM - 20
    names = ("version", "l4", "payload", "end", "dont_fragment")
    assert [slot.parsed[name] for name in names] == [6, 40, 60, 65, 1]


@pytest.mark.parametrize(
    ("offset", "more", "place"), [(0, False, 0), (0, True, 1), (16, True, 17), (1480, False, 1480)]
)
def test_a_fragment_header_keeps_place_and_identification(
    offset: int, more: bool, place: int
) -> None:
    """16 bits of it as the lower half of 32 (RFC 7915 section 4.1)."""
    header = Header(
        fragment_offset=offset // 8, more_fragments=more, dont_fragment=False, identification=0xBEEF
    )
    slot = Slot(packets.udp(FROM4, TO4, bytes(16), header=header))
    put_header6(slot.octets, slot.frame, slot.parsed, key_of(TO6, FROM6), 7, 8)
    out = slot.packet()

    assert (out[6], out[40], int.from_bytes(out[42:44])) == (44, 17, place)
    assert int.from_bytes(out[44:48]) == 0xBEEF
    assert int.from_bytes(out[4:6]) == len(out) - 40 == 32
    assert slot.parsed["l4"] == 48


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (GSO_TCP6, GSO_TCP4),
        (GSO_TCP6 | GSO_ECN, GSO_TCP4 | GSO_ECN),
        (GSO_UDP_L4, GSO_UDP_L4),
        (GSO_NONE, GSO_NONE),
    ],
)
def test_the_kind_of_super_packet_is_that_of_the_version(before: int, after: int) -> None:
    """There and back; UDP's has none."""
    build, offset = (packets.udp, 6) if before == GSO_UDP_L4 else (packets.tcp, 16)
    form = {"needs_checksum": 1, "checksum_start": 40, "checksum_offset": offset}
    slot = Slot(build(FROM6, TO6, payload=bytes(50)), **form, gso_type=before, gso_size=10)
    put_header4(slot.octets, slot.frame, slot.parsed, key_of(TO4, FROM4), 33, 0)

    assert (slot.frame["gso_type"], slot.frame["checksum_start"]) == (after, 20)
    put_header6(slot.octets, slot.frame, slot.parsed, key_of(TO6, FROM6), 33, 0)
    assert (slot.frame["gso_type"], slot.frame["checksum_start"]) == (before, 40)


def test_extension_headers_are_found_in_their_chain() -> None:
    """Each by its number, 0 where there is none."""
    packet = octets(extended(packets.udp(FROM6, TO6), 0, ROUTING, FRAGMENT))

    assert [find_extension(packet, 64, kind) for kind in (0, ROUTING, FRAGMENT, 60)] == [
        *(40, 48, 56),
        0,
    ]


@pytest.mark.parametrize(
    ("kinds", "left", "found"),
    [((), 0, 0), ((60,), 0, 0), ((ROUTING,), 0, 0), ((0, ROUTING), 2, 51)],
)
def test_only_a_route_with_segments_left_is_unfinished(
    kinds: tuple[int, ...], left: int, found: int
) -> None:
    """Otherwise its header has done its work."""
    packet = packets.udp(FROM6, TO6)
    if kinds:
        packet = extended(packet, *kinds)
        at = 40 + 8 * kinds.index(ROUTING) + 2 if ROUTING in kinds else 0
        if at:  # of a type that is not forbidden
            packet = packet[:at] + bytes([3, left]) + packet[at + 2 :]

    assert find_unfinished_route(octets(packet), parsed_of(packet)) == found


def word_of(packet: bytes, size: int = 100) -> int:
    """Return what the header's second word would be."""
    return fragment_word(octets(packet), parsed_of(packet), size)


def test_dont_fragment_is_said_of_what_a_sender_can_make_smaller() -> None:
    """RFC 7915 section 5.1: above 1260 octets."""
    packet = packets.udp(FROM6, TO6, b"x")

    assert word_of(packet, 1260) == 0
    assert word_of(packet, 1261) == IP4_DONT_FRAGMENT
    assert word_of(extended(packet, 60), 1261) == IP4_DONT_FRAGMENT


@pytest.mark.parametrize(
    ("place", "word"),
    [(0, 0xCCDD0000), (1, 0xCCDD2000), (16, 0xCCDD0002), (17, 0xCCDD2002)],
)
def test_a_fragment_header_becomes_the_fragments_word(place: int, word: int) -> None:
    """The lower half of the identification; never "don't fragment" (RFC 7915 section 5.1.1)."""
    packet = extended(packets.udp(FROM6, TO6, bytes(16)), FRAGMENT)
    packet = packet[:42] + place.to_bytes(2) + bytes([0xAA, 0xBB, 0xCC, 0xDD]) + packet[48:]

    assert word_of(packet, 1500) == word


def test_a_datagram_without_a_checksum_is_known() -> None:
    """Not TCP, whose checksum may be zero by chance, nor one that is unfinished."""
    without = packets.udp(FROM4, TO4, b"x", checksum=0)
    form = {"needs_checksum": 1, "checksum_start": 20, "checksum_offset": 6}

    def known(packet: bytes, **form: int) -> Any:
        return has_no_checksum(octets(packet), frame_of(packet, **form), parsed_of(packet, **form))

    assert known(without)
    assert not known(without, **form)
    assert not known(packets.udp(FROM4, TO4, b"x"))
    assert not known(packets.tcp(FROM4, TO4))


@pytest.mark.parametrize("length", [0, 1, 2, 1001])
def test_a_computed_checksum_is_scapys(length: int) -> None:
    """Over all of the datagram, whatever lies behind it in the packet."""
    whole = packets.udp(FROM6, TO6, b"\xa5" * length)
    blank = octets(whole[:46] + b"\0\0" + whole[48:] + b"behind")
    compute_udp_checksum(blank, parsed_of(whole))

    assert blank.tobytes() == whole + b"behind"
