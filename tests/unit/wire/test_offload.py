from __future__ import annotations

from ipaddress import ip_address

import pytest

from natlb.testing import packets
from natlb.wire.frame import GSO_ECN, GSO_NONE, GSO_TCP4, GSO_TCP6, GSO_UDP_L4
from natlb.wire.reasons import ACCEPTED, MALFORMED
from tests.kernels import needs_plain_kernels, parsed_of

needs_plain_kernels()

ENDS = "198.51.100.2:40000", "203.0.113.10:80"
ENDS6 = "[2001:db8::2]:40000", "[2001:db8:f::10]:80"
DATA = bytes(5000)
TCP4, TCP6 = packets.tcp(*ENDS, "A", payload=DATA), packets.tcp(*ENDS6, "A", payload=DATA)
UDP4, UDP6 = packets.udp(*ENDS, DATA), packets.udp(*ENDS6, DATA)


def form(start: int, offset: int, kind: int = GSO_NONE, size: int = 0) -> dict[str, int]:
    """Return the offload form of a packet with an unfinished checksum."""
    return {
        "needs_checksum": 1,
        "checksum_start": start,
        "checksum_offset": offset,
        "gso_type": kind,
        "gso_size": size,
    }


@pytest.mark.parametrize(
    ("packet", "start", "offset", "kind"),
    [
        (TCP4, 20, 16, GSO_TCP4),
        (TCP6, 40, 16, GSO_TCP6),
        (UDP4, 20, 6, GSO_UDP_L4),
        (UDP6, 40, 6, GSO_UDP_L4),
        (TCP4, 20, 16, GSO_TCP4 | GSO_ECN),
    ],
)
def test_a_super_packet_counts_as_its_segments(
    packet: bytes, start: int, offset: int, kind: int
) -> None:
    """Packets and octets are those on the wire: each segment repeats the headers."""
    parsed = parsed_of(packet, **form(start, offset, kind, 1448))

    headers = len(packet) - len(DATA)
    assert parsed["refusal"] == ACCEPTED
    assert parsed["segments"] == 4  # 3 of 1,448 and one of 656
    assert parsed["wire_bytes"] == 4 * headers + len(DATA)


@pytest.mark.parametrize(
    ("size", "segments"), [(1, 5000), (2500, 2), (4999, 2), (5000, 1), (65535, 1)]
)
def test_segments_are_counted_up(size: int, segments: int) -> None:
    """A last, shorter one is a packet too."""
    assert parsed_of(TCP4, **form(20, 16, GSO_TCP4, size))["segments"] == segments


def test_a_super_packet_without_data_is_one_packet() -> None:
    """None would be a packet that is received and counted nowhere."""
    parsed = parsed_of(packets.tcp(*ENDS, "A"), **form(20, 16, GSO_TCP4, 1448))

    assert parsed["refusal"] == ACCEPTED
    assert (parsed["segments"], parsed["wire_bytes"]) == (1, 40)


def test_an_unfinished_checksum_of_one_packet_is_accepted() -> None:
    """What a local sender with checksum offload leaves."""
    for packet, start, offset in ((TCP4, 20, 16), (TCP6, 40, 16), (UDP4, 20, 6), (UDP6, 40, 6)):
        parsed = parsed_of(packet, **form(start, offset))

        assert parsed["refusal"] == ACCEPTED
        assert (parsed["segments"], parsed["wire_bytes"]) == (1, len(packet))


@pytest.mark.parametrize(
    ("packet", "given"),
    [
        (TCP4, form(20, 16, GSO_TCP6, 1448)),
        (TCP6, form(40, 16, GSO_TCP4, 1448)),
        (TCP4, form(20, 16, GSO_UDP_L4, 1448)),
        (UDP4, form(20, 6, GSO_TCP4, 1448)),
        (UDP4, form(20, 6, 3, 1448)),  # UDP fragmentation offload, of very old kernels
        (TCP4, form(20, 16, 77, 1448)),
        (TCP4, form(20, 16, GSO_TCP4, 0)),
        (TCP4, form(20, 6)),
        (TCP4, form(24, 16)),
        (TCP4, form(65535, 65535)),
        (TCP4, {**form(20, 16, GSO_TCP4, 1448), "needs_checksum": 0}),
    ],
)
def test_a_form_that_does_not_fit_the_packet_is_malformed(
    packet: bytes, given: dict[str, int]
) -> None:
    """A sum finished at a wrong place would be damage of natlb's own."""
    parsed = parsed_of(packet, **given)

    assert parsed["refusal"] == MALFORMED
    assert (parsed["segments"], parsed["wire_bytes"]) == (1, len(packet))


def test_an_unfinished_checksum_of_another_protocol_is_left_to_the_device() -> None:
    """SCTP's CRC is finished so; natlb rewrites none of it, if only it lies inside the packet."""
    sctp = packets.ip(ip_address("198.51.100.2"), ip_address("203.0.113.10"), 132, bytes(32))

    assert parsed_of(sctp, **form(20, 8))["refusal"] == ACCEPTED
    assert parsed_of(sctp, **form(20, 30))["refusal"] == ACCEPTED
    assert parsed_of(sctp, **form(20, 31))["refusal"] == MALFORMED
    assert parsed_of(sctp, **form(19, 8))["refusal"] == MALFORMED
    assert parsed_of(sctp, **form(20, 8, GSO_TCP4, 8))["refusal"] == MALFORMED
