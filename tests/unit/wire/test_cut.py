from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.packet import Raw

from natlb.testing import packets
from natlb.testing.packets import Header
from natlb.wire.cut import finish_checksum, header_of_pieces, share_of_piece, write_piece
from tests.conformance.pieces import piece
from tests.kernels import frame_of, needs_plain_kernels, octets

needs_plain_kernels()

CLIENT, BACKEND = "198.51.100.2:5000", "10.9.0.11:53"


def datagram(size: int, **header: Any) -> bytes:
    """Return a datagram of so many octets of payload that may be fragmented."""
    payload = bytes(at & 0xFF for at in range(size))
    return packets.udp(CLIENT, BACKEND, payload, header=Header(dont_fragment=False, **header))


def pieces_of(packet: bytes, mtu: int) -> list[bytes]:
    """Return a packet cut for an MTU, piece by piece."""
    header, found = header_of_pieces(octets(packet)), []
    share = share_of_piece(mtu, header)
    for at in range(header, len(packet), share):
        made = np.zeros(header + min(share, len(packet) - at), np.uint8)
        write_piece(octets(packet), made, header, at)
        found.append(made.tobytes())
    return found


@pytest.mark.parametrize("mtu", [68, 75, 576, 1300, 1500])
def test_the_pieces_are_those_that_scapy_makes(mtu: int) -> None:
    """RFC 791 section 3.2: as large as fits, in eights; sums anew, the rest of the header kept."""
    packet = datagram(3000, identification=4711, ttl=9, tos=0xB8)

    assert pieces_of(packet, mtu) == [
        bytes(each) for each in fragment(IP(packet), fragsize=(mtu - 20) // 8 * 8)
    ]


@pytest.mark.parametrize("more", [False, True])
def test_a_piece_of_a_piece_keeps_its_place_in_the_datagram(more: bool) -> None:
    """Its offset goes on from the fragment's own, and the last says "more" if that did."""
    head = IP(src="198.51.100.2", dst="10.9.0.11", id=7, frag=185, flags="MF" if more else 0)
    packet = bytes(head / UDP() / Raw(bytes(200)))[: 20 + 200]
    packet = bytes(
        IP(src=head.src, dst=head.dst, id=7, frag=185, flags=head.flags, proto=17)
        / Raw(packet[20:])
    )
    found = [IP(each) for each in pieces_of(packet, 116)]

    assert [each.frag for each in found] == [185, 197, 209]
    assert ["MF" in each.flags for each in found] == [True, True, more]
    assert b"".join(bytes(each.payload) for each in found) == packet[20:]


@pytest.mark.parametrize(("offset", "more"), [(0, False), (0, True), (1448, False)])
def test_ip6_with_a_fragment_header_is_cut_like_it(offset: int, more: bool) -> None:
    """What was IPv4 may leave as pieces of IPv6 (RFC 7915 section 4.1)."""
    head = packets.udp("[2001:db8::2]:5000", "[fd00:9::11]:53")[:40]
    body = bytes(at & 0xFF for at in range(3200))
    found = pieces_of(piece(head, 17, body, offset, 7, more=more), 1280)
    whole = [
        piece(head, 17, body[at : at + 1232], offset + at, 7, more=more or at + 1232 < len(body))
        for at in range(0, len(body), 1232)
    ]

    assert found == whole


def test_a_sum_of_zero_is_seen_behind_a_fragment_header() -> None:
    """The next header stands there, not where IPv4 has its protocol."""
    ends = "[2001:db8::2]:5000", "[fd00:9::11]:53"
    first = packets.udp(*ends, b"\0\0")
    plain = packets.udp(*ends, first[46:48])
    whole = piece(plain[:40], 17, packets.unfinished(plain)[40:], 0, 7, more=False)
    packet = octets(whole)
    finish_checksum(packet, frame_of(whole, needs_checksum=1, checksum_start=48, checksum_offset=6))

    assert packet[54:56].tobytes() == b"\xff\xff"


def test_an_unfinished_checksum_is_finished_before_a_cut() -> None:
    """No device could: it sees one piece at a time."""
    whole = datagram(99)
    packet = octets(packets.unfinished(whole))
    frame = frame_of(whole, needs_checksum=1, checksum_start=20, checksum_offset=6)
    finish_checksum(packet, frame)

    assert packet.tobytes() == whole
    assert frame["needs_checksum"] == 0


def test_a_finished_checksum_stays_as_wrong_as_it_is() -> None:
    """What came damaged leaves damaged (I1)."""
    packet = octets(packets.udp(CLIENT, BACKEND, b"x", checksum=0x1234))
    finish_checksum(packet, frame_of(packet.tobytes()))

    assert packets.faults(packet.tobytes()) == ["wrong transport checksum"]


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_sum_of_zero_is_sent_as_its_other_name_by_udp_alone(protocol: str) -> None:
    """Zero says "no checksum" there (RFC 768); in TCP it is a sum like any other."""
    build = packets.udp if protocol == "udp" else packets.tcp
    first = build(CLIENT, BACKEND, payload=b"\0\0")
    at = 26 if protocol == "udp" else 36
    word = int.from_bytes(first[at : at + 2])
    whole = build(CLIENT, BACKEND, payload=word.to_bytes(2))
    packet = octets(packets.unfinished(whole))
    finish_checksum(
        packet, frame_of(whole, needs_checksum=1, checksum_start=20, checksum_offset=at - 20)
    )

    assert packet[at : at + 2].tobytes() == (b"\xff\xff" if protocol == "udp" else b"\0\0")
