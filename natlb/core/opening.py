"""A new flow: pick a backend, keep both keys, count it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.affinity import remember
from natlb.core.batch import MICROS
from natlb.core.choice import Pick, choose, pool_of
from natlb.core.counters import account_opened
from natlb.core.datagrams import find_waiting, take_back
from natlb.core.direct import give_way
from natlb.core.flow_table import (
    CONFLICT,
    NOTHING,
    abandon,
    bind,
    bind_hashed,
    first_bucket,
    insert,
    second_bucket,
)
from natlb.core.hashing import WORD, index_hash_of
from natlb.core.layout import ACTION_MSS, ACTION_NAT, DRAWS, KEY0, KEY1, MARK_DATAGRAMS
from natlb.core.lifetime import begin_life
from natlb.core.limits import judge_new_flow, note_flow_opened
from natlb.core.policy.pool import has_room
from natlb.core.pressure import join_unconfirmed
from natlb.core.relief import make_room
from natlb.core.source_ports import bind_with_source, needs_source
from natlb.core.tables import backend_lanes, has_sources
from natlb.core.tracking import first_state
from natlb.jit import i64, kernel, prefetch, rare_kernel
from natlb.wire.fields import TCP, UDP
from natlb.wire.reasons import ACCEPTED, PORT_EXHAUSTED, TABLE_FULL
from natlb.wire.rewrite import source_lanes

if TYPE_CHECKING:
    from natlb.core.state import Core
    from natlb.wire.parsed import Parsed

OTHER_CHOICES = 8  # backends tried after the policy's own choice, where its reply key is taken


@kernel
def draw_random(core: Core) -> int:
    """Return the next of the table's random sequence, 31 bits (xorshift32: Marsaglia, 2003)."""
    x = core.flows.meta[DRAWS]
    x ^= (x << 13) & WORD
    x ^= x >> 17
    x ^= (x << 5) & WORD
    core.flows.meta[DRAWS] = x
    return i64(x >> 1)


@kernel
def open_flow(core: Core, i: int, service: int, now: int, pick: Pick) -> int:
    """Give a packet's conversation a backend; return its row, or the reason refused, negated."""
    refusal = judge_new_flow(core, i, service)
    if refusal != ACCEPTED:
        return -refusal
    tables, parsed = core.tables, core.batch.parsed[i]
    draw = draw_random(core)
    backend = choose(core, i, service, draw, pick)
    if backend < 0:
        return backend
    hashed = reply_hash(core, i, backend)
    prefetch(core.flows.buckets, first_bucket(core.flows, hashed), 0)
    prefetch(core.flows.buckets, second_bucket(core.flows, hashed), 0)
    number = insert_row(core, i, now)
    if number == NOTHING:
        return -TABLE_FULL
    begin_life(core.flows.rows[number], now)
    bound = _bind(core, i, number, service, backend, hashed, draw)
    if bound != number:
        return _settle_otherwise(core, number, bound, now)
    row = core.flows.rows[number]
    if tables.services[service]["datagrams"] and parsed["protocol"] == UDP:
        row["marks"] = MARK_DATAGRAMS
    if tables.services[service]["mss4"] and parsed["protocol"] == TCP:
        row["actions"] |= ACTION_MSS
    join_unconfirmed(core.flows, number)
    row["reply"]["timestamp_delta"] = core.batch.numbers[MICROS] & WORD
    note_flow_opened(core, row)
    account_opened(core.counters, row)
    if tables.services[service]["affinity_ms"]:
        remember(core, row, now, 0)
    return number


@kernel
def insert_row(core: Core, i: int, now: int) -> int:
    """Return a row for a packet's key, if need be another's that makes room, or NOTHING."""
    parsed = core.batch.parsed[i]
    number = insert(core.flows, parsed, parsed["protocol"], parsed["hash"])
    if number == NOTHING and make_room(core, now):
        return insert(core.flows, parsed, parsed["protocol"], parsed["hash"])
    return number


@kernel
def _settle_otherwise(core: Core, number: int, bound: int, now: int) -> int:
    """Give a row that was not bound back; return the row that its datagram goes by again.

    Or the reason why it has none, negated. A client that is given its old row keeps its affinity.
    """
    row = core.flows.rows[number]
    if bound > 0 and core.tables.services[i64(row["service"])]["affinity_ms"]:
        remember(core, row, now, 0)
    abandon(core.flows, number)
    if bound == CONFLICT:
        return -PORT_EXHAUSTED
    if bound == NOTHING:
        return -TABLE_FULL
    return take_back(core, bound)


@kernel
def _bind(
    core: Core, i: int, number: int, service: int, backend: int, hashed: int, draw: int
) -> int:
    """Bind a row to a backend, and return what `bind()` says of it; `hashed` as `reply_hash()`.

    The same backend's same port may already talk to this client's port, through another VIP or
    directly: then a reply could not be told apart, and another backend is tried, and at last a
    source of natlb's own; without one, a direct conversation gives way. Where it was this client
    that was taken from that backend a moment ago, the row that waits for late answers there is
    returned.

    Who is tried after a conflict is who stands next in the pool from a drawn position on and has
    room: the policy is not asked again, slow start not either. What the policy keeps, and what is
    counted of a shadow, is of its own choice.
    """
    bound = _bind_backend(core, i, number, service, backend, hashed)
    record = core.tables.services[service]
    for choice in range(OTHER_CHOICES):
        if bound != CONFLICT:
            break
        at = record["pool_start"] + (draw + choice) % record["pool_size"]
        other = i64(core.tables.rings[at])
        if has_room(pool_of(core), other):
            bound = _bind_backend(core, i, number, service, other, reply_hash(core, i, other))
    if bound != CONFLICT:
        return bound
    write_backend(core, i, number, service, backend)
    if has_sources(core.tables):
        return bind_with_source(core, i, number, backend)
    if give_way(core.flows, number):
        return bind(core.flows, number, first_state(core.batch.parsed[i]["protocol"]))
    return CONFLICT


@rare_kernel
def _bind_backend(core: Core, i: int, number: int, service: int, backend: int, hashed: int) -> int:
    """Bind a row to this backend, and return what `bind()` says of it, or a row that waits."""
    write_backend(core, i, number, service, backend)
    if needs_source(core, i, service, backend):
        return bind_with_source(core, i, number, backend)
    state = first_state(core.batch.parsed[i]["protocol"])
    bound = bind_hashed(core.flows, number, state, hashed)
    return find_waiting(core.flows, number) if bound == CONFLICT else bound


@kernel
def reply_hash(core: Core, i: int, backend: int) -> int:
    """Return the index hash of the key that `write_backend()` writes for a backend's answers."""
    meta, parsed, record = core.flows.meta, core.batch.parsed[i], core.tables.backends[backend]
    port = i64(record["port"]) or i64(parsed["destination_port"])
    ports = port << 16 | i64(parsed["source_port"])
    protocol = i64(parsed["protocol"])
    source, destination = backend_lanes(record), source_lanes(parsed)
    return index_hash_of(meta[KEY0], meta[KEY1], source, destination, ports, protocol)


@kernel
def write_backend(core: Core, i: int, number: int, service: int, backend: int) -> None:
    """Write what a backend makes of a row: whose it is, its ways, its reply key."""
    row = core.flows.rows[number]
    record = core.tables.backends[backend]
    row["service"] = service
    row["backend"] = backend
    row["actions"] = ACTION_NAT
    row["original"]["way"] = record["way"]
    row["reply"]["way"] = core.batch.frames[i]["way"]
    _write_reply_key(row["reply"], core.batch.parsed[i], record)


@kernel
def _write_reply_key(reply: Any, parsed: Parsed, backend: Any) -> None:
    """Write the key that the backend's answers arrive with: backend -> client."""
    reply["source0"] = backend["address0"]
    reply["source1"] = backend["address1"]
    reply["source2"] = backend["address2"]
    reply["source3"] = backend["address3"]
    port = i64(backend["port"])
    reply["source_port"] = parsed["destination_port"] if port == 0 else port
    reply["destination0"] = parsed["source0"]
    reply["destination1"] = parsed["source1"]
    reply["destination2"] = parsed["source2"]
    reply["destination3"] = parsed["source3"]
    reply["destination_port"] = parsed["source_port"]
