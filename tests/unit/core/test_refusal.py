from __future__ import annotations

from typing import Any

import pytest

from natlb.control.compile import Sides, WayOut
from natlb.engine import DropReason, PacketMeta, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header
from tests import judge
from tests.datapath import (
    B1,
    B1_6,
    CLIENT,
    CLIENT6,
    SERVICES,
    VIP,
    VIP6,
    assert_counts_agree,
    engine,
)

WEB, WEB6 = f"{VIP}:80", f"[{VIP6}]:80"
FROM, FROM6 = f"{CLIENT}:40000", f"[{CLIENT6}]:40000"
DATAGRAM = packets.udp(FROM, f"{VIP}:99", b"hello")
DATAGRAM6 = packets.udp(FROM6, f"[{VIP6}]:99", b"hello")


def damaged(packet: bytes) -> bytes:
    """Return a packet whose last octet was changed on the way."""
    return packet[:-1] + bytes([packet[-1] ^ 0x40])


@pytest.mark.parametrize(("source", "vip"), [(FROM, f"{VIP}:99"), (FROM6, f"[{VIP6}]:99")])
def test_a_closed_tcp_port_resets(source: str, vip: str) -> None:
    """As a host does where nothing listens (RFC 9293 section 3.10.7.1)."""
    asked = engine()
    result = asked.process(packets.tcp(source, vip, "S", sequence=77), 0.0)
    answer = packets.read(result.packets[0])

    assert (result.verdict, result.reason) == (Verdict.REPLY, DropReason.NO_SERVICE)
    assert result.sides == ["public"]
    assert (answer.source, answer.destination) == (vip, source)
    assert (answer.flags, answer.sequence, answer.acknowledgement) == ("RA", 0, 78)
    assert judge.is_sound(result.packets[0])
    assert asked.stats().replies == {"no-service": 1}
    assert_counts_agree(asked.stats())


@pytest.mark.parametrize("packet", [DATAGRAM, DATAGRAM6])
def test_a_closed_udp_port_is_unreachable(packet: bytes) -> None:
    """ICMP "port unreachable" from the VIP, with all of the datagram quoted."""
    result = engine().process(packet, 0.0)
    answer = result.packets[0]
    read = judge.dissect(answer)

    assert (result.verdict, result.reason) == (Verdict.REPLY, DropReason.NO_SERVICE)
    assert answer.endswith(packet)
    assert not packets.faults(answer)
    if packet[0] >> 4 == 4:
        assert (read.src, read.dst) == (VIP, CLIENT)
        assert (read[judge.ICMP].type, read[judge.ICMP].code) == (3, 3)
        assert (read[judge.UDPerror].sport, read[judge.UDPerror].dport) == (40000, 99)
    else:
        assert (read.src, read.dst) == (VIP6, CLIENT6)
        assert (read[judge.ICMPv6DestUnreach].type, read[judge.ICMPv6DestUnreach].code) == (1, 4)


@pytest.mark.parametrize(("source", "vip"), [(FROM, WEB), (FROM6, WEB6)])
@pytest.mark.parametrize("flags", ["A", "PA", "FA", "SA"])
def test_a_segment_without_a_flow_is_told_so(source: str, vip: str, flags: str) -> None:
    """The peer fails at once, not by a hang: the reset stands where its ACK points (T16)."""
    result = engine().process(packets.tcp(source, vip, flags, acknowledgement=12345), 0.0)
    answer = packets.read(result.packets[0])

    assert (result.verdict, result.reason) == (Verdict.REPLY, DropReason.OUT_OF_STATE)
    assert (answer.flags, answer.sequence) == ("R", 12345)
    assert (answer.source, answer.destination) == (vip, source)


@pytest.mark.parametrize("flags", ["R", "RA"])
@pytest.mark.parametrize(
    ("vip", "reason"), [(WEB, DropReason.OUT_OF_STATE), (f"{VIP}:99", DropReason.NO_SERVICE)]
)
def test_a_reset_is_not_answered(flags: str, vip: str, reason: DropReason) -> None:
    """Two of natlb would reset each other for ever."""
    result = engine().process(packets.tcp(FROM, vip, flags), 0.0)

    assert (result.verdict, result.reason, result.packets) == (Verdict.DROP, reason, [])


@pytest.mark.parametrize(
    "packet", [packets.tcp(FROM, f"{VIP}:99", "S", payload=b"hello"), DATAGRAM, DATAGRAM6]
)
def test_a_damaged_packet_is_refused_in_silence(packet: bytes) -> None:
    """Who it came from is not known (RFC 1122 section 3.2.2)."""
    result = engine().process(damaged(packet), 0.0)

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.NO_SERVICE)


def test_a_datagram_without_a_checksum_is_answered() -> None:
    """There is nothing to be wrong."""
    result = engine().process(packets.udp(FROM, f"{VIP}:99", b"x", checksum=0), 0.0)

    assert result.verdict is Verdict.REPLY


def test_a_super_packet_gets_one_answer() -> None:
    """And counts as its segments: four received, four replied to, one packet sent."""
    asked = engine()
    packet = packets.unfinished(packets.udp(FROM, f"{VIP}:99", bytes(400)))
    meta = PacketMeta(unfinished_checksum=True, segment_size=100)
    result = asked.process(packet, 0.0, meta)

    assert result.verdict is Verdict.REPLY
    assert len(result.packets) == 1
    stats = asked.stats()
    assert (stats.packets.received, stats.packets.replied, stats.packets.sent) == (4, 4, 1)
    assert stats.bytes.received == 4 * 28 + 400
    assert_counts_agree(stats)


@pytest.mark.parametrize(
    ("packet", "kind"),
    [
        (packets.tcp(FROM, WEB, header=Header(ttl=1)), (11, 0)),
        (packets.tcp(FROM, WEB, header=Header(ttl=0)), (11, 0)),
        (packets.udp(FROM6, f"[{VIP6}]:53", b"?", header=Header(ttl=1)), (3, 0)),
    ],
)
def test_a_spent_ttl_is_answered_from_the_vip(packet: bytes, kind: tuple[int, int]) -> None:
    """With the public quote: before anything is rewritten (R1)."""
    asked = engine()
    result = asked.process(packet, 0.0)
    answer = result.packets[0]
    at = packets.transport_at(answer)

    assert (result.verdict, result.reason) == (Verdict.REPLY, DropReason.TTL_EXPIRED)
    assert (answer[at], answer[at + 1]) == kind
    assert answer.endswith(packet)
    assert packets.read(answer).source in (VIP, VIP6)
    assert not packets.faults(answer)
    assert not asked.flows()


def test_a_spent_ttl_of_a_damaged_packet_is_not_answered() -> None:
    """No error about damage."""
    packet = damaged(packets.tcp(FROM, WEB, payload=b"x", header=Header(ttl=1)))
    result = engine().process(packet, 0.0)

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.TTL_EXPIRED)


def with_addresses(**addresses: Any) -> Any:
    """Return an engine that has these addresses of its own on the private side."""
    path = engine({**SERVICES, "dns6": {**SERVICES["dns6"]}}, mtu=(1280, 65535))
    ways = path._sides
    path._sides = Sides(public=ways.public, private=WayOut(**addresses))
    path.load({"datapath": {"max_flows": 1000}, "services": SERVICES, "timeouts": {"udp": 299}})
    return path


def large_answer(path: Any, *, version: int) -> Any:
    """Return what becomes of a backend's answer that does not fit the public side."""
    source, vip = (FROM, f"{VIP}:53") if version == 4 else (FROM6, f"[{VIP6}]:53")
    request = path.process(packets.udp(source, vip, b"?"), 0.0)
    server = packets.read(request.packets[0]).destination
    return path.process(packets.udp(server, source, bytes(1300)), 0.0)


def test_a_backend_is_told_by_the_address_of_its_side() -> None:
    """Not by the client's address, which never sent that."""
    path = with_addresses(address4=address_of("10.9.0.1"), address6=address_of("fd00:9::1"))
    for version, expected in ((4, "10.9.0.1"), (6, "fd00:9::1")):
        result = large_answer(path, version=version)

        assert (result.verdict, result.reason) == (Verdict.REPLY, DropReason.MTU_EXCEEDED)
        assert result.sides == ["private"]
        assert packets.read(result.packets[0]).source == expected
        assert packets.read(result.packets[0]).destination in (B1, B1_6, "10.9.0.12", "fd00:9::12")


def address_of(text: str) -> Any:
    """Return an address."""
    return packets.split_endpoint(text)[0]


def test_who_has_no_address_answers_from_the_dummy_or_not_at_all() -> None:
    """192.0.0.8 is made for that (RFC 7600 section 6); IPv6 has none of the kind."""
    path = with_addresses()
    result = large_answer(path, version=4)
    assert packets.read(result.packets[0]).source == "192.0.0.8"
    result = large_answer(path, version=6)

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.MTU_EXCEEDED)


def test_too_big_is_told_whatever_else_was_answered() -> None:
    """It is no amplifier, and a transfer hangs without it."""
    path = engine(mtu=(1500, 1300), datapath={"max_flows": 10, "error_rate": 0})
    big = packets.udp(f"{CLIENT}:5000", f"{VIP}:53", bytes(1400))
    closed = packets.udp(f"{CLIENT}:5000", f"{VIP}:9", b"x")

    assert path.process(closed, 0.0).reason is DropReason.RATE_LIMIT
    assert path.process(big, 0.0).reason is DropReason.MTU_EXCEEDED
    assert path.process(big, 0.0).verdict is Verdict.REPLY
