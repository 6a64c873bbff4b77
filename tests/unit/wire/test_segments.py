"""Super-packets cut as a device would: scapy sums each segment anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from natlb.wire.frame import GSO_TCP4, GSO_UDP_L4
from natlb.wire.segments import NO_SEGMENT, write_segment
from tests.kernels import frame_of, needs_plain_kernels, octets

needs_plain_kernels()

PAYLOAD = bytes(range(250)) * 10
SIZE = 1000
ADDRESSES = {4: (IP, "198.51.100.7", "10.77.0.11"), 6: (IPv6, "2001:db8::7", "fd00::11")}


def segments(packet: Any, offset: int, gso_type: int) -> list[bytes]:
    """Return all that a super-packet is cut into."""
    raw = bytes(packet)
    l4 = len(raw) - len(bytes(packet.payload))
    frame = frame_of(
        raw,
        needs_checksum=1,
        checksum_start=l4,
        checksum_offset=offset,
        gso_type=gso_type,
        gso_size=SIZE,
    )
    piece = np.zeros(1 << 16, np.uint8)
    found: list[bytes] = []
    headers = len(raw) - len(PAYLOAD)
    for number in range(10):
        length = write_segment(octets(raw), frame, headers, number, piece)
        if length == NO_SEGMENT:
            return found
        found.append(piece[:length].tobytes())
    raise AssertionError


def summed_anew(segment: bytes, layer: Any) -> bytes:
    """Return a segment with lengths and sums as scapy has them."""
    read = layer(segment)
    for each in (read, read.payload):
        for name in ("chksum", "len", "plen"):
            if name in each.fields:
                delattr(each, name)
    return bytes(read)


@pytest.mark.parametrize("version", [4, 6])
def test_tcp_counts_on_and_keeps_each_flag_where_it_belongs(version: int) -> None:
    """CWR in the first, FIN and PSH in the last."""
    layer, source, destination = ADDRESSES[version]
    head = layer(src=source, dst=destination, **({"id": 0xFFFF} if version == 4 else {}))
    options = [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]
    tcp = TCP(sport=1, dport=2, seq=0xFFFFFF00, flags="FPAC", options=options)
    found = segments(head / tcp / Raw(PAYLOAD), 16, GSO_TCP4)
    read = [layer(each) for each in found]

    assert [str(each[TCP].flags) for each in read] == ["AC", "A", "FPA"]
    assert [each[TCP].seq for each in read] == [0xFFFFFF00, 744, 1744]
    assert b"".join(bytes(each[TCP].payload) for each in read) == PAYLOAD
    assert [summed_anew(each, layer) for each in found] == found
    if version == 4:
        assert [each.id for each in read] == [0xFFFF, 0, 1]


@pytest.mark.parametrize("version", [4, 6])
def test_each_datagram_has_a_length_of_its_own(version: int) -> None:
    """And a sum."""
    layer, source, destination = ADDRESSES[version]
    packet = layer(src=source, dst=destination) / UDP(sport=1, dport=2) / Raw(PAYLOAD)
    found = segments(packet, 6, GSO_UDP_L4)

    assert [layer(each)[UDP].len for each in found] == [1008, 1008, 508]
    assert [summed_anew(each, layer) for each in found] == found


def test_a_sum_of_zero_is_sent_by_its_other_name() -> None:
    """RFC 768; scapy finds the datagram whose sum it is."""
    layer, source, destination = ADDRESSES[4]
    datagram = UDP(sport=1, dport=2) / Raw(b"\0\0" + PAYLOAD[2:])
    first = (
        layer(src=source, dst=destination) / UDP(sport=1, dport=2) / Raw(b"\0\0" + PAYLOAD[2:SIZE])
    )
    rest = layer(bytes(first))[UDP].chksum
    datagram[Raw].load = rest.to_bytes(2) + PAYLOAD[2:]
    found = segments(layer(src=source, dst=destination) / datagram, 6, GSO_UDP_L4)

    assert layer(found[0])[UDP].chksum == 0xFFFF
