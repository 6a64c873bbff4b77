"""What natlb passes on, and trap 7: a client that talks to a backend directly, and by a VIP."""

from __future__ import annotations

from typing import Any

import pytest

from natlb.core.layout import DIRECT_ROWS, MARK_DOUBTED, OPENED
from natlb.engine import DropReason, Engine, PacketMeta, Verdict
from natlb.testing import packets
from tests.datapath import (
    B1,
    B1_6,
    B2,
    CLIENT,
    CLIENT6,
    SOURCE,
    VIP,
    VIP6,
    assert_counts_agree,
    broken_laws,
    direct_rows,
    engine,
    full_nat,
    one_service,
)

FROM, WEB, DNS, SERVER = f"{CLIENT}:40000", f"{VIP}:80", f"{VIP}:53", f"{B1}:8080"
PRIVATE = PacketMeta(side="private")


def alone(**changes: Any) -> dict[str, Any]:
    """Return the services of one backend."""
    return one_service(backends=[SERVER], **changes)


def passes(path: Engine, packet: bytes, now: float = 0.0) -> bool:
    """Return whether a packet is passed, as it came, by the public side."""
    result = path.process(packet, now)
    assert_counts_agree(path.stats())
    assert not broken_laws(path._flows, path._counters)
    if result.verdict is not Verdict.PASS:
        assert not result.packets
        return False
    assert (result.packets, result.sides) == ([packet], ["public"])
    return True


def server_of(path: Engine, packet: bytes, now: float = 0.0) -> str:
    """Return which backend a client's packet was sent to, or why it was not."""
    result = path.process(packet, now)
    if result.verdict is not Verdict.FORWARD:
        assert result.reason is not None
        return result.reason.label
    return packets.read(result.packets[0]).destination


@pytest.mark.parametrize(
    "packet",
    [
        packets.udp(f"{B1}:40000", "192.0.2.53:53", b"?"),
        packets.tcp(f"{B1}:22", FROM, "A", payload=b"ssh"),
        packets.tcp(f"{B1}:40000", "192.0.2.1:443", "A"),
        packets.udp(f"{B1}:8080", FROM, b"the service is TCP"),
        packets.echo_request(B1, "192.0.2.1"),
        packets.tcp(f"[{B1_6}]:22", f"[{CLIENT6}]:9", "A"),
    ],
)
def test_a_backends_own_traffic_is_passed_and_leaves_nothing(packet: bytes) -> None:
    """Its connections, and what it serves that is no service's."""
    path = engine()

    assert passes(path, packet)
    assert not direct_rows(path._flows)


def test_what_comes_in_by_the_public_side_is_passed_to_the_private() -> None:
    """Nothing is told of it but that it is nobody's."""
    path = engine()
    result = path.process(packets.tcp("192.0.2.1:8080", f"{CLIENT}:1"), 0.0)

    assert (result.verdict, result.sides) == (Verdict.PASS, ["private"])


@pytest.mark.parametrize("flags", ["SA", "S", "SAE"])
def test_a_direct_connection_passes_whole(flags: str) -> None:
    """A handshake begins it; then all of it is passed, and it is no flow."""
    path = engine(alone())
    assert passes(path, packets.tcp(SERVER, FROM, flags))
    for now, later in enumerate(("A", "PA", "FA", "A", "RA"), 1):
        assert passes(path, packets.tcp(SERVER, FROM, later), float(now))

    assert len(direct_rows(path._flows)) == int(path._flows.meta[DIRECT_ROWS]) == 1
    assert not path.flows()
    assert int(path._flows.meta[OPENED]) == path.stats().flows.peak == 0


@pytest.mark.parametrize("flags", ["A", "PA", "FA", "R", "RA"])
def test_late_traffic_of_a_flow_that_ended_does_not_leave(flags: str) -> None:
    """It would show a private address (I3); the backend is told, but not upon a reset."""
    path = engine(alone())
    path.process(packets.tcp(FROM, WEB), 0.0)
    path.process(packets.tcp(SERVER, FROM, "SA"), 0.0)
    path.process(packets.tcp(FROM, WEB, "A"), 0.0)
    path.command("flush", 1.0)
    result = path.process(packets.tcp(SERVER, FROM, flags), 1.0)

    assert result.reason is DropReason.OUT_OF_STATE
    assert not direct_rows(path._flows)
    if "R" in flags:
        assert result.verdict is Verdict.DROP
    else:
        assert (result.verdict, result.sides) == (Verdict.REPLY, ["private"])
        reset = packets.read(result.packets[0])
        assert (reset.source, reset.destination, reset.flags) == (FROM, SERVER, "R")


@pytest.mark.parametrize(
    ("client", "vip", "server", "build"),
    [
        (FROM, WEB, SERVER, packets.tcp),
        (f"[{CLIENT6}]:1", f"[{VIP6}]:80", f"[{B1_6}]:80", packets.tcp),
        (FROM, WEB, SERVER, packets.udp),
    ],
)
def test_a_client_of_both_ways_is_given_another_backend(
    client: str, vip: str, server: str, build: Any
) -> None:
    """One port, directly and by the VIP: each stream keeps its own backend."""
    other = server.replace("0.11", "0.12").replace("::11", "::12")
    protocol = "tcp" if build is packets.tcp else "udp"
    for _ in range(8):  # whichever the policy begins with
        services = one_service(listen=f"{protocol}://{vip}", backends=[server, other])
        path = engine(services)
        for n in range(_ % 2):
            path.process(build(f"198.51.100.9:{n + 1}", WEB), 0.0)
        answer = packets.tcp(server, client, "SA") if protocol == "tcp" else build(server, client)
        assert passes(path, answer)

        assert server_of(path, build(client, vip)) == other
        assert passes(path, build(server, client, *(["A"] if protocol == "tcp" else [])))
        assert len(path.flows()) >= 1


def test_a_client_of_both_ways_and_one_backend_gets_a_source_of_natlbs() -> None:
    """Full NAT for just that flow: the streams never mix."""
    path = full_nat(alone())
    assert passes(path, packets.tcp(SERVER, FROM, "SA"))
    seen = packets.read(path.process(packets.tcp(FROM, WEB), 0.0).packets[0])
    back = path.process(packets.tcp(SERVER, seen.source, "SA"), 0.0)

    assert seen.source.startswith(SOURCE)
    assert packets.read(back.packets[0]).source == WEB
    assert passes(path, packets.tcp(SERVER, FROM, "PA", payload=b"direct"))


def test_a_client_of_both_ways_is_refused_where_there_is_no_other_way() -> None:
    """By the name that a taken reply key has; and not for ever."""
    path = engine(alone(timeouts={"tcp_established": 20}), timeouts={"tcp_transitory": 10})
    for flags in ("SA", "A", "FA"):
        assert passes(path, packets.tcp(SERVER, FROM, flags))
        is_open = flags == "A"
        assert (path._flows.rows[1]["marks"] & MARK_DOUBTED == 0) == is_open
        if is_open:
            assert server_of(path, packets.tcp(FROM, WEB), 0.0) == "port-exhausted"

    assert server_of(path, packets.tcp(FROM, WEB), 0.0) == SERVER
    assert not direct_rows(path._flows)


def test_a_direct_conversation_is_no_way_in_for_the_public_side() -> None:
    """A backend's address there is a forgery, whatever there is a row for."""
    path = engine(alone())
    assert passes(path, packets.tcp(SERVER, FROM, "SA"))
    result = path.process(packets.tcp(SERVER, FROM, "A"), 0.0, PacketMeta(side="public"))

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.MARTIAN)


def test_a_packet_of_a_flow_by_the_wrong_side_is_a_martian() -> None:
    """The client's by the private side, the backend's by the public one."""
    path = engine(alone())
    server_of(path, packets.tcp(FROM, WEB))
    for packet, side in (
        (packets.tcp(FROM, WEB), "private"),
        (packets.tcp(SERVER, FROM), "public"),
    ):
        result = path.process(packet, 0.0, PacketMeta(side=side))  # type: ignore[arg-type]

        assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.MARTIAN)


SHORT = {"tcp_transitory": 10, "tcp_established": 100}


@pytest.mark.parametrize(
    ("conversation", "alive", "gone"),
    [
        ("SA", 9, 10),  # unanswered
        ("SA PA", 99, 100),  # open: cut, it would never be let through again
        ("SA PA FA", 9, 10),
        ("SA PA FA A", 9, 10),  # what follows a FIN does not open it again
        ("SA A R", 9, 10),
        ("SA PA FA SA A", 99, 100),  # the port used again
    ],
)
def test_a_direct_connection_is_remembered_while_it_is_open(
    conversation: str, alive: int, gone: int
) -> None:
    """By the established timer; a handshake alone, or what was closed, by the transitory one."""
    for now, there in ((alive, 1), (gone, 0)):
        path = engine(alone(), timeouts=SHORT)
        for flags in conversation.split():
            assert passes(path, packets.tcp(SERVER, FROM, flags))
        path.tick(float(now))

        assert len(direct_rows(path._flows)) == there


def test_a_direct_datagram_conversation_has_the_short_timer() -> None:
    """Forgotten, it passes all the same."""
    path = engine(one_service(listen=f"udp://{DNS}", backends=[f"{B1}:53"]), timeouts=SHORT)
    for now in (0.0, 9.0, 18.0, 40.0):
        assert passes(path, packets.udp(f"{B1}:53", FROM, b"!"), now)

    assert len(direct_rows(path._flows)) == 1
    path.tick(50.0)
    assert not direct_rows(path._flows)


def test_a_scan_of_the_backends_leaves_room_for_flows() -> None:
    """A quarter of the rows at most; what has none is passed as well."""
    path = engine(alone(), max_flows=100)
    for port in range(1, 101):
        assert passes(path, packets.tcp(SERVER, f"{CLIENT}:{port}", "SA"))

    assert len(direct_rows(path._flows)) == 25


def test_a_full_table_passes_without_a_row() -> None:
    """A flow is worth more than what is none."""
    path = engine(alone(), max_flows=4)
    for port in range(1, 5):
        server_of(path, packets.tcp(f"{CLIENT}:{port}", WEB))

    assert passes(path, packets.tcp(SERVER, f"{CLIENT}:9", "SA"))
    assert not direct_rows(path._flows)


def test_a_service_that_goes_leaves_its_direct_conversations_alone() -> None:
    """They are nobody's, and nothing is looked up by a number that is gone."""
    two = alone() | {"dns": {"listen": f"udp://{DNS}", "backends": [f"{B2}:53"]}}
    path = engine(two)
    assert passes(path, packets.udp(f"{B2}:53", FROM, b"!"))
    path.load({"datapath": {"max_flows": 1000}, "services": alone()})

    answer = packets.udp(f"{B2}:53", FROM, b"!")
    assert path.process(answer, 0.0, PRIVATE).packets == [answer]
    assert len(direct_rows(path._flows)) == 1


def test_datagrams_of_a_backend_that_speaks_first_give_way_to_its_client() -> None:
    """Where there is no other backend and no source: a client is never kept out by them."""
    path = engine({"dns": {"listen": f"udp://{VIP}:53", "backends": [f"{B1}:5353"]}})
    client = f"{CLIENT}:5000"
    for _ in range(2):
        assert path.process(packets.udp(f"{B1}:5353", client), 0.0).verdict is Verdict.PASS
    call = path.process(packets.udp(client, f"{VIP}:53"), 1.0)
    answer = path.process(packets.udp(f"{B1}:5353", client), 1.0)

    assert call.verdict is Verdict.FORWARD
    assert packets.read(answer.packets[0]).source == f"{VIP}:53"
    assert not direct_rows(path._flows)


def test_an_open_direct_connection_gives_way_to_nobody() -> None:
    """It would be cut; half a handshake may be what a flow that has ended left."""
    for flags, verdict in ((("SA",), Verdict.FORWARD), (("SA", "A"), Verdict.REPLY)):
        path = engine(alone())
        for each in flags:
            path.process(packets.tcp(SERVER, FROM, each), 0.0)
        assert path.process(packets.tcp(FROM, WEB), 1.0).verdict is verdict


def test_a_flow_by_another_vip_gives_way_to_nobody() -> None:
    """It is no direct conversation."""
    other = "203.0.113.20"
    services = {
        name: {"listen": f"udp://{vip}:53", "backends": [f"{B1}:5353"]}
        for name, vip in (("one", VIP), ("two", other))
    }
    path = engine(services)
    path.process(packets.udp(f"{CLIENT}:5000", f"{VIP}:53"), 0.0)
    result = path.process(packets.udp(f"{CLIENT}:5000", f"{other}:53"), 0.0)

    assert result.reason is DropReason.PORT_EXHAUSTED
