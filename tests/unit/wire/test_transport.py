from __future__ import annotations

import struct

import pytest

from natlb.testing import packets
from natlb.wire.fields import ICMP4, ICMP6, TCP, UDP
from natlb.wire.reasons import ACCEPTED, BAD_CHECKSUM, MALFORMED
from tests.conformance.pieces import piece
from tests.kernels import needs_plain_kernels, parsed_of

needs_plain_kernels()

CLIENT, VIP = "198.51.100.2:40000", "203.0.113.10:80"
CLIENT6, VIP6 = "[2001:db8::2]:40000", "[2001:db8:f::10]:80"


def around(segment: bytes, protocol: int, *, version: int = 4) -> bytes:
    """Return a packet around a transport segment, whatever that is."""
    names = (CLIENT, VIP) if version == 4 else (CLIENT6, VIP6)
    source, destination = (packets.split_endpoint(name)[0] for name in names)
    return packets.ip(source, destination, protocol, segment)


def flagged(letters: str) -> int:
    """Return the refusal of a segment with these flags."""
    return int(parsed_of(packets.tcp(CLIENT, VIP, letters))["refusal"])


@pytest.mark.parametrize(
    "letters",
    ["S", "SEC", "SA", "SU", "SAE", "A", "PA", "UA", "PUA", "FA", "FPA", "FAU", "R", "RA", "RPA"],
)
def test_flags_that_some_tcp_sends_are_accepted(letters: str) -> None:
    """Dropping odd but legal ones stalls real connections: ECN, urgent data, resets with either."""
    assert flagged(letters) == ACCEPTED


@pytest.mark.parametrize(
    "letters",
    ["", "F", "P", "U", "PU", "FPU", "FP", "SF", "SR", "SFR", "SFA", "SRA", "FR", "FRA"],
)
def test_flags_that_no_tcp_sends_are_malformed(letters: str) -> None:
    """Marks of a port scan: null, XMAS, SYN with FIN or RST, FIN without ACK."""
    assert flagged(letters) == MALFORMED


@pytest.mark.parametrize("length", range(20))
def test_a_tcp_header_cut_short_is_malformed(length: int) -> None:
    """Also a first fragment of eight octets, which hides the flags (RFC 1858)."""
    segment = packets.tcp(CLIENT, VIP)[20 : 20 + length]

    assert parsed_of(around(segment, TCP))["refusal"] == MALFORMED


def test_data_offsets_that_cannot_be_are_malformed() -> None:
    """Below five words, or past the segment's end."""
    segment = packets.tcp(CLIENT, VIP, payload=bytes(4))[20:]
    for words in range(16):
        packet = around(segment[:12] + bytes([words << 4]) + segment[13:], TCP)
        expected = ACCEPTED if words in (5, 6) else MALFORMED

        assert parsed_of(packet)["refusal"] == expected


def test_what_is_kept_of_a_segment() -> None:
    """Where its payload begins counts its sequence numbers; options belong to the header."""
    packet = packets.tcp(CLIENT6, VIP6, "PA", options=bytes(12), payload=b"hello")
    parsed = parsed_of(packet)

    assert parsed["payload"] == 40 + 20 + 12
    assert parsed["tcp_flags"] == 0x18
    assert (parsed["source_port"], parsed["destination_port"]) == (40000, 80)


@pytest.mark.parametrize("names", [("198.51.100.2:0", VIP), (CLIENT, "203.0.113.10:0")])
def test_port_zero_is_malformed(names: tuple[str, str]) -> None:
    """It is reserved; an answer to it would be an answer to a forgery."""
    assert parsed_of(packets.tcp(*names))["refusal"] == MALFORMED
    assert parsed_of(packets.udp(*names))["refusal"] == MALFORMED


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (0, MALFORMED),
        (7, MALFORMED),
        (8, ACCEPTED),
        (12, ACCEPTED),
        (13, ACCEPTED),
        (14, MALFORMED),
    ],
)
def test_the_length_that_udp_says_is_compared(said: int, expected: int) -> None:
    """Below its own header or past the packet it lies; below the packet's end it is allowed."""
    datagram = packets.udp(CLIENT, VIP, b"hello")[20:]
    packet = around(datagram[:4] + struct.pack("!H", said) + datagram[6:], UDP)

    assert parsed_of(packet)["refusal"] == expected


@pytest.mark.parametrize("length", range(8))
def test_a_udp_header_cut_short_is_malformed(length: int) -> None:
    """All eight octets, or there are no ports to go by."""
    assert parsed_of(around(bytes(range(1, 9))[:length], UDP))["refusal"] == MALFORMED


def test_a_first_fragment_says_the_whole_datagrams_length() -> None:
    """Which is longer than the piece: no lie there."""
    datagram = packets.udp(CLIENT, VIP, bytes(2000))[20:1500]
    source, destination = (packets.split_endpoint(name)[0] for name in (CLIENT, VIP))
    header = packets.Header(dont_fragment=False, more_fragments=True)

    packet = packets.ip(source, destination, UDP, datagram, header)

    assert parsed_of(packet)["refusal"] == ACCEPTED


@pytest.mark.parametrize(("version", "protocol"), [(4, ICMP4), (6, ICMP6)])
def test_an_icmp_message_has_a_header(version: int, protocol: int) -> None:
    """Eight octets; the other version's number is an unknown protocol like any."""
    other = ICMP6 if protocol == ICMP4 else ICMP4
    short = parsed_of(around(bytes(7), protocol, version=version))
    whole = parsed_of(around(bytes(8), protocol, version=version))
    foreign = parsed_of(around(bytes(7), other, version=version))

    assert short["refusal"] == MALFORMED
    assert whole["refusal"] == foreign["refusal"] == ACCEPTED


def test_udp_over_ip6_without_a_checksum_is_refused() -> None:
    """RFC 8200 section 8.1; over IPv4 it means "none", and unfinished it is a sum."""
    assert parsed_of(packets.udp(CLIENT6, VIP6, checksum=0))["refusal"] == BAD_CHECKSUM
    assert parsed_of(packets.udp(CLIENT, VIP, checksum=0))["refusal"] == ACCEPTED
    form = {"needs_checksum": 1, "checksum_start": 40, "checksum_offset": 6}
    assert parsed_of(packets.udp(CLIENT6, VIP6, checksum=0), **form)["refusal"] == ACCEPTED


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("protocol", "offset", "verdict"),
    [(TCP, 8, MALFORMED), (TCP, 16, ACCEPTED), (UDP, 8, ACCEPTED)],
)
def test_a_piece_that_could_replace_tcps_flags_is_malformed(
    version: int, protocol: int, offset: int, verdict: int
) -> None:
    """Eight octets in (RFC 3128); UDP's header has no more than eight."""
    names = (CLIENT, VIP) if version == 4 else (CLIENT6, VIP6)
    source, destination = (packets.split_endpoint(name)[0] for name in names)
    head = packets.ip(source, destination, protocol, b"")

    assert parsed_of(piece(head, protocol, bytes(16), offset, 7, more=False))["refusal"] == verdict


@pytest.mark.parametrize("form", [{"needs_checksum": 1}, {"gso_type": 1, "gso_size": 8}])
@pytest.mark.parametrize("offset", [0, 24])
def test_a_fragment_with_something_left_to_the_device_is_malformed(
    form: dict[str, int], offset: int
) -> None:
    """No kernel makes one, and whoever cuts it again would have to finish it first."""
    whole = packets.tcp(CLIENT, VIP, payload=bytes(28))
    given = {"checksum_start": 20, "checksum_offset": 16, **form}
    packet = piece(whole[:20], TCP, whole[20 + offset :][:24], offset, 7, more=True)

    assert parsed_of(packet)["refusal"] == ACCEPTED
    assert parsed_of(packet, **given)["refusal"] == MALFORMED
