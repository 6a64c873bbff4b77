"""TCP: RFC 5382, 7857, 9293, 5961, 6191, 7413, 7323, 3168, 6691."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

from natlb.engine import DropReason, Verdict
from natlb.testing import packets
from natlb.testing.network import Network, Weather
from natlb.testing.packets import Header
from tests.conformance.site import Site, Version

WORD = 0xFFFFFFFF
BIG = {"window": 65535}


def reply(site: Site, server: str, flags: str, *, sport: int = 40000, **words: Any) -> bytes:
    """Return a backend's segment to the client."""
    return packets.tcp(server, site.at("client", sport), flags, **words)


def server_of(result: Any) -> str:
    """Return the backend that a client's forwarded segment went to."""
    return packets.read(result.packets[0]).destination


@pytest.mark.conformance("T1")
@pytest.mark.parametrize("seed", range(2))
def test_every_octet_arrives_and_the_flow_goes(version: Version, seed: int) -> None:
    """Half-closed by the client while the server still answers; lost and doubled on the way."""
    site = Site(version, timeouts={"tcp_transitory": 20})
    chance = random.Random(seed)
    storm = Weather(lost=0.05, doubled=0.05, slowest=0.1)
    net = Network(site.engine, chance, storm, lambda _, request: request * 3)
    asked = {site.at("client", 41000 + n): chance.randbytes(700) for n in range(5)}
    for client, request in asked.items():
        net.connect(client, site.at("vip", 80), request)
    net.run(until=20)
    for client, request in asked.items():
        assert bytes(net.clients[client].received) == request * 3
    net.run(until=45)
    assert not site.engine.flows()


CLOSES = {
    "the client first": [
        ("c", "FA", 1001, 5001),
        ("b", "A", 5001, 1002),
        ("b", "FA", 5001, 1002),
        ("c", "A", 1002, 5002),
    ],
    "the backend first": [
        ("b", "FA", 5001, 1001),
        ("c", "A", 1001, 5002),
        ("c", "FA", 1001, 5002),
        ("b", "A", 5002, 1002),
    ],
    "both at once": [
        ("c", "FA", 1001, 5001),
        ("b", "FA", 5001, 1001),
        ("c", "A", 1002, 5002),
        ("b", "A", 5002, 1002),
    ],
    "a reset of the client's": [("c", "RA", 1001, 5001)],
    "a reset of the backend's": [("b", "RA", 5001, 1001)],
}


@pytest.mark.conformance("T1")
@pytest.mark.parametrize("close", CLOSES, ids=[name.replace(" ", "-") for name in CLOSES])
def test_every_way_to_close(version: Version, close: str) -> None:
    """All of it is forwarded; then the short timer runs and the flow is gone."""
    site = Site(version, timeouts={"tcp_transitory": 10})
    server = site.opened()
    for who, flags, sequence, acknowledged in CLOSES[close]:
        words = {"sequence": sequence, "acknowledgement": acknowledged}
        packet = site.tcp(flags, **words) if who == "c" else reply(site, server, flags, **words)
        assert site.send(packet).verdict is Verdict.FORWARD
    assert site.state() == "closing"
    site.wait(13)
    assert not site.engine.flows()


@pytest.mark.conformance("T1")
def test_a_half_closed_connection_carries_a_mebibyte(version: Version) -> None:
    """The client has said its last; the backend has not. The long timer still runs."""
    site = Site(version, timeouts={"tcp_transitory": 10})
    server = site.opened()
    site.send(site.tcp("FA", sequence=1001, acknowledgement=5001))
    for number in range(1 << 10):
        at = 5001 + number * 1024
        site.send(reply(site, server, "A", sequence=at, acknowledgement=1002, payload=bytes(1024)))
        site.send(site.tcp("A", sequence=1002, acknowledgement=at + 1024, **BIG))
    site.wait(60)
    assert site.state() == "established"
    assert site.engine.flows()[0].bytes.reply > 1 << 20


@pytest.mark.conformance("T3")
def test_silence_to_an_unsolicited_syn(version: Version) -> None:
    """At a port of full NAT, used or not: a peer that opens at the same time may yet succeed."""
    source = "10.9.0.100" if version == 4 else "fd00:9::100"
    site = Site(version, service={"nat": "full"}, datapath={"source": [source]})
    result = site.send(packets.tcp(site.at(site.servers[0], 8080), site.at("source", 2000), "S"))

    assert result.verdict is Verdict.DROP
    assert not result.packets


@pytest.mark.conformance("T4")
def test_the_timers_that_are_there_unless_configured(version: Version) -> None:
    """Two hours and four minutes, four minutes, four minutes: each a key of its own."""
    timeouts = Site(version).engine._config.timeouts

    assert timeouts.tcp_established >= 7440
    assert timeouts.tcp_opening >= 240
    assert timeouts.tcp_transitory >= 240


@pytest.mark.conformance("T4", "X1")
def test_an_idle_connection_is_kept_for_two_hours(version: Version) -> None:
    """And then a packet of either end is told by a reset, or not seen on the public side."""
    site = Site(version)
    server = site.opened()
    site.wait(7439)
    data = {"sequence": 1001, "acknowledgement": 5001}
    assert site.send(site.tcp("PA", payload=b"x", **data)).verdict is Verdict.FORWARD
    site.wait(7443)
    assert not site.engine.flows()
    result = site.send(site.tcp("PA", payload=b"x", **data))
    assert (result.verdict, result.reason) == (Verdict.REPLY, DropReason.OUT_OF_STATE)
    reset = packets.read(result.packets[0])
    assert (reset.flags, reset.sequence) == ("R", 5001)
    late = site.send(reply(site, server, "PA", sequence=5001, acknowledgement=1002, payload=b"y"))
    assert (late.verdict, late.sides) == (Verdict.REPLY, ["private"])


@pytest.mark.conformance("T5")
def test_a_repeated_syn_is_one_flow(version: Version) -> None:
    """Of the same backend each time."""
    site = Site(version)
    servers = {server_of(site.send(site.tcp("S", sequence=1000))) for _ in range(5)}

    assert len(servers) == 1
    assert site.engine.stats().flows.opened == 1


@pytest.mark.conformance("T6")
@pytest.mark.parametrize(
    "options", [b"", bytes([34, 10]) + b"cookie!!" + b"\1\1"], ids=["plain", "cookie"]
)
def test_fast_open(version: Version, options: bytes) -> None:
    """Data in the SYN, and the SYN-ACK that takes it."""
    site = Site(version)
    result = site.send(site.tcp("S", sequence=1000, payload=b"GET /", options=options))
    seen = packets.read(result.packets[0])
    assert seen.payload == b"GET /"
    assert not options or options in result.packets[0]
    answer = reply(site, seen.destination, "SA", sequence=5000, acknowledgement=1006)
    assert site.send(answer).verdict is Verdict.FORWARD
    site.send(site.tcp("A", sequence=1006, acknowledgement=5001))
    assert site.state() == "established"


@pytest.mark.conformance("T7")
@pytest.mark.parametrize("who", ["c", "b"])
@pytest.mark.parametrize(
    ("offset", "is_closed"),
    [(0, True), (10, False), (1000, False), (1 << 30, False), (-5000, False)],
)
def test_only_a_reset_of_the_next_number_closes(
    version: Version, who: str, offset: int, is_closed: bool
) -> None:
    """In the window, the short timer runs until data shows that the connection lives."""
    site = Site(version, timeouts={"tcp_transitory": 10})
    server = site.opened()
    words = {"acknowledgement": 5001, "sequence": (1001 + offset) & WORD}
    packet = site.tcp("R", **words)
    if who == "b":
        words = {"acknowledgement": 1001, "sequence": (5001 + offset) & WORD}
        packet = reply(site, server, "R", **words)
    site.send(packet)
    assert (site.state() == "closing") == is_closed
    if not is_closed:
        site.send(site.tcp("PA", payload=b"x", sequence=1001, acknowledgement=5001))
        site.wait(60)
        assert site.state() == "established"


@pytest.mark.conformance("T7")
def test_a_doubtful_reset_starts_the_short_timer(version: Version) -> None:
    """Which ends the flow where nothing follows, as the receiver may have believed it."""
    site = Site(version, timeouts={"tcp_transitory": 10})
    site.opened()
    site.send(site.tcp("R", sequence=1011, acknowledgement=5001))
    site.wait(13)
    assert not site.engine.flows()


@pytest.mark.conformance("T7")
@pytest.mark.parametrize(("acknowledged", "is_closed"), [(1001, True), (77, False)])
def test_a_reset_to_a_syn_is_known_by_what_it_acknowledges(
    version: Version, acknowledged: int, is_closed: bool
) -> None:
    """RFC 9293 section 3.10.7.3: a closed port's answer."""
    site = Site(version)
    server = server_of(site.send(site.tcp("S", sequence=1000)))
    site.send(reply(site, server, "RA", sequence=0, acknowledgement=acknowledged))

    assert (site.state() == "closing") == is_closed


@pytest.mark.conformance("T8")
def test_a_syn_inside_a_connection(version: Version) -> None:
    """Goes to the same backend, whose challenge ACK comes back; nothing changes."""
    site = Site(version)
    server = site.opened()
    result = site.send(site.tcp("S", sequence=90_000))
    assert server_of(result) == server
    challenge = site.send(reply(site, server, "A", sequence=5001, acknowledgement=1001))
    assert packets.read(challenge.packets[0]).source == site.at("vip", 80)
    assert site.state() == "established"
    assert site.engine.stats().flows.opened == 1


@pytest.mark.conformance("T9")
@pytest.mark.parametrize(
    ("sequence", "acknowledged"), [(1001 + (1 << 29), 5001), (1001, 5001 + (1 << 29))]
)
def test_data_far_outside_the_window_refreshes_nothing(
    version: Version, sequence: int, acknowledged: int
) -> None:
    """It is translated all the same: what the endpoint makes of it is the endpoint's."""
    site = Site(version, timeouts={"tcp_established": 30})
    server = site.opened()
    site.wait(20)
    words = {"sequence": sequence, "acknowledgement": acknowledged}
    result = site.send(site.tcp("PA", payload=b"x" * 100, **words))
    assert server_of(result) == server
    site.wait(13)
    assert not site.engine.flows()


@pytest.mark.conformance("T10")
def test_a_port_used_again_is_a_new_flow_at_once(version: Version) -> None:
    """No swallowed SYN, no delay, and a backend that may be another one."""
    site = Site(version)
    server = site.opened()
    site.send(site.tcp("FA", sequence=1001, acknowledgement=5001))
    site.send(reply(site, server, "FA", sequence=5001, acknowledgement=1002))
    site.send(site.tcp("A", sequence=1002, acknowledgement=5002))
    assert site.state() == "closing"
    result = site.send(site.tcp("S", sequence=800_000))
    assert result.verdict is Verdict.FORWARD
    assert [flow.state for flow in site.engine.flows()] == ["opening"]
    assert server_of(result) != server


@pytest.mark.conformance("T10")
def test_a_port_used_again_does_not_go_to_a_drained_backend(version: Version) -> None:
    """The old flow was there; the new one is new."""
    site = Site(version)
    server = site.opened()
    site.send(site.tcp("RA", sequence=1001, acknowledgement=5001))
    site.engine.set_backend(f"web/{server}", state="draining")
    assert server_of(site.send(site.tcp("S", sequence=800_000))) != server


@pytest.mark.conformance("T11")
def test_old_and_late_segments_do_not_disturb(version: Version) -> None:
    """A SYN-ACK of the last incarnation, a doubled ACK, a late FIN."""
    site = Site(version)
    server = site.opened()
    site.send(reply(site, server, "SA", sequence=77_000, acknowledgement=900))
    for _ in range(2):
        site.send(site.tcp("A", sequence=1001, acknowledgement=5001))
    assert site.state() == "established"
    site.send(site.tcp("FA", sequence=1001, acknowledgement=5001))
    site.send(reply(site, server, "FA", sequence=5001, acknowledgement=1002))
    for packet in (
        reply(site, server, "FA", sequence=5001, acknowledgement=1002),
        site.tcp("FA", sequence=1001, acknowledgement=5001),
        site.tcp("A", sequence=1002, acknowledgement=5002),
    ):
        assert site.send(packet).verdict is Verdict.FORWARD
    assert site.state() == "closing"


@pytest.mark.conformance("T12")
@pytest.mark.parametrize("isn", [1000, 0xFFFFF000])
def test_windows_of_a_gibibyte_and_numbers_that_wrap(version: Version, isn: int) -> None:
    """Scaled by 14; all data in the window counts as sound, and the reset is judged by it."""
    scale = bytes([3, 3, 14, 1])
    site = Site(version, timeouts={"tcp_established": 30, "tcp_transitory": 10})
    server = server_of(site.send(site.tcp("S", sequence=isn, options=scale)))
    answer: dict[str, Any] = {
        "sequence": 5000,
        "acknowledgement": (isn + 1) & WORD,
        "options": scale,
    }
    site.send(reply(site, server, "SA", **answer))
    site.send(site.tcp("A", sequence=(isn + 1) & WORD, acknowledgement=5001, window=65535))
    ack = {"acknowledgement": (isn + 1) & WORD, "window": 65535}
    site.send(reply(site, server, "A", sequence=5001, **ack))
    for step in range(1, 5):
        site.wait(20)
        at = (isn + 1 + step * (200 << 20)) & WORD
        data = site.tcp("PA", sequence=at, acknowledgement=5001, payload=b"x" * 1000)
        assert site.send(data).verdict is Verdict.FORWARD
        assert site.state() == "established"
    site.send(site.tcp("R", sequence=(isn + 1 + (900 << 20)) & WORD, acknowledgement=5001))
    assert site.state() == "established"
    site.wait(13)
    assert not site.engine.flows()


OPTIONS = {
    "usual": bytes([2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]),
    "sack blocks at an odd place": bytes([1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9, 0]),
    "md5": bytes([19, 18]) + bytes(range(16)) + b"\1\1",
    "ao": bytes([29, 16]) + bytes(range(14)),
    "mptcp": bytes([30, 12]) + bytes(range(10)),
    "accurate ecn": bytes([172, 11]) + bytes(range(9)) + b"\1",
    "experiments": bytes([253, 4, 249, 137, 254, 4, 1, 2]),
    "forty octets": bytes([1] * 40),
}


@pytest.mark.conformance("T13")
@pytest.mark.parametrize("flags", ["S", "PA"])
@pytest.mark.parametrize("name", OPTIONS, ids=[name.replace(" ", "-") for name in OPTIONS])
def test_options_are_left_as_they_are(version: Version, name: str, flags: str) -> None:
    """Both ways, at any alignment."""
    site = Site(version)
    if flags == "PA":
        server = site.opened()
        words: dict[str, Any] = {"sequence": 5001, "acknowledgement": 1001}
        words |= {"options": OPTIONS[name], "payload": b"odd"}
        assert OPTIONS[name] in site.send(reply(site, server, "PA", **words)).packets[0]
    sequence = 1001 if flags == "PA" else 1000
    packet = site.tcp(
        flags, sequence=sequence, acknowledgement=5001, options=OPTIONS[name], payload=b"abc"
    )
    out = site.send(packet).packets[0]
    assert out[-len(OPTIONS[name]) - 3 : -3] == OPTIONS[name]


@pytest.mark.conformance("T14")
@pytest.mark.parametrize("offset", [0, 1, 2, 3, 4, 15])
def test_data_offsets_that_cannot_be(version: Version, offset: int) -> None:
    """Less than a header, or more than the segment."""
    site = Site(version)
    packet = bytearray(site.tcp("S"))
    packet[packets.transport_at(bytes(packet)) + 12] = offset << 4
    result = site.engine.process(bytes(packet), 0.0)

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.MALFORMED)


@pytest.mark.conformance("T14")
@pytest.mark.parametrize(
    "options", [bytes([2, 0, 0, 0]), bytes([2, 1, 1, 1]), bytes([3, 40, 1, 1])]
)
def test_options_of_odd_lengths(version: Version, options: bytes) -> None:
    """None at all, or beyond the header's end: nobody may read on from there."""
    site = Site(version, service={"mss_clamp": 1200})
    result = site.send(site.tcp("S", options=options))

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.MALFORMED)
    assert not site.engine.flows()


@pytest.mark.conformance("T15")
@pytest.mark.parametrize("flags", ["", "SF", "SR", "SFR", "FPU", "F"])
def test_flags_that_exclude_each_other(version: Version, flags: str) -> None:
    """Marks of a port scan: no flow, no answer."""
    site = Site(version)
    result = site.send(site.tcp(flags))

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.MALFORMED)
    assert not site.engine.flows()


@pytest.mark.conformance("T16")
@pytest.mark.parametrize("flags", ["A", "PA", "FA", "SA"])
@pytest.mark.parametrize("unknown", ["reject", "drop"])
def test_a_segment_of_no_flow(version: Version, unknown: str, flags: str) -> None:
    """A reset as Linux sends it, or silence; to a reset always silence."""
    site = Site(version, service={"unknown": unknown})
    result = site.send(site.tcp(flags, sequence=7, acknowledgement=99))
    assert result.reason is DropReason.OUT_OF_STATE
    if unknown == "drop":
        assert (result.verdict, result.packets) == (Verdict.DROP, [])
        return
    reset = packets.read(result.packets[0])
    assert (result.verdict, reset.flags, reset.sequence) == (Verdict.REPLY, "R", 99)
    assert (reset.source, reset.destination) == (site.at("vip", 80), site.at("client", 40000))
    assert site.send(site.tcp("R", sequence=7)).verdict is Verdict.DROP


@pytest.mark.conformance("T17")
@pytest.mark.parametrize("tos", [0, 1, 2, 3])
def test_ecn_is_kept(version: Version, tos: int) -> None:
    """In the IP header and in TCP's flags."""
    site = Site(version)
    out = site.send(site.tcp("SEC", header=Header(tos=tos))).packets[0]
    got = out[1] & 3 if version == 4 else out[1] >> 4 & 3
    assert got == tos
    assert packets.read(out).flags == "SEC"


@pytest.mark.conformance("T18")
@pytest.mark.parametrize("payload", [b"", b"x"])
def test_keepalives_pass_and_refresh(version: Version, payload: bytes) -> None:
    """One number before the next, with and without an octet; so do probes of a closed window."""
    site = Site(version, timeouts={"tcp_established": 30})
    server = site.opened()
    for _ in range(4):
        site.wait(20)
        probe = site.tcp("A", sequence=1000, acknowledgement=5001, payload=payload)
        assert site.send(probe).verdict is Verdict.FORWARD
    site.send(reply(site, server, "A", sequence=5001, acknowledgement=1001, window=0))
    for _ in range(4):
        site.wait(20)
        site.send(site.tcp("A", sequence=1001, acknowledgement=5001, payload=b"z"))
    assert site.state() == "established"


@pytest.mark.conformance("T20")
def test_half_open_flows_run_out_by_their_timer(version: Version) -> None:
    """A SYN alone, a SYN and its answer."""
    site = Site(version, timeouts={"tcp_opening": 10})
    site.send(site.tcp("S", sport=1))
    server = server_of(site.send(site.tcp("S", sport=2, sequence=1000)))
    site.send(reply(site, server, "SA", sport=2, sequence=5000, acknowledgement=1001))
    site.wait(9)
    assert [flow.state for flow in site.engine.flows()] == ["opening", "opening"]
    site.wait(3)
    assert not site.engine.flows()


@pytest.mark.conformance("T20")
def test_an_unanswered_fin_runs_out_by_the_long_timer(version: Version) -> None:
    """A half-closed connection may carry data for as long as an open one."""
    site = Site(version, timeouts={"tcp_established": 20, "tcp_transitory": 5})
    site.opened()
    site.send(site.tcp("FA", sequence=1001, acknowledgement=5001))
    site.wait(19)
    assert site.state() == "established"
    site.wait(3)
    assert not site.engine.flows()


@pytest.mark.conformance("T21")
@pytest.mark.parametrize(
    ("said", "clamp"), [(1460, True), (1460, 1000), (500, True), (1460, False)]
)
def test_mss_clamping(version: Version, said: int, clamp: Any) -> None:
    """On a SYN and its answer, lowered and never raised; on nothing else."""
    option = bytes([1, 2, 4]) + struct.pack("!H", said) + bytes([1, 1, 1])
    site = Site(version, service={"mss_clamp": clamp}, options={"mtu": (1500, 1300)})
    most = {True: 1260 if version == 4 else 1240, False: said}.get(clamp, clamp)
    syn = site.send(site.tcp("S", sequence=1000, options=option)).packets[0]
    at = packets.transport_at(syn) + 20
    assert struct.unpack_from("!H", syn, at + 3)[0] == min(said, most)
    server = packets.read(syn).destination
    words: dict[str, Any] = {"sequence": 5000, "acknowledgement": 1001, "options": option}
    answer = site.send(reply(site, server, "SA", **words)).packets[0]
    assert struct.unpack_from("!H", answer, packets.transport_at(answer) + 23)[0] == min(said, most)
    data = site.send(site.tcp("A", sequence=1001, acknowledgement=5001, options=option)).packets[0]
    assert struct.unpack_from("!H", data, at + 3)[0] == said


@pytest.mark.conformance("X2")
def test_udp_of_a_dead_backend_is_moved(version: Version) -> None:
    """One-way datagrams do not pin a client to it; nor does a pool that was empty."""
    site = Site(version)
    first = packets.read(site.send(site.udp()).packets[0]).destination
    site.engine.set_backend(f"dns/{first}", health="down")
    moved = packets.read(site.send(site.udp()).packets[0]).destination
    assert moved != first
    site.engine.set_backend(f"dns/{moved}", health="down")
    assert site.send(site.udp()).reason is DropReason.NO_BACKEND
    site.engine.set_backend(f"dns/{first}", health="up")
    assert packets.read(site.send(site.udp()).packets[0]).destination == first


@pytest.mark.conformance("X2")
def test_udp_of_a_removed_backend_is_moved(version: Version) -> None:
    """At its next datagram."""
    site = Site(version)
    first = packets.read(site.send(site.udp()).packets[0]).destination
    config = site.config()
    for service in config["services"].values():
        service["backends"] = [
            each for each in service["backends"] if first.rpartition(":")[0] not in each
        ]
    site.engine.load(config)
    assert packets.read(site.send(site.udp()).packets[0]).destination != first


@pytest.mark.conformance("X3")
def test_a_direct_conversation_is_never_mixed_in(version: Version) -> None:
    """The backend that a client's port talks to directly is not given to it by the VIP."""
    site = Site(version)
    direct = site.at(site.servers[0], 8080)
    answer = packets.tcp(direct, site.at("client", 40000), "SA", sequence=9, acknowledgement=8)
    assert site.send(answer).verdict is Verdict.PASS
    server = server_of(site.send(site.tcp("S", sequence=1000)))
    assert server != direct
    data = packets.tcp(direct, site.at("client", 40000), "PA", sequence=10, payload=b"direct")
    passed = site.send(data)
    assert (passed.verdict, passed.packets) == (Verdict.PASS, [data])


@pytest.mark.conformance("X4")
def test_first_packets_at_once_are_one_flow(version: Version) -> None:
    """In one batch."""
    site = Site(version)
    results = site.engine.process_batch([site.tcp("S")] * 3 + [site.udp()] * 3, 0.0)
    servers = [server_of(result) for result in results]

    assert len(set(servers[:3])) == len(set(servers[3:])) == 1
    assert site.engine.stats().flows.opened == 2


@pytest.mark.conformance("X5")
def test_an_unanswered_syn_leaves_a_dead_backend(version: Version) -> None:
    """At its next repetition; an established connection stays where it is."""
    site = Site(version)
    first = server_of(site.send(site.tcp("S")))
    site.engine.set_backend(f"web/{first}", health="down")
    assert server_of(site.send(site.tcp("S"))) != first
    established = site.opened(sport=41000)
    site.engine.set_backend(f"web/{established}", health="down")
    data = site.tcp("PA", sport=41000, sequence=1001, acknowledgement=5001, payload=b"x")
    assert server_of(site.send(data)) == established
