"""IP and the router: RFC 791, 815, 1191, 1812, 1858, 3128, 5722, 6864, 6890, 7112, 8200, 8201."""

from __future__ import annotations

import random
import struct
from ipaddress import ip_address
from typing import Any

import pytest

from natlb.engine import DropReason, PacketMeta, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header, sum_words
from tests.conformance.pieces import cut, joined, piece
from tests.conformance.site import Site, Version
from tests.conformance.test_icmp import kind_of, quote_of, rest_of

BIG = bytes(n * 7 & 255 for n in range(4000))


def resummed(packet: bytearray) -> bytes:
    """Return an IPv4 packet with its header's sum made right again."""
    header = (packet[0] & 15) * 4
    packet[10:12] = b"\0\0"
    struct.pack_into("!H", packet, 10, ~sum_words(bytes(packet[:header])) & 0xFFFF)
    return bytes(packet)


def send_all(site: Site, several: list[bytes]) -> list[bytes]:
    """Send packets one after the other; return all that came out."""
    return [out for packet in several for out in site.send(packet, many=True).packets]


@pytest.mark.conformance("R1")
@pytest.mark.parametrize("driver", ["route", "direct", "own"])
@pytest.mark.parametrize("ttl", [0, 1, 2, 3, 64])
def test_ttl(version: Version, ttl: int, driver: str) -> None:
    """By route the kernel takes a hop behind natlb; on its own natlb takes one itself."""
    site = Site(version, options={"ttl": driver})
    packet = site.udp(header=Header(ttl=ttl))
    result = site.send(packet)
    if ttl < (1 if driver == "direct" else 2):
        assert (result.verdict, result.reason) == (Verdict.REPLY, DropReason.TTL_EXPIRED)
        assert kind_of(result.packets[0]) == ((11, 0) if version == 4 else (3, 0))
        assert quote_of(result.packets[0]) == packet
        return
    assert packets.read(result.packets[0]).ttl == ttl - (driver == "own")


@pytest.mark.conformance("R2")
@pytest.mark.parametrize("first", [0x00, 0x50, 0x70, 0x44, 0x4F])
def test_versions_and_header_lengths_that_cannot_be(first: int) -> None:
    """Neither 4 nor 6; a header shorter than a header, or longer than the packet."""
    site = Site(4)
    packet = bytearray(site.udp())
    packet[0] = first
    result = site.engine.process(bytes(packet), 0.0)

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.MALFORMED)


@pytest.mark.conformance("R2")
@pytest.mark.parametrize(
    ("change", "is_dropped"), [(-30, True), (1, True), (5000, True), (-1, True)]
)
def test_total_lengths_that_cannot_be(version: Version, change: int, is_dropped: bool) -> None:
    """Less than the headers, or more than was received; UDP's own length says when it is cut."""
    site = Site(version)
    packet = bytearray(site.udp(b"12345678"))
    at = 2 if version == 4 else 4
    struct.pack_into("!H", packet, at, max(0, struct.unpack_from("!H", packet, at)[0] + change))
    whole = resummed(packet) if version == 4 else bytes(packet)

    assert (site.engine.process(whole, 0.0).verdict is Verdict.DROP) == is_dropped


@pytest.mark.conformance("R2")
def test_padding_is_cut_off(version: Version) -> None:
    """An Ethernet frame's, behind what the IP header calls the packet."""
    site = Site(version)
    out = site.send(site.udp(b"x") + bytes(18)).packets[0]

    assert len(out) == len(site.udp(b"x"))
    assert packets.faults(out) == []


@pytest.mark.conformance("R3", version=4)
def test_a_wrong_header_sum_drops() -> None:
    """Never repaired."""
    site = Site(4)
    packet = bytearray(site.udp())
    packet[10] ^= 0x11
    result = site.send(bytes(packet))

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.BAD_CHECKSUM)


OPTIONS = {
    "nop": bytes([1, 1, 1, 0]),
    "record route": bytes([7, 7, 4, 0, 0, 0, 0, 0]),
    "timestamp": bytes([68, 8, 5, 0, 0, 0, 0, 0]),
    "router alert": bytes([148, 4, 0, 0]),
    "forty octets": bytes([1] * 40),
    "loose source route": bytes([131, 7, 4, 10, 9, 0, 11, 0]),
    "strict source route": bytes([137, 7, 4, 10, 9, 0, 11, 0]),
    "length 0": bytes([7, 0, 0, 0]),
    "length 1": bytes([7, 1, 0, 0]),
    "overrun": bytes([7, 40, 4, 0]),
}


@pytest.mark.conformance("R4", version=4)
@pytest.mark.parametrize("name", OPTIONS, ids=[name.replace(" ", "-") for name in OPTIONS])
def test_ip_options_to_a_service_are_dropped(name: str) -> None:
    """And a source route by whomever, to wherever."""
    site = Site(4)
    packet = site.udp(header=Header(options=OPTIONS[name]))
    result = site.send(packet)
    assert result.verdict is Verdict.DROP
    assert result.reason in {DropReason.UNSUPPORTED, DropReason.MALFORMED}
    assert not site.engine.flows()
    if "source route" in name:
        source, other = f"{site.servers[0]}:9", "198.51.100.7:9"
        stray = packets.udp(source, other, b"x", header=Header(options=OPTIONS[name]))
        assert site.send(stray, "private").verdict is Verdict.DROP


MARTIANS = {
    4: ["0.1.2.3", "127.0.0.1", "224.0.0.5", "240.0.0.1", "255.255.255.255"],
    6: ["::", "::1", "ff02::1", "fe80::1", "::ffff:198.51.100.2"],
}


@pytest.mark.conformance("R5")
@pytest.mark.parametrize("end", ["source", "destination"])
@pytest.mark.parametrize("at", range(5))
def test_addresses_that_no_packet_may_carry(version: Version, at: int, end: str) -> None:
    """No flow, no answer, in either place."""
    site = Site(version)
    address = MARTIANS[version][at]
    ends = (site.at(address, 5), site.at("vip", 53))
    if end == "destination":
        ends = (site.at("client", 5), site.at(address, 53))
    result = site.engine.process(packets.udp(*ends, b"x"), 0.0, PacketMeta(side="public"))

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.MARTIAN)
    assert not site.engine.flows()


@pytest.mark.conformance("R5")
@pytest.mark.parametrize("who", ["vip", "backend", "source"])
def test_a_source_that_is_natlbs_own_is_a_forgery(version: Version, who: str) -> None:
    """The VIP itself (LAND), an address of full NAT, and on the public side a backend's."""
    source = "10.9.0.100" if version == 4 else "fd00:9::100"
    site = Site(version, datapath={"source": [source]})
    address = site.servers[0] if who == "backend" else getattr(site, who)
    packet = packets.udp(site.at(address, 53), site.at("vip", 53), b"x")
    result = site.engine.process(packet, 0.0, PacketMeta(side="public"))

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.MARTIAN)
    assert not site.engine.flows()


@pytest.mark.conformance("R6", "U12")
@pytest.mark.parametrize("count", [2, 3, 17, 64])
@pytest.mark.parametrize("order", ["in order", "reversed", "shuffled", "doubled"])
def test_fragments_in_any_order(version: Version, order: str, count: int) -> None:
    """Exact at one backend, and back to the client the same way."""
    site = Site(version)
    payload = random.Random(count).randbytes(count * 24 - 10)
    pieces = cut(site.udp(payload), [24] * (count - 1))
    chance = random.Random(1)
    arranged = {
        "in order": pieces,
        "reversed": pieces[::-1],
        "shuffled": chance.sample(pieces, count),
        "doubled": [each for each in pieces[:-1] for _ in range(2)] + pieces[-1:],
    }[order]
    inside = joined(send_all(site, arranged))
    assert packets.faults(inside) == []
    read = packets.read(inside)
    assert read.payload == payload
    assert read.destination in {site.at(each, 5353) for each in site.servers}
    back = cut(packets.udp(read.destination, read.source, payload[::-1]), [24] * (count - 1), 9)
    outside = packets.read(joined(send_all(site, back[::-1])))
    assert (outside.source, outside.destination) == (site.at("vip", 53), site.at("client", 5000))
    assert outside.payload == payload[::-1]
    assert packets.faults(joined(send_all(site, cut(site.udp(b"z" * 50), [24], 5)))) == []


@pytest.mark.conformance("R6", "U12")
def test_two_datagrams_mixed(version: Version) -> None:
    """Of one client, told apart by their identification."""
    site = Site(version)
    one, two = BIG[:500], BIG[1000:1500]
    first = cut(site.udp(one, sport=5000), [240], 1)
    second = cut(site.udp(two, sport=5001), [240], 2)
    out = send_all(site, [first[1], second[1], second[0], first[0]])
    by_id: dict[bytes, list[bytes]] = {}
    for each in out:
        by_id.setdefault(each[4:6] if version == 4 else each[44:48], []).append(each)
    whole = [packets.read(joined(pieces)) for pieces in by_id.values()]

    assert {each.payload for each in whole} == {one, two}


@pytest.mark.conformance("U12")
def test_a_flood_of_first_fragments_is_bounded_and_hurts_no_whole_packet(version: Version) -> None:
    """Tracked are so many datagrams and no more; held pieces no more than 256."""
    site = Site(version, datapath={"fragments": 64, "max_flows": 200})
    whole = packets.udp(site.at("other_client", 5), site.at("vip", 53), b"whole")
    for number in range(2000):
        first, later = cut(site.udp(bytes(64), sport=6000 + number % 100), [32], number + 1)
        site.engine.process(first if number % 2 else later, 0.0)
        if number % 100 == 0:
            assert site.engine.process(whole, 0.0).verdict is Verdict.FORWARD
    assert site.engine.stats().packets.held <= 256
    site.wait(40)
    assert site.engine.stats().packets.held == 0


@pytest.mark.conformance("R7")
@pytest.mark.parametrize("size", [8, 16])
def test_tiny_first_fragments_drop(version: Version, size: int) -> None:
    """The flags of TCP would come in the second one."""
    site = Site(version)
    pieces = cut(site.tcp("S", payload=b"x" * 40), [size])
    assert site.send(pieces[0]).verdict is Verdict.DROP
    assert not send_all(site, pieces[1:])
    assert not site.engine.flows()


@pytest.mark.conformance("R7")
def test_a_fragment_into_the_header_drops(version: Version) -> None:
    """RFC 3128: offset 1 would write over the flags."""
    site = Site(version)
    packet = site.tcp("S", payload=b"x" * 40)
    head = packet[:20] if version == 4 else packet[:40]
    sly = piece(head, 6, b"\xff" * 16, 8, 77, more=True)

    assert site.send(sly).verdict is Verdict.DROP


OVERLAPS = {
    "over the end of the one before": (16, 24),
    "over the beginning of the next": (40, 24),
    "inside another": (32, 8),
    "around another": (16, 48),
    "over all": (0, 96),
}


@pytest.mark.conformance("R8")
@pytest.mark.parametrize("name", OVERLAPS, ids=[name.replace(" ", "-") for name in OVERLAPS])
@pytest.mark.parametrize("when", ["second", "third"])
def test_overlapping_fragments_never_mix(version: Version, name: str, when: str) -> None:
    """The datagram is given up as a whole: what is needed to make it up never arrives."""
    site = Site(version)
    packet = site.udp(bytes(88))
    head = packet[:20] if version == 4 else packet[:40]
    pieces = cut(packet, [24, 24, 24])
    offset, size = OVERLAPS[name]
    sly = piece(head, 17, b"\xee" * size, offset, 77, more=True)
    order = [pieces[0], pieces[1], sly, pieces[2], pieces[3]]
    if when == "third":
        order = [pieces[0], pieces[1], pieces[2], sly, pieces[3]]
    out = send_all(site, order)
    ends = sum(1 for each in out if not (each[6] & 0x20 if version == 4 else each[43] & 1))

    assert not any(b"\xee" in each for each in out) or ends == 0
    assert ends == 0
    assert site.engine.stats().drops["fragment-overlap"] >= 1


@pytest.mark.conformance("R9")
def test_fragments_that_cannot_be(version: Version) -> None:
    """Beyond 65,535 octets (the ping of death), and a middle piece of no multiple of eight."""
    site = Site(version)
    packet = site.udp(bytes(100))
    head = packet[:20] if version == 4 else packet[:40]
    beyond = piece(head, 17, bytes(64), 65_512, 7, more=False)
    uneven = piece(head, 17, packet[len(head) :][:21], 0, 8, more=True)
    for each in (beyond, uneven):
        result = site.send(each)
        assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.MALFORMED)


@pytest.mark.conformance("R10", "U11")
@pytest.mark.parametrize("driver", ["route", "direct", "own"])
def test_too_big_with_df_is_told_the_mtu(version: Version, driver: str) -> None:
    """From the VIP, about what the client sent; the next that fits goes through."""
    site = Site(version, options={"mtu": (1500, 1300), "ttl": driver})
    packet = site.udp(bytes(1400))
    result = site.send(packet)
    assert (result.verdict, result.reason) == (Verdict.REPLY, DropReason.MTU_EXCEEDED)
    out = result.packets[0]
    assert kind_of(out) == ((3, 4) if version == 4 else (2, 0))
    assert rest_of(out) == 1300
    assert packet.startswith(quote_of(out))
    fits = 1300 - (28 if version == 4 else 48)
    assert site.send(site.udp(bytes(fits))).verdict is Verdict.FORWARD
    assert site.send(site.udp(bytes(fits + 1))).verdict is Verdict.REPLY


@pytest.mark.conformance("R10", "U11", version=4)
@pytest.mark.parametrize("size", [1281, 1400, 4000])
def test_too_big_without_df_is_cut_in_order(size: int) -> None:
    """Fragments that fit, with the datagram's own identification."""
    site = Site(4, options={"mtu": (9000, 1300)})
    payload = (BIG + BIG)[:size]
    packet = site.udp(payload, header=Header(dont_fragment=False, identification=4711))
    out = site.send(packet, many=True).packets
    assert max(map(len, out)) <= 1300
    assert len(out) == -(-(size + 8) // 1280)
    assert [struct.unpack_from("!H", each, 4)[0] for each in out] == [4711] * len(out)
    offsets = [struct.unpack_from("!H", each, 6)[0] & 0x1FFF for each in out]
    assert offsets == sorted(offsets)
    whole = joined(out)
    assert packets.read(whole).payload == payload
    assert packets.faults(whole) == []


@pytest.mark.conformance("R11", version=4)
def test_identifications_are_not_given_twice() -> None:
    """Full NAT: many clients, all with one identification, look like one host to a backend."""
    site = Site(4, service={"nat": "full"}, datapath={"source": ["10.9.0.100"]}, backends=1)
    seen = []
    for sport in range(5000, 5500):
        header = Header(dont_fragment=False, identification=7)
        out = site.send(site.udp(sport=sport, header=header)).packets[0]
        seen.append(struct.unpack_from("!H", out, 4)[0])

    assert len(set(seen)) == 500


@pytest.mark.conformance("R12")
@pytest.mark.parametrize("protocol", [1, 2, 6, 17, 33, 47, 50, 51, 58, 132, 136, 255])
@pytest.mark.parametrize("size", [0, 1, 7, 40])
def test_protocols_of_all_kinds(version: Version, protocol: int, size: int) -> None:
    """Whatever a service does not carry is dropped, and nothing raises."""
    site = Site(version)
    ends = ip_address(site.client), ip_address(site.vip)
    result = site.send(packets.ip(*ends, protocol, bytes(size)))

    assert result.verdict is Verdict.DROP
    assert not site.engine.flows()


HOP_BY_HOP, ROUTING, DESTINATION, NO_NEXT = 0, 43, 60, 59


def extended(packet: bytes, *headers: tuple[int, bytes]) -> bytes:
    """Return an IPv6 packet with extension headers before its transport header."""
    following, body = packet[6], packet[40:]
    for kind, octets in reversed(headers):
        body = bytes([following]) + octets + body
        following = kind
    length = struct.pack("!H", len(body))
    return packet[:4] + length + bytes([following]) + packet[7:40] + body


PADDING = bytes([0, 1, 4, 0, 0, 0, 0])


@pytest.mark.conformance("R13", version=6)
def test_harmless_extension_headers_go_through() -> None:
    """Translated behind them, and left as they are."""
    site = Site(6)
    packet = extended(site.udp(b"x"), (DESTINATION, PADDING))
    result = site.send(packet)

    assert result.verdict is Verdict.FORWARD
    assert result.packets[0][40:48] == packet[40:48]


@pytest.mark.conformance("R13", version=6)
@pytest.mark.parametrize("kind", [0, 2, 4])
def test_source_routes_drop(kind: int) -> None:
    """RFC 5095 for type 0; with another type the checksum covers another address."""
    site = Site(6)
    route = bytes([2, kind, 1, 0, 0, 0, 0]) + bytes(16)

    assert site.send(extended(site.udp(b"x"), (ROUTING, route))).verdict is Verdict.DROP


@pytest.mark.conformance("R13", version=6)
@pytest.mark.parametrize("broken", [1, 5, 200])
def test_broken_chains_drop(broken: int) -> None:
    """A header that is longer than the packet; one more than eight."""
    site = Site(6)
    packet = bytearray(extended(site.udp(b"x"), (DESTINATION, PADDING)))
    packet[41] = broken
    assert site.send(bytes(packet)).verdict is Verdict.DROP
    chain = [(DESTINATION, PADDING)] * 9
    assert site.send(extended(site.udp(b"x"), *chain)).verdict is Verdict.DROP
    assert site.send(extended(site.udp(b"x"), (NO_NEXT, PADDING))).verdict is Verdict.DROP


@pytest.mark.conformance("R13", version=6)
def test_an_atomic_fragment_is_a_whole_packet() -> None:
    """RFC 6946: two of one identification are two packets."""
    site = Site(6)
    atomic = extended(site.udp(b"x"), (44, bytes([0, 0, 0, 0, 0, 0, 7])))
    for _ in range(2):
        result = site.send(atomic)
        assert result.verdict is Verdict.FORWARD
        assert result.packets[0][40:48] == atomic[40:48]


@pytest.mark.conformance("R13", version=6)
def test_a_first_fragment_without_its_transport_header_drops() -> None:
    """RFC 7112: the whole chain is in the first fragment."""
    site = Site(6)
    packet = extended(site.udp(bytes(64)), (DESTINATION, PADDING))
    head = packet[:40]
    first = piece(head, DESTINATION, packet[40:48], 0, 7, more=True)

    assert site.send(first).verdict is Verdict.DROP


@pytest.mark.conformance("R14")
def test_dscp_and_flow_label_are_kept(version: Version) -> None:
    """Both ways."""
    site = Site(version)
    header = Header(tos=0xB8, flow_label=0x12345 if version == 6 else 0)
    out = site.send(site.udp(header=header)).packets[0]
    back = site.send(site.answer(out, header=header)).packets[0]
    for each in (out, back):
        if version == 4:
            assert each[1] == 0xB8
        else:
            assert struct.unpack_from("!I", each)[0] == 6 << 28 | 0xB8 << 20 | 0x12345


@pytest.mark.conformance("R15")
@pytest.mark.parametrize("size", [0, 1, 8000, 65_535])
def test_packets_of_every_size(version: Version, size: int) -> None:
    """Where the MTU allows."""
    site = Site(version)
    headers = 28 if version == 4 else 48
    payload = bytes(max(0, min(size, 65_535 - headers)))
    result = site.send(site.udp(payload))

    assert result.verdict is Verdict.FORWARD
    assert packets.read(result.packets[0]).payload == payload


@pytest.mark.conformance("C2")
@pytest.mark.parametrize("order", [1, -1])
def test_an_echo_in_fragments_is_answered(version: Version, order: int) -> None:
    """65,507 octets of it, in whatever order."""
    site = Site(version)
    most = 65_507 if version == 4 else 65_487
    payload = random.Random(1).randbytes(most)
    request = packets.echo_request(site.client, site.vip, payload)
    pieces = cut(request, [1480] * (len(payload) // 1480))
    out = joined(send_all(site, pieces[::order]))
    assert packets.faults(out) == []
    assert kind_of(out) == ((0, 0) if version == 4 else (129, 0))
    assert quote_of(out) == payload


def mixed(version: Version, **words: Any) -> Site:
    """Return a site whose backends speak the other IP version."""
    site = Site(version)
    other = Site(6 if version == 4 else 4)
    site.servers, site.inner_router = other.servers, other.inner_router
    config = site.config()
    config["datapath"]["source"] = [other.source]
    config["timeouts"] = words.get("timeouts", {})
    site.engine = type(site.engine)(config, **words.get("options", {}))
    site.source = other.source
    return site


@pytest.mark.conformance("R16")
def test_between_versions_tcp_and_udp(version: Version) -> None:
    """Header, ports, payload and sums, both ways; the client never sees the other version."""
    site = mixed(version)
    inside = packets.read(site.send(site.udp(b"hello")).packets[0])
    assert inside.version == (6 if version == 4 else 4)
    assert inside.payload == b"hello"
    assert packets.split_endpoint(inside.source)[0].compressed == site.source
    back = packets.read(site.send(packets.udp(inside.destination, inside.source, b"ho")).packets[0])
    assert (back.source, back.destination) == (site.at("vip", 53), site.at("client", 5000))
    site.opened()


@pytest.mark.conformance("R16")
def test_between_versions_fragments(version: Version) -> None:
    """Byte-exact, with their identification."""
    site = mixed(version)
    inside = joined(send_all(site, cut(site.udp(BIG), [1024, 1024, 1024])))
    read = packets.read(inside)
    assert read.payload == BIG
    assert packets.faults(inside) == []
    back = cut(packets.udp(read.destination, read.source, BIG[::-1]), [1024, 1024], 3)
    outside = joined(send_all(site, back[::-1]))
    assert packets.read(outside).payload == BIG[::-1]
    assert packets.faults(outside) == []


@pytest.mark.conformance("R16")
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("net unreachable", {4: (1, 0), 6: (3, 1)}),
        ("port unreachable", {4: (1, 4), 6: (3, 3)}),
        ("time exceeded", {4: (3, 0), 6: (11, 0)}),
    ],
)
def test_between_versions_errors(version: Version, kind: str, expected: Any) -> None:
    """From inside: the client hears its own version's error, about what it sent."""
    from tests.conformance.test_icmp import error

    site = mixed(version)
    other: Version = 6 if version == 4 else 4
    sent = site.udp(b"q" * 100)
    inside = site.send(sent).packets[0]
    packet = error(other, kind, site.inner_router, site.source, inside)
    out = site.send(packet, "private").packets[0]
    assert out[0] >> 4 == version
    assert kind_of(out) == expected[other]
    assert packets.read(out).source == site.vip
    assert packets.read(out).destination == site.client
    assert quote_of(out)[-100:] == sent[-100:]
    assert packets.faults(out) == []


@pytest.mark.conformance("R16")
def test_between_versions_the_mtu_differs_by_twenty(version: Version) -> None:
    """A header of IPv6 is 20 octets longer."""
    from tests.conformance.test_icmp import error

    site = mixed(version)
    other: Version = 6 if version == 4 else 4
    inside = site.send(site.udp(b"q" * 100)).packets[0]
    packet = error(other, "too big", site.inner_router, site.source, inside, rest=1400)
    out = site.send(packet, "private").packets[0]
    assert kind_of(out) == ((3, 4) if version == 4 else (2, 0))
    assert rest_of(out) == (1380 if version == 4 else 1420)


@pytest.mark.conformance("R16")
def test_between_versions_too_big(version: Version) -> None:
    """Natlb's own answer says what fits after the translation."""
    site = mixed(version, options={"mtu": (1500, 1400)})
    result = site.send(site.udp(bytes(1440)))

    assert result.reason is DropReason.MTU_EXCEEDED
    assert rest_of(result.packets[0]) == (1380 if version == 4 else 1420)


@pytest.mark.conformance("R16", version=4)
def test_between_versions_an_absent_checksum_is_computed() -> None:
    """IPv6 has none that is absent."""
    site = mixed(4)
    out = site.send(site.udp(b"hello", checksum=0)).packets[0]

    assert packets.faults(out) == []
    assert out[46:48] != b"\0\0"
