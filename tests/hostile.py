"""What hostile tests share: an engine for which everything is configured, packets for all of it.

Few clients, backends, ports and identifications, so that flows, fragments and errors meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.fragment_table import UNDECIDED
from natlb.core.holding import COUNT_HELD
from natlb.core.layout import HELD, MARK_COUNTED
from natlb.core.sources import flows_of_source
from natlb.engine import Engine
from natlb.testing import packets
from natlb.testing.packets import Header
from tests.conformance.pieces import cut
from tests.datapath import (
    B1,
    B1_6,
    B2,
    B2_6,
    CLIENT,
    CLIENT6,
    SOURCE,
    SOURCE6,
    VIP,
    VIP6,
    broken_laws,
    live_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MTUS = 1500, 1300  # public, private
LARGE = 1400  # octets that fit on one side only
OTHER_CLIENT, DENIED = "198.51.100.3", "198.51.100.130"
NEIGHBOUR = "10.9.0.77"  # in the backends' network, and none of them
ROUTER, ROUTER6 = "192.0.2.1", "2001:db8:e::1"
PORTS = range(2000, 2016)  # of full NAT, so few that one can be guessed
CLIENT_PORTS = range(40000, 40003)
MSS, SCALE = b"\2\4\5\xb4", b"\3\3\7"
OPTIONS = MSS + SCALE, b"\1" + MSS, b"\1\1" + SCALE
# Type and code of every ICMP error, and some that none has
KINDS4 = [*((3, code) for code in range(17)), (11, 0), (11, 1), (12, 0), (12, 1), (12, 2), (4, 0)]
KINDS6 = [*((1, code) for code in range(8)), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2), (5, 0)]
EXTENSION = b"\x20\0\0\0\0\x08\1\1\0\1\2\3"  # RFC 4884
DATAPATH: dict[str, Any] = {
    "max_flows": 40,
    "fragments": 8,
    "source": [SOURCE, SOURCE6],
    "source_ports": f"{PORTS[0]}-{PORTS[-1]}",
    "max_flows_per_source": 12,
}
TIMEOUTS = {
    "tcp_opening": 4,
    "tcp_transitory": 2,
    "tcp_established": 9,
    "udp": 3,
    "udp_unreplied": 2,
    "fragment": 1,
}
BACKENDS4, BACKENDS6 = (B1, B2), (f"[{B1_6}]", f"[{B2_6}]")
SERVICES: dict[str, Any] = {
    "web": {
        "listen": f"tcp://{VIP}:80",
        "backends": [f"{each}:8080" for each in BACKENDS4],
        "mss_clamp": 1200,
    },
    "web6": {
        "listen": f"tcp://[{VIP6}]:80",
        "backends": [f"{each}:8080" for each in BACKENDS6],
    },
    "mixed": {
        "listen": [
            f"tcp://{VIP}:81",
            f"tcp://[{VIP6}]:81",
            f"udp://{VIP}:81",
            f"udp://[{VIP6}]:81",
        ],
        "backends": [f"{B1}:8081", f"[{B1_6}]:8081"],
        "mss_clamp": 1200,
    },
    "full": {
        "listen": [f"tcp://{VIP}:82", f"tcp://[{VIP6}]:82", f"udp://{VIP}:82"],
        "backends": [f"{B2}:8082", f"[{B2_6}]:8082"],
        "nat": "full",
        "max_flows": 9,
    },
    "dns": {
        "listen": [f"udp://{VIP}:53", f"udp://[{VIP6}]:53"],
        "backends": [f"{each}:5353" for each in (*BACKENDS4, *BACKENDS6)],
        "datagrams": 1,
        "access": {"deny": ["198.51.100.128/25"]},
    },
    "plain": {
        "listen": f"udp://{VIP}:54",
        "backends": [f"{each}:5454" for each in BACKENDS4],
    },
}


def config(services: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the configuration that has everything."""
    return {"datapath": DATAPATH, "timeouts": TIMEOUTS, "services": services or SERVICES}


def engine(seed: int = 1, **options: Any) -> Engine:
    """Return an engine for which everything is configured."""
    return Engine(config(), seed, mtu=MTUS, **options)


def all_broken_laws(path: Engine) -> list[str]:
    """Return which laws do not hold: of the table, and of the memory that is a worker's own."""
    return [*broken_laws(path._flows, path._counters), *_own_faults(path)]


def _own_faults(path: Engine) -> Iterator[str]:
    core = path._core
    holding, records = core.fragments.holding, core.fragments.records
    used = [int(at) for at, place in enumerate(holding.places) if at and place["length"]]
    listed: list[int] = []
    for at, record in enumerate(records):
        number = int(record["first_held"]) if record["used"] else 0
        if number and record["fate"] != UNDECIDED:
            yield f"pieces wait for datagram {at}, which was decided"
        while number and len(listed) <= len(used):
            listed.append(number)
            if holding.places[number]["record"] != at:
                yield f"what is held at {number} says it is of {holding.places[number]['record']}"
            number = int(holding.places[number]["link"])
    if sorted(listed) != used:
        yield f"held are {used}, of datagrams are {sorted(listed)}"
    counts = int(holding.numbers[COUNT_HELD]), int(core.counters.totals[HELD])
    if counts != (len(used), len(used)):
        yield f"held are {len(used)}, counted {counts}"
    rows = [core.flows.rows[number] for number in live_rows(core.flows)]
    marked = [row for row in rows if row["marks"] & MARK_COUNTED]
    if len(marked) != len(rows) or core.sources.counts["flows"].sum() != len(rows):
        yield f"of {len(rows)} flows, {len(marked)} say that they are counted by client"
    if any(flows_of_source(core.sources, core.flows, row["original"]) < 1 for row in rows):
        yield "a client with a flow has none by the counts"


def _calls() -> Iterator[bytes]:
    """Yield what clients send."""
    payload = b"odd"
    for port in CLIENT_PORTS:
        for client, vip in ((CLIENT, VIP), (OTHER_CLIENT, VIP), (f"[{CLIENT6}]", f"[{VIP6}]")):
            source = f"{client}:{port}"
            for called in (80, 81, 82):
                there = f"{vip}:{called}"
                yield packets.tcp(source, there, options=OPTIONS[port % len(OPTIONS)])
                yield packets.tcp(source, there, "A")
                yield packets.tcp(source, there, "PA", payload=payload)
                yield packets.tcp(source, there, "FA", sequence=1004, acknowledgement=1004)
                yield packets.tcp(source, there, "R", sequence=1004 + port % 2)
            for called in (53, 54, 81, 82)[:: 1 if vip == VIP else 2]:
                yield packets.udp(source, f"{vip}:{called}", payload)
        for backend, vip in ((B2, VIP), (NEIGHBOUR, VIP), (f"[{B2_6}]", f"[{VIP6}]")):
            yield packets.tcp(f"{backend}:{port}", f"{vip}:80")
            yield packets.udp(f"{backend}:{port}", f"{vip}:53", payload)
        yield packets.udp(f"{DENIED}:{port}", f"{VIP}:53", payload)


def _answers() -> Iterator[bytes]:
    """Yield what backends send: to clients, to natlb, and of conversations that are not natlb's."""
    clients4 = [f"{client}:{port}" for client in (CLIENT, OTHER_CLIENT) for port in CLIENT_PORTS]
    clients6 = [f"[{CLIENT6}]:{port}" for port in CLIENT_PORTS]
    own4, own6 = ([f"{each}:{port}" for port in PORTS] for each in (SOURCE, f"[{SOURCE6}]"))
    for backends, clients, own in (
        (BACKENDS4, clients4, own4),
        (BACKENDS6, clients6, own6),
    ):
        for at, backend in enumerate(backends):
            for client in (*clients, *own):
                for port in (8080, 8081 + at) if client in clients else (8081 + at,):
                    server = f"{backend}:{port}"
                    yield packets.tcp(server, client, "SA", options=OPTIONS[at])
                    yield packets.tcp(server, client, "PA", acknowledgement=1004, payload=b"yes")
                    yield packets.tcp(server, client, "FA", sequence=1004, acknowledgement=1005)
                    yield packets.tcp(server, client, "RA", sequence=0)
                    yield packets.tcp(server, client, "PA", sequence=900_000, payload=b"far")
                for port in (5353, 5454, 8081 + at):
                    yield packets.udp(f"{backend}:{port}", client, bytes(200))
            yield packets.tcp(f"{backend}:999", clients[0])


def _errors() -> Iterator[bytes]:
    """Yield errors about all of these, from routers on both sides, clients and backends."""
    number = 0
    for port in CLIENT_PORTS:
        for build, called, server in (
            (packets.tcp, 80, 8080),
            (packets.tcp, 81, 8081),
            (packets.tcp, 82, 8082),
            (packets.udp, 53, 5353),
            (packets.udp, 54, 5454),
            (packets.udp, 81, 8081),
        ):
            for version in (4, 6):
                for quote, to, senders in _quotes(version, port, build, called, server):
                    for sender in senders:
                        yield _error(number, sender.strip("[]"), to.strip("[]"), quote)
                        yield _too_big(number, sender.strip("[]"), to.strip("[]"), quote)
                        number += 1


def _quotes(
    version: int, port: int, build: Callable[[str, str], bytes], called: int, server: int
) -> Iterator[tuple[bytes, str, tuple[str, ...]]]:
    """Yield what errors about a flow quote, whom they are to, and whom they are from."""
    client, vip, source, backends, router = (
        (CLIENT, VIP, SOURCE, BACKENDS4, ROUTER)
        if version == 4
        else (f"[{CLIENT6}]", f"[{VIP6}]", f"[{SOURCE6}]", BACKENDS6, ROUTER6)
    )
    yield build(f"{vip}:{called}", f"{client}:{port}"), vip, (router, client)
    for ours, own in ((client, port), (source, PORTS[port % len(PORTS)])):
        for backend in backends:
            yield build(f"{ours}:{own}", f"{backend}:{server}"), ours, (backend,)


def _error(number: int, sender: str, to: str, quote: bytes) -> bytes:
    """Return an error of one of the kinds there are, whose quote is whole, cut or extended."""
    kinds = KINDS6 if ":" in to else KINDS4
    kind, code = kinds[number % len(kinds)]
    rest = (0, 0x09000000, 6, 1200)[number % 4]
    if number % 3 == 1:
        quote = quote[: len(quote) - (12 if number % 2 else 4)]
    elif number % 3 == 2:
        quote = quote + bytes(128 - len(quote)) + EXTENSION
        rest = 16 << 24 if ":" in to else 32 << 16
    return packets.icmp(sender, to, kind, code, rest, quote)


def _too_big(number: int, sender: str, to: str, quote: bytes) -> bytes:
    """Return the error of a path whose MTU is small."""
    if ":" in to:
        return packets.icmp(sender, to, 2, 0, 1290, quote)
    return packets.icmp(sender, to, 3, 4, (1200, 0)[number % 2], quote)


def _pieces() -> Iterator[bytes]:
    """Yield fragments, of few identifications, so that some overlap and some are another's."""
    plain = Header(dont_fragment=False)
    octets = bytes(range(200))
    for identification in (7, 8):
        for whole in (
            packets.udp(f"{CLIENT}:40000", f"{VIP}:54", octets, header=plain),
            packets.udp(f"{CLIENT}:40001", f"{VIP}:81", octets, header=plain),
            packets.udp(f"{CLIENT}:40002", f"{VIP}:82", octets, header=plain),
            packets.udp(f"[{CLIENT6}]:40001", f"[{VIP6}]:81", octets),
            packets.udp(f"[{CLIENT6}]:40000", f"[{VIP6}]:53", octets),
            packets.udp(f"{B1}:5454", f"{CLIENT}:40000", octets, header=plain),
            packets.udp(f"{B1}:5353", f"{SOURCE}:2001", octets, header=plain),
            packets.udp(f"{B1}:999", f"{CLIENT}:40000", octets, header=plain),
            packets.tcp(f"{CLIENT}:40002", f"{VIP}:80", payload=octets, header=plain),
            packets.echo_request(CLIENT, VIP, octets, header=plain),
            packets.echo_request(CLIENT6, VIP6, octets),
        ):
            yield from cut(whole, [64, 80], identification)
    large = packets.udp(f"{CLIENT}:40000", f"{VIP}:54", bytes(1900), header=plain)
    yield from cut(large, [LARGE - 24], 9)


def _large_ones() -> Iterator[bytes]:
    """Yield what does not fit, that may be cut and that may not."""
    for is_fixed in (False, True):
        header = Header(dont_fragment=is_fixed)
        for client, vip in ((CLIENT, VIP), (f"[{CLIENT6}]", f"[{VIP6}]")):
            for called in (53, 54, 81, 82):
                source, there = f"{client}:40000", f"{vip}:{called}"
                yield packets.udp(source, there, bytes(LARGE), header=header)
                yield packets.udp(source, there, bytes(1240), header=header)
        yield packets.udp(f"{B1}:8081", f"{SOURCE}:2002", bytes(LARGE + 70), header=header)


def _odd_ones() -> Iterator[bytes]:
    """Yield what is unusual or not allowed."""
    options = Header(options=b"\x07\x07\x04\0\0\0\0\0")
    yield packets.echo_request(CLIENT, VIP)
    yield packets.echo_request(CLIENT6, VIP6)
    yield packets.echo_request(B1, SOURCE)
    yield packets.udp(f"{CLIENT}:40000", f"{VIP}:53", b"zero", checksum=0)
    yield packets.udp(f"{CLIENT}:40000", f"{VIP}:81", b"zero", checksum=0)
    yield packets.tcp(f"{CLIENT}:40000", f"{VIP}:80", header=options)
    yield packets.tcp(f"{CLIENT}:40000", f"{VIP}:80", header=Header(ttl=1))
    yield packets.tcp(f"{CLIENT}:40000", f"{VIP}:99")
    yield packets.udp(f"{CLIENT}:40000", f"{VIP}:99")
    yield packets.tcp(f"{ROUTER}:40000", f"{SOURCE}:2000")
    for called in (80, 81):
        ends = [packets.split_endpoint(each)[0] for each in (CLIENT6, VIP6)]
        segment = packets.tcp(f"[{CLIENT6}]:40000", f"[{VIP6}]:{called}")[40:]
        for first, text in (
            (0, b"\x06\0\1\4\0\0\0\0"),
            (60, b"\x2c\0\1\4\0\0\0\0\x06\0\0\1\0\0\0\x63"),
            (43, b"\x06\0\4\0\0\0\0\0"),
            (44, b"\x06\0\0\0\0\0\0\x63"),
            (51, b"\x06\4" + bytes(22)),
        ):
            yield packets.ip(ends[0], ends[1], first, text + segment)


def talks() -> list[list[bytes]]:
    """Return connections from their first segment to their last, each as one backend has it."""
    found = []
    for port in CLIENT_PORTS:
        for client, vip, backends in (
            (CLIENT, VIP, BACKENDS4),
            (OTHER_CLIENT, VIP, BACKENDS4),
            (f"[{CLIENT6}]", f"[{VIP6}]", BACKENDS6),
        ):
            for backend in backends:
                here, there, server = f"{client}:{port}", f"{vip}:80", f"{backend}:8080"
                ends = [
                    packets.tcp(here, there, "FA", sequence=1004, acknowledgement=1004),
                    packets.tcp(server, here, "FA", sequence=1004, acknowledgement=1004),
                ]
                found.append(
                    [
                        packets.tcp(here, there, options=MSS + SCALE),
                        packets.tcp(server, here, "SA", options=MSS + SCALE),
                        packets.tcp(here, there, "A"),
                        packets.tcp(here, there, "PA", payload=b"odd"),
                        packets.tcp(server, here, "PA", acknowledgement=1004, payload=b"yes"),
                        packets.tcp(server, here, "R", sequence=1010 - port % 3 * 3),
                        *ends[:: 1 if port % 2 else -1],
                        packets.tcp(here, there, options=MSS),
                    ]
                )
    return found


def seeds() -> list[bytes]:
    """Return sound packets of every kind; calls several times, so that there is much to answer."""
    often = [*list(_calls()) * 6, *list(_pieces()) * 3]
    return [*often, *_answers(), *_errors(), *_large_ones(), *_odd_ones()]
