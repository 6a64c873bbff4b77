from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from natlb.testing import packets
from natlb.testing.packets import Header
from tests import judge

ENDS = ("198.51.100.2:40000", "203.0.113.10:80")
ENDS6 = ("[2001:db8::2]:40000", "[2001:db8:f::10]:80")
HEADER = Header(ttl=3, tos=0xB9, identification=4711, flow_label=0xABCDE)


def by_scapy(version: int, transport: Any) -> bytes:
    """Return the packet that scapy makes of the same words."""
    if version == 4:
        ip = judge.IP(src="198.51.100.2", dst="203.0.113.10", ttl=3, tos=0xB9, id=4711, flags="DF")
        return bytes(ip / transport)
    ip = judge.IPv6(src="2001:db8::2", dst="2001:db8:f::10", hlim=3, tc=0xB9, fl=0xABCDE)
    return bytes(ip / transport)


@pytest.mark.parametrize(("version", "ends"), [(4, ENDS), (6, ENDS6)])
@pytest.mark.parametrize("payload", [b"", b"x", b"hello world"])
def test_packets_are_those_that_scapy_makes(
    version: int, ends: tuple[str, str], payload: bytes
) -> None:
    """Octet for octet: the kit judges natlb, scapy judges the kit."""
    tcp = judge.TCP(sport=40000, dport=80, flags="PA", seq=7, ack=9, window=500)
    udp = judge.UDP(sport=40000, dport=80)
    made = packets.tcp(
        *ends, "PA", sequence=7, acknowledgement=9, window=500, payload=payload, header=HEADER
    )

    assert made == by_scapy(version, tcp / judge.Raw(payload))
    assert packets.udp(*ends, payload, header=HEADER) == by_scapy(version, udp / judge.Raw(payload))
    assert not packets.faults(made)


def test_an_echo_is_the_one_that_scapy_makes() -> None:
    """Over both versions; ICMPv6 has a pseudo-header in its sum."""
    from scapy.layers.inet6 import ICMPv6EchoRequest

    echo = packets.echo_request("198.51.100.2", "203.0.113.10", b"data", header=HEADER)
    echo6 = packets.echo_request("2001:db8::2", "2001:db8:f::10", b"data", header=HEADER)

    assert echo == by_scapy(4, judge.ICMP(type=8, id=7, seq=1) / judge.Raw(b"data"))
    assert echo6 == by_scapy(6, ICMPv6EchoRequest(id=7, seq=1, data=b"data"))


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("198.51.100.2:80", "198.51.100.2", 80),
        ("198.51.100.2", "198.51.100.2", 0),
        ("[2001:db8::2]:80", "2001:db8::2", 80),
        ("[2001:db8::2]", "2001:db8::2", 0),
        ("2001:db8::2", "2001:db8::2", 0),
    ],
)
def test_an_endpoint_is_read_and_written(text: str, address: str, port: int) -> None:
    """With and without a port."""
    assert packets.split_endpoint(text) == (ip_address(address), port)
    if port:
        assert packets.join_endpoint(ip_address(address), port) == text


def test_what_is_made_is_read_again() -> None:
    """Fields by their names; padding is not payload."""
    made = packets.tcp(*ENDS6, "SEC", sequence=1 << 32, payload=b"abc", options=b"\2\4\5\xb4")
    fields = packets.read(made + b"padding")

    assert (fields.version, fields.protocol, fields.ttl) == (6, 6, 64)
    assert (fields.source, fields.destination) == ENDS6
    assert (fields.flags, fields.sequence, fields.payload) == ("SEC", 0, b"abc")
    echo = packets.read(packets.echo_request("198.51.100.2", "203.0.113.10"))
    assert (echo.source, echo.destination, echo.flags) == ("198.51.100.2", "203.0.113.10", "")


def test_options_make_the_header_longer() -> None:
    """Padded to words."""
    made = packets.udp(*ENDS, header=Header(options=b"\x07\x03\x04"))

    assert made[0] == 0x46
    assert packets.transport_at(made) == 24
    assert not packets.faults(made)


@pytest.mark.parametrize("ends", [ENDS, ENDS6])
@pytest.mark.parametrize("build", [packets.tcp, packets.udp])
def test_finishing_what_is_unfinished_gives_the_packet_back(
    ends: tuple[str, str], build: Any
) -> None:
    """The field is the pseudo-header's sum meanwhile."""
    made = build(*ends, payload=b"odd")
    left = packets.unfinished(made)

    assert packets.faults(left) == ["wrong transport checksum"]
    assert packets.finished(left) == made


def test_a_finished_udp_sum_of_zero_is_sent_as_ffff() -> None:
    """RFC 768: zero would say that there is none."""
    every = (packets.udp(*ENDS, value.to_bytes(2)) for value in range(1 << 16))
    made = next(each for each in every if each[26:28] == b"\xff\xff")

    assert packets.finished(packets.unfinished(made)) == made
    assert not packets.faults(made)


def test_faults_are_found() -> None:
    """Each of them; and none where UDP has no checksum."""
    made = packets.udp(*ENDS, b"hello")

    assert packets.faults(made[:-1]) == [
        "says 33 octets and has 32",
        "wrong transport checksum",
    ]
    assert packets.faults(made[:8] + b"\1" + made[9:]) == ["wrong header checksum"]
    assert not packets.faults(packets.udp(*ENDS, b"hello", checksum=0))
    assert packets.faults(packets.udp(*ENDS6, b"hello", checksum=0)) == ["wrong transport checksum"]
    other = packets.ip(ip_address("198.51.100.2"), ip_address("203.0.113.10"), 47, b"any")
    assert not packets.faults(other)
    assert not packets.faults(packets.echo_request("198.51.100.2", "203.0.113.10"))
