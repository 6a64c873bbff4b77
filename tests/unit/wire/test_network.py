from __future__ import annotations

import struct

import pytest

from natlb.testing import packets
from natlb.testing.packets import Header
from natlb.wire.fields import (
    AUTHENTICATION,
    DESTINATION_OPTIONS,
    FRAGMENT,
    HOP_BY_HOP,
    ROUTING,
    TCP,
    UDP,
)
from natlb.wire.network import MOST_EXTENSION_HEADERS
from natlb.wire.parsed import EXTENDED, FRAGMENTED, LATER_FRAGMENT, PLAIN, UNTRANSLATABLE
from natlb.wire.reasons import ACCEPTED, BAD_CHECKSUM, MALFORMED, UNSUPPORTED
from tests.kernels import needs_plain_kernels, parsed_of

needs_plain_kernels()

CLIENT, VIP = "198.51.100.2:40000", "203.0.113.10:80"
CLIENT6, VIP6 = "[2001:db8::2]:40000", "[2001:db8:f::10]:80"
SYN, SYN6 = packets.tcp(CLIENT, VIP), packets.tcp(CLIENT6, VIP6)


def mended(packet: bytes) -> bytes:
    """Return an IPv4 packet with its header's checksum made right again."""
    header = (packet[0] & 0x0F) * 4
    blank = packet[:10] + b"\0\0" + packet[12:]
    return blank[:10] + struct.pack("!H", ~packets.sum_words(blank[:header]) & 0xFFFF) + blank[12:]


def changed(packet: bytes, at: int, octet: int) -> bytes:
    """Return a packet with one octet another, its IPv4 header's checksum right."""
    packet = packet[:at] + bytes([octet]) + packet[at + 1 :]
    return mended(packet) if packet[0] >> 4 == 4 and len(packet) >= 20 else packet


def with_headers(chain: list[tuple[int, bytes]], last: int, payload: bytes) -> bytes:
    """Return an IPv6 packet with extension headers: (number, octets behind its first) each."""
    numbers = [number for number, _ in chain] + [last]
    text = b"".join(
        bytes([following]) + body for (_, body), following in zip(chain, numbers[1:], strict=True)
    )
    source, destination = (packets.split_endpoint(each)[0] for each in (CLIENT6, VIP6))
    return packets.ip(source, destination, numbers[0], text + payload)


OPTIONS = (DESTINATION_OPTIONS, bytes([0]) + b"\x01\x04\0\0\0\0")


def fragment6(offset: int, more: int) -> tuple[int, bytes]:
    """Return a fragment header for a piece at `offset`."""
    return FRAGMENT, struct.pack("!BHI", 0, offset | more, 99)


def test_a_plain_packet_of_either_version_is_accepted() -> None:
    """What is kept of it is what later stages go by."""
    parsed, parsed6 = parsed_of(SYN), parsed_of(SYN6)

    assert parsed["refusal"] == parsed6["refusal"] == ACCEPTED
    assert (parsed["version"], parsed6["version"]) == (4, 6)
    assert (parsed["l4"], parsed6["l4"]) == (20, 40)
    assert (parsed["end"], parsed6["end"]) == (40, 60)
    assert (parsed["ttl"], parsed6["ttl"]) == (64, 64)
    assert parsed["protocol"] == parsed6["protocol"] == TCP
    assert parsed["kind"] == parsed6["kind"] == PLAIN
    lanes = [int(parsed[f"source{lane}"]) for lane in range(4)]
    assert lanes == [0, 0, 0xFFFF, 0xC6336402]
    lanes = [int(parsed6[f"destination{lane}"]) for lane in range(4)]
    assert lanes == [0x20010DB8, 0x000F0000, 0, 0x10]


@pytest.mark.parametrize("version", [0, 1, 5, 7, 15])
def test_other_versions_are_malformed(version: int) -> None:
    """There is nothing behind such a first octet to go by."""
    assert parsed_of(changed(SYN, 0, version << 4 | 5))["refusal"] == MALFORMED


@pytest.mark.parametrize("length", range(40))
def test_a_header_cut_short_is_malformed(length: int) -> None:
    """Every field is looked for only where the packet has one."""
    assert parsed_of(SYN6[:length])["refusal"] == MALFORMED
    if length < 20:
        assert parsed_of(SYN[:length])["refusal"] == MALFORMED


@pytest.mark.parametrize("words", [0, 1, 4, 15])
def test_header_lengths_that_cannot_be_are_malformed(words: int) -> None:
    """Below five words, or past the packet's own length (RFC 1812 section 5.2.2)."""
    short = mended(SYN[:2] + struct.pack("!H", 40) + SYN[4:])

    assert parsed_of(changed(short, 0, 4 << 4 | words))["refusal"] == MALFORMED


def test_total_lengths_that_cannot_be_are_malformed() -> None:
    """Shorter than the header, or longer than what came."""
    for total in (0, 19, 41, 65535):
        packet = mended(SYN[:2] + struct.pack("!H", total) + SYN[4:])
        assert parsed_of(packet)["refusal"] == MALFORMED
    longer = SYN6[:4] + struct.pack("!H", 21) + SYN6[6:]

    assert parsed_of(longer)["refusal"] == MALFORMED


def test_padding_is_not_part_of_the_packet() -> None:
    """Ethernet pads to 60 octets; the total length says where the packet ends."""
    for packet in (SYN, SYN6):
        parsed = parsed_of(packet + bytes(20))

        assert parsed["refusal"] == ACCEPTED
        assert parsed["end"] == parsed["wire_bytes"] == len(packet)


def test_a_wrong_header_checksum_is_refused() -> None:
    """Forwarding would need a new sum, and that would make damage look sound."""
    assert parsed_of(SYN[:8] + bytes([63]) + SYN[9:])["refusal"] == BAD_CHECKSUM


def test_ip4_options_are_noted() -> None:
    """They are not carried (RFC 7126), which is the core's decision."""
    packet = packets.tcp(CLIENT, VIP, header=Header(options=b"\x01\x01\x01\x00"))
    parsed = parsed_of(packet)

    assert parsed["refusal"] == ACCEPTED
    assert parsed["kind"] == UNTRANSLATABLE
    assert parsed["l4"] == 24


def test_dont_fragment_is_noted() -> None:
    """What is too big is answered, or left to be cut; IPv6 is never cut on its way."""
    loose = packets.tcp(CLIENT, VIP, header=Header(dont_fragment=False))

    assert parsed_of(SYN)["dont_fragment"] == parsed_of(SYN6)["dont_fragment"] == 1
    assert parsed_of(loose)["dont_fragment"] == 0


def piece(offset: int, *, more: bool, length: int = 1480) -> bytes:
    """Return a fragment of a UDP datagram of 3,000 octets."""
    whole = packets.udp(CLIENT, VIP, bytes(2992))[20:]
    source, destination = (packets.split_endpoint(each)[0] for each in (CLIENT, VIP))
    header = Header(dont_fragment=False, more_fragments=more, fragment_offset=offset)
    return packets.ip(source, destination, UDP, whole[offset * 8 : offset * 8 + length], header)


def test_fragments_are_told_apart() -> None:
    """The first has ports, the later ones none; neither reads as a whole datagram."""
    first, later = parsed_of(piece(0, more=True)), parsed_of(piece(185, more=False))

    assert first["refusal"] == later["refusal"] == ACCEPTED
    assert first["kind"] == FRAGMENTED
    assert later["kind"] == FRAGMENTED | LATER_FRAGMENT
    assert first["source_port"] == 40000
    assert later["source_port"] == later["destination_port"] == 0
    assert (first["offset"], first["octets"], first["more"]) == (0, 1480, 1)
    assert (later["offset"], later["octets"], later["more"]) == (1480, 1480, 0)


@pytest.mark.parametrize(
    "packet",
    [
        piece(0, more=True, length=1479),  # not a multiple of eight
        piece(185, more=True, length=0),  # nothing, and more to come
        piece(185, more=False, length=0),  # nothing, and no more: it would end what is complete
        packets.ip(
            packets.split_endpoint(CLIENT)[0],
            packets.split_endpoint(VIP)[0],
            UDP,
            bytes(1480),
            Header(dont_fragment=False, fragment_offset=8189),
        ),  # reaches past 65,535: the ping of death
    ],
)
def test_fragments_that_no_datagram_has_are_malformed(packet: bytes) -> None:
    """RFC 791: pieces but the last hold a multiple of eight octets; all of it, 65,535 at most."""
    assert parsed_of(packet)["refusal"] == MALFORMED


def test_the_transport_header_is_found_behind_extension_headers() -> None:
    """What it is decides whether the packet may be passed on; the chain's end is the law."""
    segment = SYN6[40:]
    chain = [(HOP_BY_HOP, b"\0\x01\x04\0\0\0\0"), OPTIONS, (AUTHENTICATION, b"\x04" + bytes(22))]
    parsed = parsed_of(with_headers(chain, TCP, segment))

    assert parsed["refusal"] == ACCEPTED
    assert parsed["kind"] == EXTENDED | UNTRANSLATABLE  # authenticated: it may not be changed
    assert parsed["l4"] == 40 + 8 + 8 + 24
    assert parsed["source_port"] == 40000


def test_chains_are_followed_so_far_and_no_farther() -> None:
    """Eight headers; work per packet is bounded."""
    most = [OPTIONS] * MOST_EXTENSION_HEADERS

    assert parsed_of(with_headers(most, TCP, SYN6[40:]))["refusal"] == ACCEPTED
    assert parsed_of(with_headers([*most, OPTIONS], TCP, SYN6[40:]))["refusal"] == UNSUPPORTED


def test_a_chain_that_leaves_the_packet_is_malformed() -> None:
    """RFC 7112: the first fragment holds the whole chain."""
    whole = with_headers([OPTIONS, (DESTINATION_OPTIONS, b"\x01" + bytes(14))], TCP, b"")
    for length in range(41, len(whole)):
        cut = whole[:4] + struct.pack("!H", length - 40) + whole[6:length]
        assert parsed_of(cut)["refusal"] == MALFORMED


def test_a_source_route_is_unsupported_and_other_routing_is_not() -> None:
    """RFC 5095 forbids type 0: it can send a packet to and fro."""
    for kind, expected in ((0, UNSUPPORTED), (4, ACCEPTED)):
        routing = (ROUTING, bytes([0, kind]) + bytes(5))
        assert parsed_of(with_headers([routing], TCP, SYN6[40:]))["refusal"] == expected


def test_a_route_that_is_not_at_its_end_forbids_translation() -> None:
    """The checksum covers where it ends, which natlb does not change (RFC 8200 section 8.1)."""
    for left, expected in ((0, EXTENDED), (1, EXTENDED | UNTRANSLATABLE)):
        routing = (ROUTING, bytes([0, 4, left]) + bytes(4))
        assert parsed_of(with_headers([routing], TCP, SYN6[40:]))["kind"] == expected


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (b"\x01\x01\x07\x04\x04\x00\x00\x00", ACCEPTED),
        (b"\x07\x04\x04\x00", ACCEPTED),
        (b"\x83\x07\x04\x0a\x09\x00\x0b\x00", UNSUPPORTED),
        (b"\x01\x89\x03\x04", UNSUPPORTED),
        (b"\x07\x00\x00\x00", MALFORMED),
        (b"\x07\x01\x00\x00", MALFORMED),
        (b"\x07\x28\x00\x00", MALFORMED),
        (b"\x01\x01\x01\x07", MALFORMED),
    ],
)
def test_ip4_options_are_judged(options: bytes, refusal: int) -> None:
    """Their lengths, and that none routes the packet (RFC 7126 section 4.3)."""
    packet = packets.tcp(CLIENT, VIP, header=Header(options=options))

    assert parsed_of(packet)["refusal"] == refusal


def test_fragments_of_ip6_are_told_apart() -> None:
    """An atomic one (offset 0, no more) is a whole packet with an extension header (RFC 6946)."""
    atomic = parsed_of(with_headers([fragment6(0, 0)], TCP, SYN6[40:]))
    first = parsed_of(with_headers([fragment6(0, 1)], TCP, SYN6[40:] + bytes(4)))
    later = parsed_of(with_headers([fragment6(24, 0)], TCP, bytes(9)))

    assert [each["refusal"] for each in (atomic, first, later)] == [ACCEPTED] * 3
    assert atomic["kind"] == EXTENDED
    assert first["kind"] == EXTENDED | FRAGMENTED
    assert later["kind"] == EXTENDED | FRAGMENTED | LATER_FRAGMENT
    assert later["protocol"] == TCP
    assert later["l4"] == 48
    assert (first["octets"], later["octets"]) == (24, 9)


def test_fragments_of_ip6_that_no_datagram_has_are_malformed() -> None:
    """The same laws as for IPv4; the eight octets of the header are not counted."""
    assert parsed_of(with_headers([fragment6(24, 1)], TCP, bytes(9)))["refusal"] == MALFORMED
    assert parsed_of(with_headers([fragment6(65528, 0)], TCP, bytes(8)))["refusal"] == MALFORMED
    assert parsed_of(with_headers([fragment6(65528, 0)], TCP, bytes(7)))["refusal"] == ACCEPTED


def test_a_packet_of_an_unknown_protocol_is_accepted() -> None:
    """Whether it may pass is the core's decision; nothing behind the IP header is read."""
    ends = [packets.split_endpoint(each)[0] for each in (CLIENT, VIP)]
    for protocol in (47, 50, 132, 255):
        parsed = parsed_of(packets.ip(ends[0], ends[1], protocol, b""))

        assert parsed["refusal"] == ACCEPTED
        assert parsed["protocol"] == protocol
