"""Rows U1 to U3, U7 to U9, U18 and T3 of the conformance list, and what is around them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from natlb.core.layout import (
    ACTION_IPID,
    ACTION_NAT,
    ACTION_XLAT,
    BUCKETS,
    CLOSED,
    CLOSING,
    WORKER,
    WORKERS,
)
from natlb.core.lifetime import end_flow
from natlb.engine import DropReason, Engine, PacketMeta, Verdict
from natlb.testing import packets
from tests.datapath import (
    B1,
    B1_6,
    B2,
    CLIENT,
    CLIENT6,
    SOURCE,
    SOURCE6,
    VIP,
    VIP6,
    broken_laws,
    engine,
    full_nat,
    live_rows,
)
from tests.kernels import needs_plain_kernels

needs_plain_kernels()

WEB, WEB6, DNS = f"{VIP}:80", f"[{VIP6}]:80", f"{VIP}:53"
SERVER = f"{B1}:8080"
PRIVATE = PacketMeta(side="private")


def full(*backends: str, listen: Any = f"tcp://{VIP}:80", **changes: Any) -> dict[str, Any]:
    """Return the services of a pool that is reached by full NAT alone."""
    return {"web": {"listen": listen, "backends": list(backends), "nat": "full", **changes}}


def sent(path: Engine, packet: bytes, now: float = 0.0, meta: PacketMeta | None = None) -> Any:
    """Return what a packet became, read."""
    result = path.process(packet, now, meta)
    assert result.verdict is Verdict.FORWARD, result
    return packets.read(result.packets[0])


def call(path: Engine, client: str, vip: str = WEB, now: float = 0.0) -> str:
    """Send a SYN, and return natlb's own end of it as the backend sees it."""
    return str(sent(path, packets.tcp(client, vip), now).source)


def ports_of(path: Engine, count: int) -> list[int]:
    """Return the ports that so many clients are given, in their order."""
    ends = (call(path, f"198.51.{n // 200}.{n % 200 + 1}:5000") for n in range(count))
    return [int(end.rpartition(":")[2]) for end in ends]


@pytest.mark.parametrize(
    ("client", "vip", "server", "source"),
    [
        (f"{CLIENT}:40000", WEB, SERVER, SOURCE),
        (f"[{CLIENT6}]:40000", WEB6, f"[{B1_6}]:8080", f"[{SOURCE6}]"),
    ],
)
@pytest.mark.parametrize("build", [packets.tcp, packets.udp])
def test_a_backend_sees_natlb_and_answers_to_it(
    client: str, vip: str, server: str, source: str, build: Any
) -> None:
    """So the answer comes back this way, wherever the backend's routes lead."""
    protocol = "tcp" if build is packets.tcp else "udp"
    path = full_nat(full(server, listen=f"{protocol}://{vip}"))
    seen = sent(path, build(client, vip))
    back = path.process(build(server, seen.source), 0.1)

    assert seen.source.startswith(source)
    assert seen.destination == server
    assert packets.read(back.packets[0]).source == vip
    assert packets.read(back.packets[0]).destination == client
    assert back.sides == ["public"]
    assert path.flows()[0].source == seen.source
    assert path.flows()[0].client == client
    assert not broken_laws(path._flows, path._counters)


def test_only_packets_that_may_be_fragmented_share_identifications_of_ipv4() -> None:
    """Full NAT over IPv4 asks for identifications of natlb's own; IPv6 has none to share (R11)."""
    services = full(SERVER) | {
        "six": {"listen": f"tcp://{WEB6}", "backends": [f"[{B1_6}]:8080"], "nat": "full"}
    }
    path = full_nat(services)
    call(path, f"{CLIENT}:40000")
    call(path, f"[{CLIENT6}]:40000", WEB6)
    four, six = (int(path._flows.rows[number]["actions"]) for number in live_rows(path._flows))

    assert four == ACTION_NAT | ACTION_IPID
    assert six == ACTION_NAT


def test_two_clients_of_one_backend_have_two_ports() -> None:
    """And each answer reaches its owner (U2)."""
    path = full_nat(full(SERVER))
    clients = [f"198.51.100.{n}:5000" for n in range(1, 101)]
    ends = {client: call(path, client) for client in clients}

    assert len(set(ends.values())) == len(clients)
    for client, end in ends.items():
        assert sent(path, packets.tcp(SERVER, end, "SA")).destination == client


def test_a_mapping_is_endpoint_dependent_and_its_source_is_not() -> None:
    """U1, the recorded exception: a port for each flow, and one address for all of a client."""
    sources = tuple(f"10.9.0.{n}" for n in range(200, 208))
    path = full_nat(full(SERVER, f"{B2}:8080"), source=sources)
    ends = [call(path, f"{CLIENT}:{port}") for port in range(40000, 40020)]
    others = {call(path, f"198.51.100.{n}:1").rpartition(":")[0] for n in range(100)}

    assert len({end.rpartition(":")[0] for end in ends}) == 1
    assert len(set(ends)) == 20
    assert others == set(sources)


def test_ports_cannot_be_foretold() -> None:
    """U3: of 1,000, no run of more than three, no guess from those before that is right."""
    ports = ports_of(full_nat(full(SERVER)), 1000)
    run = longest = 1
    for before, after in pairwise(ports):
        run = run + 1 if after == before + 1 else 1
        longest = max(longest, run)
    guesses = 0
    for at in range(10, 1000):
        last = ports[at - 10 : at]
        steps = {b - a for a, b in pairwise(last)} | {0, 1, 2, -1}
        guesses += ports[at] in {last[-1] + step for step in steps}

    assert len(set(ports)) == 1000
    assert longest <= 3
    assert guesses <= 13 * 990 * 0.001  # thirteen guesses at a time
    assert sum(port < 1024 + 64512 // 2 for port in ports) in range(440, 560)
    assert ports != ports_of(full_nat(full(SERVER), seed=2), 1000)


@pytest.mark.parametrize(
    ("client_port", "ports", "expected"),
    [
        (500, "1024-65535", range(1024, 65536)),
        (5000, "1024-65535", range(1024, 65536)),
        (5000, "1000-1030", range(1024, 1031)),
        (500, "1000-1030", range(1000, 1031)),
        (5000, "1020-1023", range(1020, 1024)),
    ],
)
def test_a_port_is_of_the_clients_class_or_above(
    client_port: int, ports: str, expected: range
) -> None:
    """A privileged one only for who has one himself, where the range leaves a choice (U3)."""
    path = full_nat(full(SERVER), ports=ports)
    given = [call(path, f"198.51.100.{n}:{client_port}") for n in range(1, 5)]

    assert all(int(end.rpartition(":")[2]) in expected for end in given)


def test_the_last_free_port_is_found_and_then_there_is_none() -> None:
    """The others of the ring are tried, the refusal has its name, and the flood stays cheap."""
    path = full_nat(full(SERVER), ports="2000-2099")
    ports = ports_of(path, 100)
    refused = path.process(packets.tcp(f"{CLIENT}:1", WEB), 0.0)

    assert sorted(ports) == list(range(2000, 2100))
    assert refused.reason is DropReason.PORT_EXHAUSTED
    assert not broken_laws(path._flows, path._counters)
    for number in live_rows(path._flows)[:1]:
        path._flows.rows[number]["state"] = CLOSING  # closed both ways: not cooled
        end_flow(path._core, number, CLOSED)
    assert path.process(packets.tcp(f"{CLIENT}:1", WEB), 0.05).reason is DropReason.PORT_EXHAUSTED
    assert call(path, f"{CLIENT}:1", now=0.2).startswith(SOURCE)


def test_a_port_is_used_again_for_every_other_backend() -> None:
    """Each backend has all of them (RFC 7857 section 3)."""
    path = full_nat(full(SERVER, f"{B2}:8080"), ports="2000-2009")
    ports = ports_of(path, 20)

    assert sorted(ports) == sorted([*range(2000, 2010)] * 2)
    assert path.process(packets.tcp(f"{CLIENT}:1", WEB), 0.0).reason is DropReason.PORT_EXHAUSTED


def test_the_next_address_is_used_where_one_has_no_port_left() -> None:
    """A client keeps its address for as long as that is possible."""
    path = full_nat(full(SERVER), source=("10.9.0.200", "10.9.0.201"), ports="2000-2001")
    ends = [call(path, f"{CLIENT}:{port}") for port in range(1, 5)]

    assert sorted(ends) == [f"10.9.0.20{n}:200{p}" for n in (0, 1) for p in (0, 1)]
    assert ends[0].rpartition(":")[0] == ends[1].rpartition(":")[0]


def test_a_source_of_ipv6_is_taken_from_behind_those_of_ipv4() -> None:
    """They lie in one array, IPv4 first."""
    services = full(f"[{B1_6}]:8080", listen=f"tcp://{WEB6}")
    path = full_nat(services, source=("10.9.0.200", "10.9.0.201", SOURCE6))

    assert call(path, f"[{CLIENT6}]:1", WEB6).startswith(f"[{SOURCE6}]")


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_full_range_behaves_as_an_empty_one(share: float) -> None:
    """U9: ports of their own, the owner's answers, nobody refused."""
    path = full_nat(full(SERVER), ports="2000-2999")
    ports_of(path, int(1000 * share) - 2)
    ends = [call(path, f"203.0.114.{n}:5000") for n in (1, 2)]

    assert len(set(ends)) == 2
    for n, end in enumerate(ends, 1):
        back = sent(path, packets.tcp(SERVER, end, "SA"))
        assert back.destination == f"203.0.114.{n}:5000"


def test_udp_and_tcp_have_ports_of_their_own() -> None:
    """U18: all ports in use by one are free for the other."""
    path = full_nat(full(SERVER, listen=[f"tcp://{WEB}", f"udp://{VIP}:80"]), ports="2000-2001")
    for n in (1, 2):
        call(path, f"198.51.100.{n}:5000")
    ends = {sent(path, packets.udp(f"198.51.100.{n}:5000", WEB)).source for n in (1, 2)}

    assert ends == {f"{SOURCE}:2000", f"{SOURCE}:2001"}


@pytest.mark.parametrize("flags", ["S", "SA", "A", "R"])
def test_strangers_reach_nobody_by_a_port_of_natlbs(flags: str) -> None:
    """U7 and T3: not the flow, and there is no answer, ever."""
    path = full_nat(full(SERVER))
    end = call(path, f"{CLIENT}:40000")
    before = path.flows()[0]
    for stranger, meta in ((f"{B2}:8080", None), (f"{B1}:8081", None), ("203.0.114.9:1", None)):
        result = path.process(packets.tcp(stranger, end, flags), 5.0, meta)
        assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.OUT_OF_STATE)
    assert path.flows()[0].idle_seconds == before.idle_seconds + 5.0
    assert path.process(packets.tcp("203.0.114.9:1", f"{SOURCE}:9", flags), 5.0).packets == []


HAIRPIN = {"web": {"listen": [f"tcp://{WEB}", f"udp://{DNS}"], "backends": [B1, B2]}}


@pytest.mark.parametrize("build", [packets.tcp, packets.udp])
@pytest.mark.parametrize("client", ["10.9.0.77:5000", f"{B1}:5000", f"{B2}:5000"])
def test_a_hairpin_goes_by_natlb_both_ways(build: Any, client: str) -> None:
    """U8: the backend, be it the caller itself, sees natlb; the caller gets the VIP's answer."""
    vip = WEB if build is packets.tcp else DNS
    for _ in range(2):  # whichever of the two backends is picked
        path = full_nat(HAIRPIN)
        path.process(packets.tcp(f"{CLIENT}:{_ + 1}", WEB), 0.0)
        there = path.process(build(client, vip), 0.0, PRIVATE)
        seen = packets.read(there.packets[0])
        back = path.process(build(seen.destination, seen.source), 0.0, PRIVATE)
        answer = packets.read(back.packets[0])

        assert seen.source.startswith(SOURCE)
        assert (answer.source, answer.destination) == (vip, client)
        assert there.sides == back.sides == ["private"]
        assert len(there.packets) == len(back.packets) == 1
        again = path.process(there.packets[0], 0.0, PRIVATE)  # what comes back is a forgery
        assert (again.verdict, again.reason) == (Verdict.DROP, DropReason.MARTIAN)


def test_a_hairpin_scheduled_to_the_caller_itself_works() -> None:
    """A pool of one: b1 calls the VIP and is the backend."""
    path = full_nat({"web": {"listen": f"tcp://{WEB}", "backends": [f"{B1}:80"]}})
    seen = sent(path, packets.tcp(f"{B1}:80", WEB))
    back = sent(path, packets.tcp(f"{B1}:80", seen.source, "SA"))

    assert seen.source.startswith(SOURCE)
    assert (back.source, back.destination) == (WEB, f"{B1}:80")
    assert len(path.flows()) == 1


def test_a_hairpin_without_a_source_of_the_backends_version_is_refused() -> None:
    """There is no address that the answer would come back to."""
    path = full_nat(
        {"web": {"listen": f"tcp://{WEB6}", "backends": [f"[{B1_6}]:80"]}}, source=(SOURCE,)
    )
    result = path.process(packets.tcp("[fd00:9::77]:1", WEB6), 0.0, PRIVATE)

    assert result.reason is DropReason.PORT_EXHAUSTED
    assert not path.flows()


def test_the_other_ip_version_is_crossed_by_full_nat() -> None:
    """The backend has no way to the client's address, nor a field for it."""
    services = {"web": {"listen": [f"tcp://{WEB}", f"tcp://{WEB6}"], "backends": [f"[{B1_6}]:80"]}}
    path = full_nat(services)
    path.process(packets.tcp(f"{CLIENT}:1", WEB), 0.0)
    path.process(packets.tcp(f"[{CLIENT6}]:1", WEB6), 0.0)
    crossing, plain = path.flows()

    assert crossing.source is not None
    assert crossing.source.startswith(f"[{SOURCE6}]")
    assert plain.source is None
    assert int(path._flows.rows[live_rows(path._flows)[0]]["actions"]) == ACTION_NAT | ACTION_XLAT


@pytest.mark.parametrize("sources", [(), (SOURCE,), (SOURCE6,)])
def test_a_process_of_the_host_itself_gets_through(sources: tuple[str, ...]) -> None:
    """Its address is one that the backends reach directly; without a source it must do as it is."""
    path = full_nat({"web": {"listen": f"tcp://{WEB}", "backends": [SERVER]}}, source=sources)
    private = path._sides.private
    hosts = (packets.split_endpoint("10.9.0.1:1")[0],)
    path._sides = type(path._sides)(
        public=path._sides.public, private=type(private)(mtu=private.mtu, hosts=hosts)
    )
    path._compile(path._config, path._run_time)
    seen = sent(path, packets.tcp("10.9.0.1:40000", WEB), meta=PacketMeta(side="public"))

    assert seen.source.startswith(SOURCE if sources == (SOURCE,) else "10.9.0.1:40000")
    assert call(path, f"{CLIENT}:1") == f"{CLIENT}:1"


def test_a_client_of_two_vips_and_one_backend_keeps_two_streams() -> None:
    """Where sources are configured, full NAT helps just that flow (trap 7)."""
    vips = [f"tcp://{WEB}", f"tcp://{VIP}:81"]
    path = full_nat({"web": {"listen": vips, "backends": [SERVER]}})
    plain = call(path, f"{CLIENT}:1")
    own = call(path, f"{CLIENT}:1", f"{VIP}:81")

    assert plain == f"{CLIENT}:1"
    assert own.startswith(SOURCE)
    assert sent(path, packets.tcp(SERVER, plain, "SA")).source == WEB
    assert sent(path, packets.tcp(SERVER, own, "SA")).source == f"{VIP}:81"


def test_an_index_without_room_is_a_full_table() -> None:
    """Not a port that is missing: no other one is tried."""
    path = full_nat(full(SERVER))
    path._flows.meta[BUCKETS] = 1
    call(path, f"{CLIENT}:1")
    path._flows.buckets[2:7] = 1  # leads to that flow, whose key it is not

    assert path.process(packets.tcp(f"{CLIENT}:2", WEB), 0.0).reason is DropReason.TABLE_FULL


def test_without_addresses_nothing_is_kept_for_them() -> None:
    """The memory for what cools is a worker's own, and not small."""
    assert engine()._core.cooling.ended.size == 1
    assert full_nat()._core.cooling.ended.size >= 1 << 16


def of_workers(path: Engine, worker: int, workers: int) -> Engine:
    """Return an engine as one worker of several."""
    path._core.flows.meta[WORKER], path._core.flows.meta[WORKERS] = worker, workers
    return path


@pytest.mark.parametrize("worker", [0, 1, 2])
def test_each_of_several_workers_has_every_nth_port_to_the_last(worker: int) -> None:
    """Answers to the others' ports are steered to them."""
    path = of_workers(full_nat(full(SERVER), ports="5000-5019"), worker, 3)
    own = [port for port in range(5000, 5020) if port % 3 == worker]

    assert sorted(ports_of(path, len(own))) == own
    result = path.process(packets.tcp(f"{CLIENT}:40000", WEB), 0.0)
    assert result.reason is DropReason.PORT_EXHAUSTED


def test_a_worker_without_a_port_of_its_own_says_so() -> None:
    """Where fewer ports are configured than there are workers."""
    path = of_workers(full_nat(full(SERVER), ports="5000-5001"), 5, 8)

    assert path.process(packets.tcp(f"{CLIENT}:40000", WEB), 0.0).reason is (
        DropReason.PORT_EXHAUSTED
    )
