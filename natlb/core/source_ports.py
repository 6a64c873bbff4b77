"""Full NAT: an address and port of natlb's own in place of the client's.

The backend then answers to natlb, wherever its routes lead. The reply key says which flow an
answer is of, and it has the backend in it: a port is used again for every other backend, so each
has all of them (RFC 7857 section 3 allows as much for TCP; UDP's mapping depends on the endpoint).

A client keeps its address for as long as there is a port of it (RFC 4787 REQ-2). The port is drawn
at random, by the table's secret, so that nobody can tell the next from those before (RFC 6056);
where many draws in a row were taken, the ports behind the last one are tried, a bounded number.
One that a flow used a moment ago is left out (`cooling.py`).

Of several workers each draws from its own ports alone, every n-th of them: answers are steered by
the port they come to (`steering.py`), and so to the one that knows the flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.batch import NOW
from natlb.core.cooling import is_cooling
from natlb.core.flow_table import CONFLICT, bind
from natlb.core.hashing import draw_hash
from natlb.core.layout import (
    ACTION_IPID,
    ACTION_XLAT,
    DRAWS,
    FULL,
    HOST,
    KEY0,
    KEY1,
    PUBLIC,
    WORKERS,
)
from natlb.core.steering import first_own_port
from natlb.core.tables import PORT_FIRST, PORT_LAST, SOURCES4, SOURCES6, kind_of_address
from natlb.core.tracking import first_state
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.fields import MAPPED_LANE
from natlb.wire.rewrite import source_lanes

if TYPE_CHECKING:
    from natlb.core.state import Core

MOST_DRAWS = 64  # at 90 % in use, one in a thousand flows needs more
MOST_PROBES = 4096  # ports tried in turn after that: 0.3 ms
MOST_ADDRESSES = 4  # tried for a client
EXHAUSTED_MS = 100  # that a backend without a port is remembered: a flood finds out once
PRIVILEGED = 1024  # ports below are for clients that have such a port themselves (RFC 4787 REQ-3a)


@kernel
def needs_source(core: Core, i: int, service: int, backend: int) -> bool:
    """Return whether a flow needs an address of natlb's own to reach this backend.

    By configuration; or since the answer would not come back this way: the backend speaks the
    other IP version, or the client is behind the private side (hairpin). A process of this very
    host needs it where its address is one that backends reach directly.
    """
    tables = core.tables
    if i64(tables.services[service]["nat"]) == FULL or core.batch.frames[i]["way"] != PUBLIC:
        return True
    parsed = core.batch.parsed[i]
    is_ip4 = _is_ip4(tables.backends[backend])
    if (parsed["version"] == 4) != is_ip4:
        return True
    if tables.numbers[SOURCES4 if is_ip4 else SOURCES6] == 0:
        return False
    return bool(kind_of_address(tables, source_lanes(parsed)) & HOST)


@kernel
def _is_ip4(backend: Any) -> bool:
    """Return whether a backend's address is one of IPv4."""
    upper = i64(backend["address0"]) | i64(backend["address1"])
    return upper == 0 and i64(backend["address2"]) == MAPPED_LANE


@rare_kernel
def bind_with_source(core: Core, i: int, number: int, backend: int) -> int:
    """Bind a row whose reply key was written with a source of natlb's own instead of the client.

    Returns what `bind()` says; CONFLICT where no port is left for this backend, or no address.
    """
    tables, notes = core.tables, core.counters.notes[backend]
    now = core.batch.numbers[NOW]
    is_ip4 = _is_ip4(tables.backends[backend])
    count = tables.numbers[SOURCES4 if is_ip4 else SOURCES6]
    if count == 0 or now < notes["exhausted_ms"]:
        return CONFLICT
    _add_actions(core, i, number, is_ip4)
    flows = core.flows
    client = source_lanes(flows.rows[number]["original"])
    turn = draw_hash(flows.meta[KEY0], flows.meta[KEY1], client, 0, 0) % count
    for _ in range(min(count, MOST_ADDRESSES)):
        at = turn if is_ip4 else tables.numbers[SOURCES4] + turn
        bound = _bind_to_address(core, number, at, now)
        if bound != CONFLICT:
            return bound
        turn = (turn + 1) % count
    notes["exhausted_ms"] = now + EXHAUSTED_MS
    return CONFLICT


@kernel
def _add_actions(core: Core, i: int, number: int, is_ip4: bool) -> None:  # noqa: FBT001 - a kernel
    """Say what else is changed in the packets of a flow with this source."""
    row = core.flows.rows[number]
    if is_ip4:
        row["actions"] = i64(row["actions"]) | ACTION_IPID
    if (core.batch.parsed[i]["version"] == 4) != is_ip4:
        row["actions"] = i64(row["actions"]) | ACTION_XLAT


@kernel
def _bind_to_address(core: Core, number: int, at: int, now: int) -> int:
    """Bind a row with this address of natlb's and any port of it, and return what `bind()` says."""
    flows, address = core.flows, core.tables.sources[at]
    row = flows.rows[number]
    original, reply = row["original"], row["reply"]
    reply["destination0"] = address["address0"]
    reply["destination1"] = address["address1"]
    reply["destination2"] = address["address2"]
    reply["destination3"] = address["address3"]
    port = i64(original["source_port"])
    least = core.tables.numbers[PORT_FIRST]
    last = core.tables.numbers[PORT_LAST]
    if port >= PRIVILEGED and last >= PRIVILEGED:
        least = max(least, PRIVILEGED)
    workers = max(1, i64(flows.meta[WORKERS]))
    least = first_own_port(flows.meta, least)
    span = (last - least + workers) // workers
    if span <= 0:
        return CONFLICT
    drawn = 0
    for attempt in range(MOST_DRAWS):
        word = port << 16 | attempt
        lanes = source_lanes(original)
        drawn = draw_hash(flows.meta[KEY0], flows.meta[KEY1], lanes, flows.meta[DRAWS], word) % span
        bound = _bind_to_port(core, number, least + drawn * workers, now)
        if bound != CONFLICT:
            return bound
    for step in range(1, min(span, MOST_PROBES) + 1):
        port = least + (drawn + step) % span * workers
        bound = _bind_to_port(core, number, port, now)
        if bound != CONFLICT:
            return bound
    return CONFLICT


@rare_kernel
def _bind_to_port(core: Core, number: int, port: int, now: int) -> int:
    """Bind a row with this port, and return what `bind()` says; CONFLICT where it is cooling."""
    row = core.flows.rows[number]
    row["reply"]["destination_port"] = port
    if is_cooling(core, row, now):
        return CONFLICT
    return bind(core.flows, number, first_state(i64(row["protocol"])))
