from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from natlb.core import arrival
from natlb.core.batch import start_batch
from natlb.core.layout import SHARED, SOURCE
from natlb.core.pipeline import process_batch
from natlb.core.policy import pick
from natlb.core.state import TTL_ROUTE
from natlb.core.tables import find_endpoint
from natlb.engine import DropReason, PacketMeta, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header
from tests import judge
from tests.datapath import (
    B1,
    B1_6,
    CLIENT,
    CLIENT6,
    VIP,
    VIP6,
    assert_counts_agree,
    engine,
    one_service,
)

if TYPE_CHECKING:
    from natlb.engine import Engine, Result

PUBLIC, PRIVATE = PacketMeta(side="public"), PacketMeta(side="private")
FRAGMENT = Header(dont_fragment=False, more_fragments=True)
LATER = Header(dont_fragment=False, fragment_offset=1)
SYN6 = packets.tcp(f"[{CLIENT6}]:40000", f"[{VIP6}]:80")


def one(packet: bytes, meta: PacketMeta | None = None) -> Result:
    """Return what a fresh engine makes of a packet; its counters must agree."""
    fresh = engine()
    result = fresh.process(packet, 0.0, meta)
    assert_counts_agree(fresh.stats())
    return result


def bare(source: str, destination: str, protocol: int, payload: bytes = bytes(16)) -> bytes:
    """Return a packet of any protocol."""
    return packets.ip(ip_address(source), ip_address(destination), protocol, payload)


def chain6(source: str, destination: str, first: int, text: bytes) -> bytes:
    """Return an IPv6 packet that begins with an extension header."""
    return packets.ip(ip_address(source), ip_address(destination), first, text)


def is_dropped(result: Result, reason: DropReason) -> bool:
    """Return whether a packet was dropped for this reason, and nothing went out."""
    return result.verdict is Verdict.DROP and result.reason is reason and not result.packets


@pytest.mark.parametrize(
    "packet",
    [
        packets.tcp(f"{B1}:8080", "198.51.100.9:443"),
        packets.tcp(f"{B1}:40000", "198.51.100.9:443"),
        packets.udp(f"[{B1_6}]:40000", "[2001:db8:c::9]:53", b"?"),
        packets.echo_request(B1, "198.51.100.9"),
        bare(B1, "198.51.100.9", 47),
        packets.tcp(f"{B1}:40000", "198.51.100.9:443", header=Header(options=b"\1\1\1\0")),
        packets.icmp(B1, "198.51.100.9", 8, header=FRAGMENT, payload=bytes(8)),
        packets.tcp(f"{B1}:40000", "198.51.100.9:443") + b"padding",
    ],
)
def test_a_backends_own_traffic_is_passed_on_untouched(packet: bytes) -> None:
    """It belongs to no service, and the host would have routed it."""
    result = one(packet)

    assert (result.verdict, result.reason) == (Verdict.PASS, None)
    assert result.packets == [packet]
    assert result.sides == ["public"]


def test_what_is_for_nobody_of_natlbs_goes_on_from_the_public_side_too() -> None:
    """Untouched, to the private side."""
    packet = packets.tcp(f"{CLIENT}:40000", f"{B1}:8080")
    result = one(packet)

    assert (result.verdict, result.packets, result.sides) == (Verdict.PASS, [packet], ["private"])


@pytest.mark.parametrize(
    "packet",
    [
        packets.udp(f"{B1}:5353", f"{CLIENT}:5000", bytes(16), header=LATER),
        chain6(B1_6, CLIENT6, 44, b"\x11\x00\x00\x09\0\0\0\x63" + bytes(16)),
        # a later fragment whose first has a destination option before UDP's header
        chain6(B1_6, CLIENT6, 44, b"\x3c\x00\x00\x08\0\0\0\x63" + bytes(16)),
    ],
)
def test_a_backends_later_fragment_is_not_passed_on_by_itself(packet: bytes) -> None:
    """It may be of a flow, and would leave with the backend's address (I3)."""
    result = one(packet)

    assert (result.verdict, result.packets) == (Verdict.HOLD, [])


def test_a_backends_first_fragment_of_no_flow_is_passed_on() -> None:
    """It has the ports to tell."""
    packet = packets.udp(f"{B1}:5353", f"{CLIENT}:5000", bytes(16), header=FRAGMENT)
    result = one(packet)

    assert (result.verdict, result.packets) == (Verdict.PASS, [packet])


@pytest.mark.parametrize(
    "packet",
    [
        packets.icmp(B1, CLIENT, 5, 1, payload=bytes(28)),
        packets.icmp(B1_6, CLIENT6, 137, 0, payload=bytes(48)),
        packets.icmp(B1, CLIENT, 11, 0, payload=bytes(32), header=FRAGMENT),
    ],
)
def test_what_a_backend_says_of_routes_is_not_passed_on(packet: bytes) -> None:
    """A redirect shows a private address (I3), and so does an error in pieces."""
    assert is_dropped(one(packet), DropReason.UNSUPPORTED)


@pytest.mark.parametrize(
    ("packet", "meta"),
    [
        (packets.tcp(f"{B1}:8080", f"{CLIENT}:40000", "SA"), PUBLIC),
        (packets.tcp(f"{B1}:40000", f"{VIP}:80"), PUBLIC),
        (packets.echo_request(B1_6, VIP6), PUBLIC),
        (packets.tcp(f"{VIP}:80", f"{CLIENT}:40000", "SA"), PUBLIC),
        (packets.tcp(f"{VIP}:80", f"{CLIENT}:40000", "SA"), PRIVATE),
        (packets.udp(f"{VIP}:53", f"{B1}:5353"), PRIVATE),
        (packets.echo_request(VIP6, "2001:db8::9"), None),
    ],
)
def test_a_forged_source_is_a_martian(packet: bytes, meta: PacketMeta | None) -> None:
    """A backend's address on the public side (RFC 2827), or a VIP's on any."""
    assert is_dropped(one(packet, meta), DropReason.MARTIAN)


@pytest.mark.parametrize(
    "packet",
    [
        packets.tcp(f"{CLIENT}:40000", f"{VIP}:80", header=Header(options=b"\1\1\1\0")),
        chain6(CLIENT6, VIP6, 51, b"\x06\x04" + bytes(22) + SYN6[40:]),
        bare(CLIENT, VIP, 47),
        bare(CLIENT, VIP, 132),
        bare(CLIENT, VIP, 58),
        bare(CLIENT6, VIP6, 1),
        packets.icmp(CLIENT, VIP, 13),
        packets.icmp(CLIENT, VIP, 0),
        packets.icmp(CLIENT, VIP, 8, 1),
        packets.icmp(CLIENT6, VIP6, 135),
    ],
)
def test_what_no_service_carries_is_unsupported(packet: bytes) -> None:
    """To a VIP nothing is passed to the host, whatever it is."""
    assert is_dropped(one(packet), DropReason.UNSUPPORTED)


def test_options_for_the_destination_do_not_keep_a_flow_from_opening() -> None:
    """Translation leaves such headers as they are (R13)."""
    packet = chain6(CLIENT6, VIP6, 60, b"\x06\0\1\4\0\0\0\0" + SYN6[40:])

    assert one(packet).verdict is Verdict.FORWARD


@pytest.mark.parametrize(
    "packet",
    [
        packets.icmp(CLIENT, VIP, 3, 3, payload=bytes(28)),
        packets.icmp(CLIENT, VIP, 11, 0, payload=bytes(28)),
        packets.icmp(CLIENT6, VIP6, 2, 0, 1280, payload=bytes(48)),
    ],
)
def test_an_icmp_error_to_a_vip_has_no_flow(packet: bytes) -> None:
    """It is dropped by a name of its own."""
    assert is_dropped(one(packet), DropReason.ICMP_UNMATCHED)


@pytest.mark.parametrize("meta", [PUBLIC, PRIVATE, None])
@pytest.mark.parametrize(
    ("source", "vip", "payload"),
    [(CLIENT, VIP, b""), (CLIENT, VIP, b"natlb"), (CLIENT6, VIP6, bytes(1301))],
)
def test_natlb_answers_an_echo_to_a_vip(
    source: str, vip: str, payload: bytes, meta: PacketMeta | None
) -> None:
    """One answer, on the side it came by, and no flow is made."""
    request = packets.echo_request(source, vip, payload, header=Header(ttl=1))
    asked = engine()
    result = asked.process(request, 0.0, meta)

    assert (result.verdict, result.reason) == (Verdict.REPLY, None)
    assert result.sides == ["private" if meta is PRIVATE else "public"]
    assert len(result.packets[0]) == len(request)
    assert judge.is_sound(result.packets[0])
    fields = packets.read(result.packets[0])
    assert (fields.source, fields.destination) == (vip, source)
    assert not asked.flows()
    stats = asked.stats()
    assert stats.replies == {"echo": 1}
    assert_counts_agree(stats)


def test_a_damaged_echo_is_not_answered() -> None:
    """A sound answer would make the damage look sound."""
    request = packets.echo_request(CLIENT, VIP)
    damaged = request[:-1] + b"?"

    assert is_dropped(one(damaged), DropReason.BAD_CHECKSUM)


def test_an_echo_with_an_unfinished_checksum_is_not_answered() -> None:
    """Its answer's could not be right: no driver leaves an echo's to the device."""
    asked = engine()
    asked._place(0, packets.echo_request(CLIENT6, VIP6), PUBLIC)
    frame = asked._batch.frames[0]
    frame["needs_checksum"], frame["checksum_start"], frame["checksum_offset"] = 1, 40, 2
    start_batch(asked._batch, 1)
    process_batch(asked._core, 0, TTL_ROUTE, pick)

    assert is_dropped(asked._results()[0], DropReason.BAD_CHECKSUM)


@pytest.mark.parametrize(
    "packet",
    [
        packets.tcp(f"{B1}:40000", f"{VIP}:80"),
        packets.udp(f"{B1}:40000", f"{VIP}:53"),
        packets.udp(f"[{B1_6}]:40000", f"[{VIP6}]:53"),
    ],
)
def test_a_backend_that_calls_a_vip_is_refused(packet: bytes) -> None:
    """Without full NAT the answer would go straight to it, from an address it did not call."""
    assert is_dropped(one(packet), DropReason.UNSUPPORTED)


@pytest.mark.parametrize("listening", [True, False])
def test_a_packet_to_a_vip_is_never_passed(listening: bool) -> None:
    """Of whatever protocol, from whatever side, to whatever port."""
    path: Engine = engine() if listening else engine(one_service())
    for protocol in range(256):
        for meta in (PUBLIC, PRIVATE):
            for payload in (b"", bytes(range(1, 41))):
                packet = bare(CLIENT, VIP, protocol, payload)
                assert path.process(packet, 0.0, meta).verdict is not Verdict.PASS
    assert_counts_agree(path.stats())


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("meta", [PUBLIC, PRIVATE])
def test_what_is_no_echo_is_the_hosts_where_the_vip_is(meta: PacketMeta) -> None:
    """A question about time to it, an answer to its own ping; an echo is still natlb's."""
    path = shared()
    for kind in (0, 13, 14):
        packet = packets.icmp(CLIENT, VIP, kind, payload=bytes(12))
        result = path.process(packet, 0.0, meta)

        passed = result.verdict, result.packets, result.sides
        assert passed == (Verdict.PASS, [packet], [meta.side])
    assert path.process(packets.echo_request(CLIENT, VIP), 0.0, meta).verdict is Verdict.REPLY
    assert_counts_agree(path.stats())


@pytest.mark.usefixtures("one_by_one")
def test_what_the_host_says_from_such_a_vip_goes_out() -> None:
    """By the private side, where a rule brings all of its ICMP; from elsewhere it is forged."""
    ping = packets.echo_request(VIP, "198.51.100.9")
    path = shared()

    assert path.process(ping, 0.0, PRIVATE).packets == [ping]
    assert is_dropped(path.process(ping, 0.0, PUBLIC), DropReason.MARTIAN)
    segment = packets.tcp(f"{VIP}:80", f"{CLIENT}:40000", "SA")
    assert is_dropped(path.process(segment, 0.0, PRIVATE), DropReason.MARTIAN)


def shared() -> Engine:
    """Return an engine whose VIP is an address of the host's."""
    path: Engine = engine()
    endpoints = path._core.tables.endpoints
    at = find_endpoint(path._core.tables, (0, 0, 0xFFFF, int(ip_address(VIP))), 0, 0)
    endpoints.flags.writeable = True
    endpoints[at]["kind"] |= SHARED
    return path


@pytest.mark.parametrize(
    ("packet", "kind"),
    [
        (packets.tcp(f"{CLIENT}:40000", f"{VIP}:80"), (3, 13)),
        (packets.udp(f"{CLIENT}:40000", f"{VIP}:53"), (3, 13)),
        (SYN6, (1, 1)),
        (packets.udp(f"[{CLIENT6}]:40000", f"[{VIP6}]:53"), (1, 1)),
    ],
)
def test_a_full_table_prohibits(packet: bytes, kind: tuple[int, int]) -> None:
    """TCP too is told so, from the VIP; the flow that fills it is not disturbed (C14)."""
    path: Engine = engine(max_flows=1)
    first = packets.tcp("198.51.100.99:1", f"{VIP}:80")
    server = packets.read(path.process(first, 0.0).packets[0]).destination
    path.process(packets.tcp(server, "198.51.100.99:1", "SA", acknowledgement=1001), 0.0)
    path.process(packets.tcp("198.51.100.99:1", f"{VIP}:80", "A", sequence=1001), 0.0)
    result = path.process(packet, 0.0)
    answer = result.packets[0]
    at = packets.transport_at(answer)

    assert (result.verdict, result.reason) == (Verdict.REPLY, DropReason.TABLE_FULL)
    assert (answer[at], answer[at + 1]) == kind
    assert answer.endswith(packet)
    assert packets.read(answer).source == (VIP if kind[0] == 3 else VIP6)
    assert judge.is_sound_error(answer)
    again = path.process(packets.tcp("198.51.100.99:1", f"{VIP}:80", "A", sequence=1001), 0.0)
    assert again.verdict is Verdict.FORWARD


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize(
    "reason",
    [
        DropReason.SERVICE_LIMIT,
        DropReason.SOURCE_LIMIT,
        DropReason.PORT_EXHAUSTED,
        DropReason.ACCESS,
        DropReason.UNSUPPORTED,
    ],
)
def test_limits_and_rules_prohibit(reason: DropReason, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5508 REQ-8; what is refused for another cause is dropped."""
    monkeypatch.setattr(arrival, "open_flow", lambda *_: -int(reason))
    result = one(packets.tcp(f"{CLIENT}:40000", f"{VIP}:80"))

    if reason is DropReason.UNSUPPORTED:
        assert is_dropped(result, reason)
    else:
        assert (result.verdict, result.reason) == (Verdict.REPLY, reason)
        assert result.packets[0][20:22] == b"\x03\x0d"


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("meta", [PUBLIC, PRIVATE])
def test_an_address_of_full_nat_answers_an_echo_and_nothing_else(meta: PacketMeta) -> None:
    """Silence, as a NAT keeps to whom it knows no flow of (T3, RFC 5382 REQ-4)."""
    path = shared()
    at = find_endpoint(path._core.tables, (0, 0, 0xFFFF, int(ip_address("10.9.0.12"))), 0, 0)
    path._core.tables.endpoints[at]["kind"] = SOURCE
    segment = packets.tcp(f"{CLIENT}:40000", "10.9.0.12:80")

    ping = packets.echo_request(CLIENT, "10.9.0.12")
    assert path.process(ping, 0.0, meta).verdict is Verdict.REPLY
    assert is_dropped(path.process(segment, 0.0, meta), DropReason.OUT_OF_STATE)


def test_a_segment_of_no_flow_is_dropped_where_the_service_says_so() -> None:
    """`unknown: drop`: silence instead of a reset (T16)."""
    path = engine(one_service(unknown="drop"))
    segment = packets.tcp(f"{CLIENT}:40000", f"{VIP}:80", "A")

    assert is_dropped(path.process(segment, 0.0), DropReason.OUT_OF_STATE)
