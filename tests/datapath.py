"""What tests of the packet path share: an engine over services, their ends, the table's laws."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from natlb.core.layout import (
    ANSWERED,
    BUCKET,
    CLOSED,
    CLOSING,
    CURRENT,
    DETACHED,
    DIRECT,
    DIRECT_ROWS,
    EVICTED,
    EXPIRED,
    FIRST_FOUND,
    FIRST_LIVE,
    FREE,
    FREE_HEAD,
    FRESH,
    MARK_UNCONFIRMED,
    OLDEST,
    OPENED,
    OPENING,
    PEAK,
    UNCONFIRMED,
    UNREPLIED,
    YOUNGEST,
)
from natlb.engine import Engine
from natlb.testing import packets
from tests.twin import buckets_of, hash_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.core.counters import Counters
    from natlb.core.flow_table import FlowTable
    from natlb.model import Statistics

CLIENT, CLIENT6 = "198.51.100.2", "2001:db8:c::2"
VIP, VIP6 = "203.0.113.10", "2001:db8:f::10"
B1, B2, B3 = "10.9.0.11", "10.9.0.12", "10.9.0.13"
B1_6, B2_6 = "fd00:9::11", "fd00:9::12"
SOURCE, SOURCE6 = "10.9.0.200", "fd00:9::200"

SERVICES: dict[str, Any] = {
    "web": {"listen": f"tcp://{VIP}:80", "backends": [f"{B1}:8080", f"{B2}:8080"]},
    "dns": {"listen": f"udp://{VIP}:53", "backends": [f"{B1}:5353", f"{B2}:5353"]},
    "web6": {"listen": f"tcp://[{VIP6}]:80", "backends": [f"[{B1_6}]:8080", f"[{B2_6}]:8080"]},
    "dns6": {"listen": f"udp://[{VIP6}]:53", "backends": [f"[{B1_6}]:5353", f"[{B2_6}]:5353"]},
}
MAX_FLOWS = 1000
UNCONFIRMED_STATES = (OPENING, ANSWERED, UNREPLIED)


def config(
    services: dict[str, Any] | None = None, *, max_flows: int = MAX_FLOWS, **rest: Any
) -> dict[str, Any]:
    """Return a configuration of these services, or of web and dns over both IP versions."""
    return {"datapath": {"max_flows": max_flows}, "services": services or SERVICES, **rest}


def full_nat(
    services: dict[str, Any] | None = None,
    *,
    source: tuple[str, ...] = (SOURCE, SOURCE6),
    ports: str = "1024-65535",
    max_flows: int = MAX_FLOWS,
    **options: Any,
) -> Engine:
    """Return an engine that has addresses of its own for full NAT; its services are as given."""
    datapath = {"max_flows": max_flows, "source": list(source), "source_ports": ports}
    given = {key: options.pop(key) for key in ("seed", "ttl", "mtu") if key in options}
    return Engine({"datapath": datapath, "services": services or SERVICES, **options}, **given)


def one_service(**changes: Any) -> dict[str, Any]:
    """Return the services of a configuration with `web` alone, changed as said."""
    return {"web": {**SERVICES["web"], **changes}}


def engine(services: dict[str, Any] | None = None, **options: Any) -> Engine:
    """Return an engine for these services; `max_flows` and other keys of the configuration too."""
    given = {key: options.pop(key) for key in ("seed", "ttl", "mtu") if key in options}
    return Engine(config(services, **options), **given)


def change_service(path: Engine, service: str = "web", **changes: Any) -> None:
    """Put fields of a service's configuration in force, as the values that configurations mean."""
    config = path._config
    changed = replace(config.services[service], **changes)
    services = {**config.services, service: changed}
    path._compile(replace(config, services=services), dict(path._run_time))


def backend_of(path: Engine, source: str, now: float = 0.0) -> str:
    """Return which backend a client's SYN was sent to."""
    return packets.read(path.process(packets.tcp(source, f"{VIP}:80"), now).packets[0]).destination


def established(path: Engine, source: str, now: float = 0.0) -> str:
    """Open a flow all the way; return its backend."""
    server = backend_of(path, source, now)
    path.process(packets.tcp(server, source, "SA"), now)
    path.process(packets.tcp(source, f"{VIP}:80", "A"), now)
    return server


def picked(path: Engine, count: int = 12) -> set[str]:
    """Return which backends new flows are given to."""
    used = {flow.client for flow in path.flows()}
    sources = (f"198.51.{n}.9:{50000 + len(used)}" for n in range(count))
    return {backend_of(path, source) for source in sources}


def assert_counts_agree(stats: Statistics) -> None:
    """Hold what the contract says of counters at a quiet moment."""
    packets = stats.packets
    fates = packets.forwarded + packets.passed + packets.replied + packets.dropped + packets.held

    assert packets.received == fates
    assert packets.dropped == sum(stats.drops.values())
    assert packets.replied == sum(stats.replies.values())
    assert packets.sent >= packets.forwarded + packets.passed
    assert stats.flows.current == stats.flows.opened - (
        stats.flows.closed + stats.flows.expired + stats.flows.evicted
    )


def broken_laws(flows: FlowTable, counters: Counters | None = None) -> list[str]:
    """Return which of the flow table's laws do not hold; the slow way, row by row.

    With `counters` it is an engine's: then they and the list of unconfirmed flows are held too.
    """
    faults = [*_index_faults(flows), *_free_list_faults(flows), *_count_faults(flows, counters)]
    return faults if counters is None else [*faults, *_unconfirmed_faults(flows)]


def live_rows(flows: FlowTable) -> list[int]:
    """Return the numbers of live rows."""
    used = flows.rows["state"][: int(flows.meta[FRESH])]
    return [int(number) for number in np.flatnonzero(used >= FIRST_LIVE)]


def direct_rows(flows: FlowTable) -> list[int]:
    """Return the numbers of rows that hold a direct conversation."""
    used = flows.rows["state"][: int(flows.meta[FRESH])]
    return [int(number) for number in np.flatnonzero(used == DIRECT)]


def _indexed_keys(state: int) -> tuple[tuple[int, str], ...]:
    """Return which of a row's keys the index has in this state."""
    keys = (0, "original"), (1, "reply")
    return {DIRECT: keys[:1], DETACHED: keys[1:]}.get(state, keys)


def _index_faults(flows: FlowTable) -> Iterator[str]:
    entries = Counter(int(entry) for entry in flows.buckets if entry)
    expected = set()
    for number in live_rows(flows) + direct_rows(flows):
        row = flows.rows[number]
        for direction, name in _indexed_keys(int(row["state"])):
            hashed = hash_of(flows, row[name], int(row["protocol"]))
            entry = (hashed & 0x7F) << 25 | direction << 24 | number
            expected.add(entry)
            starts = buckets_of(flows, hashed)
            found = sum(int((flows.buckets[at : at + BUCKET] == entry).sum()) for at in starts)
            if found != 1:
                yield f"row {number}, {name}: {found} entries in its buckets"
    for entry, times in entries.items():
        where = f"row {entry & 0xFFFFFF}, direction {entry >> 24 & 1}"
        if entry not in expected:
            yield f"an entry leads to {where}, which is not live or has another key"
        elif times != 1:
            yield f"{times} entries lead to {where}"


def _free_list_faults(flows: FlowTable) -> Iterator[str]:
    fresh, states = int(flows.meta[FRESH]), flows.rows["state"]
    expected = {number for number in range(1, fresh) if states[number] == FREE}
    halfway = [n for n in range(1, fresh) if FREE < states[n] < FIRST_FOUND]
    seen: list[int] = []
    number = int(flows.meta[FREE_HEAD])
    while number and len(seen) <= fresh:
        seen.append(number)
        number = int(flows.rows[number]["link"])
    if sorted(seen) != sorted(expected):
        yield f"the free list has {seen}, free are {sorted(expected)}"
    if halfway:
        yield f"rows are half made or half ended: {halfway}"
    if (states[fresh:] != FREE).any():
        yield "a row that was never used is not free"


def unconfirmed_rows(flows: FlowTable) -> list[int]:
    """Return the rows in the list of unconfirmed flows, the oldest first."""
    seen: list[int] = []
    number = int(flows.meta[OLDEST])
    while number and len(seen) < flows.rows.size:
        seen.append(number)
        number = int(flows.rows[number]["link"])
    return seen


def _unconfirmed_faults(flows: FlowTable) -> Iterator[str]:
    seen, rows = unconfirmed_rows(flows), flows.rows
    live = live_rows(flows)
    marked = [number for number in live if rows["marks"][number] & MARK_UNCONFIRMED]
    if sorted(seen) != marked:
        yield f"the unconfirmed are {marked}, in the list are {seen}"
    if int(flows.meta[UNCONFIRMED]) != len(seen):
        yield f"the list counts {flows.meta[UNCONFIRMED]} and has {len(seen)}"
    if int(flows.meta[YOUNGEST]) != ([0, *seen])[-1]:
        yield f"the youngest is {flows.meta[YOUNGEST]}, the list ends {seen[-1:]}"
    if [int(back) for back in rows["back"][seen]] != [0, *seen][: len(seen)]:
        yield f"back through the list {seen} lead {rows['back'][seen]}"
    must = [n for n in live if rows["state"][n] in UNCONFIRMED_STATES]
    may = [n for n in live if rows["state"][n] in (*UNCONFIRMED_STATES, CLOSING, DETACHED)]
    if not set(must) <= set(marked) <= set(may):
        yield f"marked as unconfirmed are {marked}, which are {must}, and some of {may}"


def _count_faults(flows: FlowTable, counters: Counters | None) -> Iterator[str]:
    numbers = live_rows(flows)
    meta = flows.meta
    if int(meta[CURRENT]) != len(numbers):
        yield f"current is {meta[CURRENT]}, live are {len(numbers)}"
    if int(meta[DIRECT_ROWS]) != len(direct_rows(flows)):
        yield f"{meta[DIRECT_ROWS]} direct conversations are counted"
    if meta[PEAK] < meta[CURRENT]:
        yield f"the peak, {meta[PEAK]}, is below current, {meta[CURRENT]}"
    if int(meta[OPENED] - meta[CLOSED] - meta[EXPIRED] - meta[EVICTED]) != len(numbers):
        yield "opened less closed, expired and evicted is not what is live"
    if counters is None:
        return
    rows = flows.rows[numbers]
    opening = rows[(rows["state"] >= OPENING) & (rows["state"] <= ANSWERED)]
    closing = rows[rows["state"] == CLOSING]
    for name, counts in (("backend", counters.backends), ("service", counters.services)):
        for field, counted in (("current", rows), ("opening", opening), ("closing", closing)):
            found = np.bincount(counted[name], minlength=counts.size)
            if (found != counts[field]).any():
                yield f"{field} flows by {name} are miscounted"
    load = counters.backends["current"] - counters.backends["closing"]
    if (counters.loads[: load.size] != load).any():
        yield "loads are not current flows less closing ones"
