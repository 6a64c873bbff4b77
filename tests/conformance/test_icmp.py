"""ICMP and ICMPv6: RFC 792, 5508, 4884, 5927, 1812 section 4.3, 4443."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from natlb.engine import DropReason, PacketMeta, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header, sum_words
from tests.conformance.site import Site, Version
from tests.judge import dissect, is_sound

if TYPE_CHECKING:
    from natlb.engine import Result

# name -> (type, code) by IP version
KINDS = {
    "net unreachable": {4: (3, 0), 6: (1, 0)},
    "host unreachable": {4: (3, 1), 6: (1, 3)},
    "port unreachable": {4: (3, 3), 6: (1, 4)},
    "too big": {4: (3, 4), 6: (2, 0)},
    "time exceeded": {4: (11, 0), 6: (3, 0)},
    "reassembly time exceeded": {4: (11, 1), 6: (3, 1)},
    "parameter problem": {4: (12, 0), 6: (4, 0)},
}
PROHIBITED = {4: (3, 13), 6: (1, 1)}
TOO_BIG = KINDS["too big"]
MTU = 1300


def error(
    version: Version,
    kind: str,
    source: str,
    destination: str,
    quote: bytes,
    rest: int | None = None,
) -> bytes:
    """Return an ICMP error of a kind by its name."""
    number, code = KINDS[kind][version]
    rest = (MTU if kind == "too big" else 0) if rest is None else rest
    return packets.icmp(source, destination, number, code, rest, quote)


def quote_of(packet: bytes) -> bytes:
    """Return what an ICMP error quotes."""
    return packet[(packet[0] & 15) * 4 + 8 if packet[0] >> 4 == 4 else 48 :]


def kind_of(packet: bytes) -> tuple[int, int]:
    """Return an ICMP message's type and code."""
    at = (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else 40
    return packet[at], packet[at + 1]


def rest_of(packet: bytes) -> int:
    """Return the second word of an ICMP header: an MTU, or nothing."""
    at = (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else 40
    return struct.unpack_from("!I", packet, at + 4)[0]


def ends_of(quote: bytes) -> tuple[str, str]:
    """Return source and destination of a quoted packet, with its ports."""
    version = quote[0] >> 4
    at = (quote[0] & 15) * 4 if version == 4 else 40
    padded = quote + bytes(max(0, at + 20 - len(quote)))
    sport, dport = struct.unpack_from("!HH", padded, at)
    ends = (quote[12:16], quote[16:20]) if version == 4 else (quote[8:24], quote[24:40])
    (source, destination) = (ip_address(each) for each in ends)
    return packets.join_endpoint(source, sport), packets.join_endpoint(destination, dport)


class Talk:
    """A live conversation over TCP or UDP, and what of it was on the wires."""

    def __init__(self, version: Version, protocol: str = "udp", **words: Any) -> None:
        """Open a flow and answer it."""
        self.site = site = Site(version, **words)
        self.sent = site.udp(b"q" * 200) if protocol == "udp" else site.tcp("S", payload=b"q" * 200)
        self.inside = site.send(self.sent).packets[0]
        seen = packets.read(self.inside)
        self.server, self.seen_as = seen.destination, seen.source
        build = packets.udp if protocol == "udp" else packets.tcp
        words = (
            {} if protocol == "udp" else {"flags": "SA", "sequence": 5000, "acknowledgement": 1201}
        )
        self.answered = build(self.server, self.seen_as, payload=b"a" * 200, **words)
        self.outside = site.send(self.answered).packets[0]

    def from_client(
        self, kind: str, quote: bytes | None = None, source: str = "client", **words: Any
    ) -> Result:
        """Send the client's (or a router's) error about what reached it."""
        site = self.site
        quote = self.outside if quote is None else quote
        packet = error(site.version, kind, getattr(site, source), site.vip, quote, **words)
        return site.send(packet, "public")

    def from_inside(
        self, kind: str, quote: bytes | None = None, source: str = "inner_router", **words: Any
    ) -> Result:
        """Send the backend's (or a router's) error about what natlb sent it."""
        site = self.site
        quote = self.inside if quote is None else quote
        there = packets.split_endpoint(self.seen_as)[0].compressed
        packet = error(site.version, kind, getattr(site, source, source), there, quote, **words)
        return site.send(packet, "private")


def dropped(result: Result, *reasons: DropReason) -> bool:
    """Return whether a packet was dropped in silence, for one of these reasons."""
    return result.verdict is Verdict.DROP and not result.packets and result.reason in reasons


@pytest.mark.conformance("C2")
@pytest.mark.parametrize("size", [0, 1, 56, 1400, 8000])
def test_an_echo_to_the_vip_is_answered(version: Version, size: int) -> None:
    """By natlb itself: identifier, number and octets as they came."""
    site = Site(version)
    payload = bytes(n & 255 for n in range(size))
    request = packets.echo_request(site.client, site.vip, payload)
    result = site.send(request)
    assert result.verdict is Verdict.REPLY
    out = result.packets[0]
    assert is_sound(out)
    assert kind_of(out) == ((0, 0) if version == 4 else (129, 0))
    assert quote_of(out) == payload
    assert rest_of(out) == rest_of(request)


@pytest.mark.conformance("C3")
@pytest.mark.parametrize("side", ["client", "inside"])
def test_a_wrong_sum_is_silence(version: Version, side: str) -> None:
    """The outer checksum."""
    talk = Talk(version)
    site = talk.site
    ends = (site.client, site.vip) if side == "client" else (site.inner_router, site.client)
    quote = talk.outside if side == "client" else talk.inside
    packet = bytearray(error(version, "port unreachable", *ends, quote))
    packet[-1] ^= 1
    result = site.send(bytes(packet), "public" if side == "client" else "private")

    assert dropped(result, DropReason.BAD_CHECKSUM)


@pytest.mark.conformance("C4")
def test_a_quote_with_a_wrong_ip_sum_drops() -> None:
    """IPv4 alone has one."""
    talk = Talk(4)
    quote = bytearray(talk.outside)
    quote[10] ^= 1

    assert dropped(
        talk.from_client("port unreachable", bytes(quote)),
        DropReason.ICMP_UNMATCHED,
        DropReason.BAD_CHECKSUM,
    )


@pytest.mark.conformance("C4", version=4)
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_quote_with_options_is_rewritten_at_the_right_place(protocol: str) -> None:
    """A router may have added them behind natlb."""
    talk = Talk(4, protocol)
    quote = bytearray(talk.outside[:20] + bytes([1] * 8) + talk.outside[20:])
    quote[0] = 0x47
    quote[10:12] = b"\0\0"
    struct.pack_into("!H", quote, 10, ~sum_words(bytes(quote[:28])) & 0xFFFF)
    out = talk.from_client("time exceeded", bytes(quote)).packets[0]
    inner = quote_of(out)
    assert ends_of(inner) == (talk.server, talk.seen_as)
    assert inner[20:28] == bytes([1] * 8)
    assert sum_words(inner[:28]) == 0xFFFF


@pytest.mark.conformance("C4")
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_quote_with_a_wrong_transport_sum_is_forwarded(version: Version, protocol: str) -> None:
    """It cannot be judged where the quote is cut off, so it never is."""
    talk = Talk(version, protocol)
    at = packets.transport_at(talk.outside) + (6 if protocol == "udp" else 16)
    quote = bytearray(talk.outside)
    quote[at] ^= 0x5A

    assert talk.from_client("port unreachable", bytes(quote)).verdict is Verdict.FORWARD


@pytest.mark.conformance("C5")
@pytest.mark.parametrize("original", [128, 132, 160])
def test_extensions_are_kept(version: Version, original: int) -> None:
    """Behind an original datagram padded with zeros, whose length the header says in words."""
    talk = Talk(version)
    unit = 4 if version == 4 else 8
    original = -(-original // unit) * unit
    extension = bytes.fromhex("20 00 a1 b2 00 08 01 01 00 01 21 40")
    quote = (talk.outside[:original] + bytes(original))[:original] + extension
    length = original // unit
    rest = length << 16 if version == 4 else length << 24
    out = talk.from_client("time exceeded", quote, rest=rest).packets[0]
    inner = quote_of(out)
    assert inner[original:] == extension
    assert ends_of(inner) == (talk.server, talk.seen_as)
    assert rest_of(out) == rest
    assert is_sound_icmp(out)


@pytest.mark.conformance("C5")
@pytest.mark.parametrize("words", [200, 255])
def test_a_length_that_lies_drops(version: Version, words: int) -> None:
    """More original datagram than there are octets."""
    talk = Talk(version)
    rest = words << 16 if version == 4 else words << 24
    result = talk.from_client("time exceeded", talk.outside[:136], rest=rest)

    assert dropped(result, DropReason.MALFORMED, DropReason.ICMP_UNMATCHED)


def is_sound_icmp(packet: bytes) -> bool:
    """Return whether an ICMP message's own sum and its IP header's are right."""
    return not packets.faults(packet)


@pytest.mark.conformance("C6")
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_the_clients_reaches_the_backend(
    version: Version, kind: str, protocol: str
) -> None:
    """Type, code and MTU as they came; the quote is what the backend sent."""
    talk = Talk(version, protocol)
    result = talk.from_client(kind)
    out = result.packets[0]
    assert result.sides == ["private"]
    assert packets.read(out).source == talk.site.client
    assert packets.read(out).destination == packets.split_endpoint(talk.server)[0].compressed
    assert (kind_of(out), rest_of(out)) == (KINDS[kind][version], MTU if kind == "too big" else 0)
    assert ends_of(quote_of(out)) == (talk.server, talk.seen_as)
    assert is_sound_icmp(out)
    assert dissect(quote_of(out)) is not None
    assert packets.faults(quote_of(out)) == []


@pytest.mark.conformance("C7")
def test_a_routers_error_keeps_its_source(version: Version) -> None:
    """So that a traceroute from the backend shows the way."""
    talk = Talk(version)
    out = talk.from_client("time exceeded", source="router").packets[0]

    assert packets.read(out).source == talk.site.router


@pytest.mark.conformance("C8")
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("source", ["inner_router", "backend"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_error_from_inside_comes_from_the_vip(
    version: Version, kind: str, source: str, protocol: str
) -> None:
    """Never from a private address; the quote is what the client sent, to the octet."""
    talk = Talk(version, protocol)
    who = source if source != "backend" else packets.split_endpoint(talk.server)[0].compressed
    result = talk.from_inside(kind, source=who)
    out = result.packets[0]
    read = packets.read(out)
    assert result.sides == ["public"]
    assert (read.source, read.destination) == (talk.site.vip, talk.site.client)
    assert (kind_of(out), rest_of(out)) == (KINDS[kind][version], MTU if kind == "too big" else 0)
    assert quote_of(out) == talk.sent
    assert is_sound_icmp(out)


@pytest.mark.conformance("C9")
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_eight_octets_are_enough(version: Version, protocol: str) -> None:
    """TCP has no checksum in them, UDP has; an UDP checksum of zero stays zero."""
    talk = Talk(version, protocol)
    at = packets.transport_at(talk.inside)
    out = talk.from_inside("port unreachable", talk.inside[: at + 8]).packets[0]

    assert quote_of(out) == talk.sent[: at + 8]


@pytest.mark.conformance("C9", version=4)
def test_a_quoted_checksum_of_zero_stays_zero() -> None:
    """UDP over IPv4 without one."""
    site = Site(4)
    sent = site.udp(b"q", checksum=0)
    inside = site.send(sent).packets[0]
    packet = error(4, "port unreachable", site.inner_router, site.client, inside[:28])

    assert quote_of(site.send(packet, "private").packets[0]) == sent[:28]


@pytest.mark.conformance("C10")
@pytest.mark.parametrize("what", ["fragment", "unknown flow", "error", "nothing"])
def test_quotes_that_match_nothing_are_dropped(version: Version, what: str) -> None:
    """A later fragment has no ports; an error about an error is none."""
    talk = Talk(version)
    site = talk.site
    if what == "fragment":
        quote = bytearray(talk.outside)
        if version == 4:
            quote[6:8] = struct.pack("!H", 185)
            quote[10:12] = b"\0\0"
            struct.pack_into("!H", quote, 10, ~sum_words(bytes(quote[:20])) & 0xFFFF)
        else:
            fragment = struct.pack("!BBHI", 17, 0, 185 << 3, 7)
            quote = bytearray(quote[:6] + b"\x2c" + quote[7:40] + fragment + quote[40:])
        given = bytes(quote)
    elif what == "unknown flow":
        given = packets.udp(site.at("vip", 53), site.at("client", 6), b"x")
    elif what == "error":
        given = error(version, "port unreachable", site.vip, site.client, talk.outside)
    else:
        given = b""
    result = talk.from_client("port unreachable", given)

    assert dropped(result, DropReason.ICMP_UNMATCHED, DropReason.MALFORMED)


@pytest.mark.conformance("C11")
def test_a_quote_of_somebody_else_is_not_forwarded(version: Version) -> None:
    """The quote must be what the one it is sent to has sent (CVE-2019-5598)."""
    talk = Talk(version)
    site = talk.site
    other = error(version, "port unreachable", site.inner_router, site.other_client, talk.inside)

    assert dropped(site.send(other, "private"), DropReason.ICMP_UNMATCHED)


@pytest.mark.conformance("C11")
def test_an_error_on_the_wrong_side_is_not_forwarded(version: Version) -> None:
    """A forged quote of the inside, from outside."""
    talk = Talk(version)
    site = talk.site
    forged = error(version, "port unreachable", site.router, site.vip, talk.inside)

    assert not site.send(forged, "public").packets


@pytest.mark.conformance("C12", "U10")
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("kind", KINDS)
def test_errors_neither_refresh_nor_delete(version: Version, kind: str, protocol: str) -> None:
    """From either side: the flow is what it was, and its timer runs on."""
    timeouts = {"udp": 30, "tcp_opening": 30}
    talk = Talk(version, protocol, timeouts=timeouts)
    talk.site.wait(20)
    before = talk.site.engine.flows()
    talk.from_client(kind)
    talk.from_inside(kind)
    assert talk.site.engine.flows() == before
    talk.site.wait(13)
    assert not talk.site.engine.flows()


@pytest.mark.conformance("C12", "U10", version=4)
@pytest.mark.parametrize(("number", "code"), [(4, 0), (5, 1)])
def test_quench_and_redirect_change_nothing(number: int, code: int) -> None:
    """Not forwarded, and the flow lives."""
    talk = Talk(4)
    before = talk.site.engine.flows()
    packet = packets.icmp(talk.site.client, talk.site.vip, number, code, 0, talk.outside)
    assert not talk.site.send(packet).packets
    assert talk.site.engine.flows() == before


@pytest.mark.conformance("C13")
def test_an_error_about_a_hairpinned_flow_is_delivered(version: Version) -> None:
    """To the backend that called, from the VIP, about what it sent."""
    source = "10.9.0.100" if version == 4 else "fd00:9::100"
    site = Site(version, datapath={"source": [source]})
    me, _ = site.servers
    sent = packets.udp(site.at(me, 6000), site.at("vip", 53), b"q")
    inside = site.send(sent).packets[0]
    seen = packets.read(inside)
    there = packets.split_endpoint(seen.destination)[0].compressed
    packet = error(version, "port unreachable", there, source, inside)
    result = site.send(packet, "private")
    out = result.packets[0]
    assert result.sides == ["private"]
    assert (packets.read(out).source, packets.read(out).destination) == (site.vip, me)
    assert quote_of(out) == sent


@pytest.mark.conformance("C14")
@pytest.mark.parametrize("why", ["table", "ports", "service", "access"])
def test_no_room_is_prohibited(version: Version, why: str) -> None:
    """RFC 5508 REQ-8: the client is told, the flows that are there go on."""
    source = "10.9.0.100" if version == 4 else "fd00:9::100"
    words: dict[str, dict[str, Any]] = {
        "table": {"datapath": {"max_flows": 1}},
        "ports": {
            "service": {"nat": "full"},
            "datapath": {"source": [source], "source_ports": "2000-2000"},
            "backends": 1,
        },
        "service": {"service": {"max_flows": 1}},
        "access": {"service": {"access": {"allow": ["198.51.100.2/32", "2001:db8:c::2/128"]}}},
    }
    site = Site(version, **words[why])
    first = site.send(site.udp()).packets[0]
    site.send(site.answer(first))
    refused = packets.udp(site.at("other_client", 5001), site.at("vip", 53), b"x")
    result = site.send(refused)
    reasons = {
        "table": DropReason.TABLE_FULL,
        "ports": DropReason.PORT_EXHAUSTED,
        "service": DropReason.SERVICE_LIMIT,
        "access": DropReason.ACCESS,
    }
    assert (result.verdict, result.reason) == (Verdict.REPLY, reasons[why])
    assert kind_of(result.packets[0]) == PROHIBITED[version]
    assert quote_of(result.packets[0]) == refused
    assert site.send(site.udp()).verdict is Verdict.FORWARD


@pytest.mark.conformance("C15")
def test_what_must_elicit_no_error(version: Version) -> None:
    """Errors, later fragments, addresses that are nobody's, wrong sums."""
    site = Site(version)
    silent = [error(version, "port unreachable", site.client, site.vip, site.udp())]
    closed = bytearray(packets.udp(site.at("client", 5), site.at("vip", 9), b"x"))
    closed[-1] ^= 1
    silent.append(bytes(closed))
    nobody = ["224.0.0.1", "255.255.255.255", "0.0.0.0", "127.0.0.1", "240.0.0.1"]
    nobody = nobody if version == 4 else ["ff02::1", "::", "::1", "fe80::1"]
    for address in nobody:
        silent.append(packets.udp(site.at(address, 5), site.at("vip", 9), b"x"))
        silent.append(packets.udp(site.at("client", 5), site.at(address, 9), b"x"))
    for packet in silent:
        result = site.engine.process(packet, 0.0, PacketMeta(side="public"))
        assert result.verdict is Verdict.DROP, packet.hex()
        assert not result.packets


@pytest.mark.conformance("C16")
def test_errors_are_limited_in_rate(version: Version) -> None:
    """10,000 in a second, from forged sources: no more than configured, and a burst."""
    site = Site(version, datapath={"error_rate": 100})
    packet = packets.udp(site.at("client", 5), site.at("vip", 9), b"x")
    answers = 0
    reasons = set()
    for number in range(10_000):
        result = site.engine.process(packet, number / 10_000)
        answers += len(result.packets)
        reasons.add(result.reason)
    assert 90 <= answers <= 160
    assert reasons == {DropReason.NO_SERVICE, DropReason.RATE_LIMIT}


@pytest.mark.conformance("C16")
def test_resets_are_limited_as_well(version: Version) -> None:
    """A flood of segments of no flow makes no flood of resets."""
    site = Site(version, datapath={"error_rate": 100})
    answers = sum(len(site.engine.process(site.tcp("A"), n / 5000).packets) for n in range(5000))

    assert 90 <= answers <= 160


@pytest.mark.conformance("C17")
def test_an_error_quotes_as_much_as_fits(version: Version) -> None:
    """576 octets in all over IPv4, 1280 over IPv6; a small packet whole."""
    site = Site(version)
    for size in (10, 1400):
        packet = packets.udp(site.at("client", 5), site.at("vip", 9), bytes(size))
        out = site.send(packet).packets[0]
        most = 576 if version == 4 else 1280
        assert len(out) == min(most, len(out))
        assert quote_of(out) == packet[: len(quote_of(out))]
        assert len(out) == most or quote_of(out) == packet


@pytest.mark.conformance("C18")
def test_an_errors_source_is_of_the_receiving_side(version: Version) -> None:
    """The VIP that was called; equal input, equal source."""
    site = Site(version)
    packet = packets.udp(site.at("client", 5), site.at("vip", 9), b"x")
    sources = {packets.read(site.send(packet).packets[0]).source for _ in range(3)}

    assert sources == {site.vip}


@pytest.mark.conformance("C19")
def test_other_icmp_is_not_forwarded_and_not_answered(version: Version) -> None:
    """Quench, redirect, timestamp, mask, advertisements and solicitations of routers."""
    talk = Talk(version)
    numbers = (
        [4, 5, 9, 10, 13, 14, 15, 16, 17, 18] if version == 4 else [130, 133, 134, 135, 137, 139]
    )
    for number in numbers:
        packet = packets.icmp(talk.site.client, talk.site.vip, number, 0, 0, talk.outside)
        result = talk.site.send(packet)
        assert dropped(result, DropReason.UNSUPPORTED, DropReason.ICMP_UNMATCHED), number


@pytest.mark.conformance("C20")
@pytest.mark.parametrize("mtu", [0, 68, 552, 1279, 1280])
def test_forged_path_mtus_change_nothing(version: Version, mtu: int) -> None:
    """Natlb keeps none; IPv6 under 1280 is not even forwarded, the rest is the endpoint's."""
    talk = Talk(version, "tcp")
    before = talk.site.engine.flows()
    result = talk.from_client("too big", rest=mtu)
    if version == 6 and mtu < 1280:
        assert not result.packets
    else:
        assert rest_of(result.packets[0]) == mtu
    assert talk.site.engine.flows() == before
    big = talk.site.tcp("S", payload=bytes(1400), header=Header())
    assert talk.site.send(big).verdict is Verdict.FORWARD
