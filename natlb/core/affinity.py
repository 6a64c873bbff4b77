"""Affinity: the backend that a client's new flows go to again, where its service says so.

A bounded table in memory that outlives the worker. A client's entry lies in one of the
AFFINITY_BUCKET places of one bucket, found by a hash of service and address under the flow table's
secret, so that nobody can crowd another's bucket. Nothing sweeps it: an entry is judged when it is
read, and one that says nothing any more is the first to be written over.

Whoever forges addresses could fill all buckets with one packet each. So an entry is *proved* once
its client was heard again, a TCP handshake done or a datagram answered, and a first packet takes
no place of one that is.

An entry says something while all of this holds
    its service's timeout has not passed since it was `seen`;
    the backend at its index has its `identity`: an index may be given to another one;
    that backend takes new flows.

Order of stores: `identity` is taken away first and written last, so what a worker that was killed
leaves half written names no backend. `seen` wraps after 49.7 days: a client that comes back then,
to the minute, is known again, which does no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.hashing import WORD, draw_hash
from natlb.core.layout import AFFINITY_BUCKET, KEY0, KEY1
from natlb.core.policy.pool import NO_BACKEND_INDEX
from natlb.jit import i64, kernel, rare_kernel, release_fence
from natlb.wire.fields import MAPPED_LANE
from natlb.wire.rewrite import source_lanes

if TYPE_CHECKING:
    from natlb.core.state import Core
    from natlb.wire.rewrite import Lanes

PROVED = 1 << 31  # in `service`, of an entry whose client was heard twice
NO_PLACE = -1
FOR_AFFINITY = 1  # in the hash: apart from other uses of a client's address and the secret


@rare_kernel
def recall(core: Core, service: int, address: Lanes, now: int) -> int:
    """Return the backend that a client's flows go to, or NO_BACKEND_INDEX: the policy's to say."""
    client = _cut(core, service, address)
    at = _find(core, service, client)
    return NO_BACKEND_INDEX if at == NO_PLACE else _backend_of(core, at, now)


@rare_kernel
def remember(core: Core, row: Any, now: int, proof: int) -> None:
    """Keep which backend a flow was bound to, for the next of its client.

    `proof` is PROVED where the client was heard a second time, 0 for a flow's first packet.
    """
    service, backend = i64(row["service"]), i64(row["backend"])
    client = _cut(core, service, source_lanes(row["original"]))
    at = _find(core, service, client)
    if at == NO_PLACE:
        at = _make_place(core, service, client, now, proof)
    if at == NO_PLACE:
        return
    entry = core.counters.affinities[at]
    if _is_of(entry, service, client):
        proof |= i64(entry["service"]) & PROVED
    entry["identity"] = 0
    release_fence()
    entry["source0"] = client[0]
    entry["source1"] = client[1]
    entry["source2"] = client[2]
    entry["source3"] = client[3]
    entry["service"] = service | proof
    entry["backend"] = backend
    entry["seen"] = now & WORD
    release_fence()
    entry["identity"] = core.tables.backends[backend]["identity"]


@rare_kernel
def prove(core: Core, row: Any, now: int) -> None:
    """Note that the client of a flow was heard again; where it got no place before, it gets one.

    Its entry may be of a later flow, and of another backend, which it keeps.
    """
    service = i64(row["service"])
    at = _find(core, service, _cut(core, service, source_lanes(row["original"])))
    if at == NO_PLACE:
        remember(core, row, now, PROVED)
    else:
        core.counters.affinities[at]["service"] = service | PROVED


@kernel
def _cut(core: Core, service: int, address: Lanes) -> Lanes:
    """Return as much of a client's address as its service tells clients apart by."""
    record = core.tables.services[service]
    is_ip4 = address[0] | address[1] == 0 and address[2] == MAPPED_LANE
    bits = i64(record["affinity_prefix"] if is_ip4 else record["affinity_prefix6"])
    return (
        _first_bits(address[0], bits),
        _first_bits(address[1], bits - 32),
        _first_bits(address[2], bits - 64),
        _first_bits(address[3], bits - 96),
    )


@kernel
def _first_bits(lane: int, bits: int) -> int:
    """Return a lane with all but its first bits zero; less than 0 of them is none."""
    shift = 32 - min(32, max(0, bits))
    return lane >> shift << shift


@kernel
def _bucket_of(core: Core, service: int, client: Lanes) -> int:
    """Return where a client's bucket begins."""
    buckets = core.counters.affinities.size // AFFINITY_BUCKET
    hashed = draw_hash(core.flows.meta[KEY0], core.flows.meta[KEY1], client, service, FOR_AFFINITY)
    return (hashed * buckets >> 32) * AFFINITY_BUCKET


@kernel
def _find(core: Core, service: int, client: Lanes) -> int:
    """Return where a client's entry is, or NO_PLACE."""
    first = _bucket_of(core, service, client)
    for at in range(first, first + AFFINITY_BUCKET):
        if _is_of(core.counters.affinities[at], service, client):
            return i64(at)
    return NO_PLACE


@kernel
def _make_place(core: Core, service: int, client: Lanes, now: int, proof: int) -> int:
    """Return which entry is given up for a client, or NO_PLACE.

    One that says nothing any more, else one of a client that proved nothing, and only for one that
    did one that was proved; of several that which was not used for the longest time.
    """
    first = _bucket_of(core, service, client)
    given_up, most = NO_PLACE, -1
    for at in range(first, first + AFFINITY_BUCKET):
        entry = core.counters.affinities[at]
        unused = _unused_ms(entry, now)
        if _backend_of(core, at, now) == NO_BACKEND_INDEX:
            unused += 2 * (WORD + 1)
        elif i64(entry["service"]) & PROVED == 0:
            unused += WORD + 1
        elif proof == 0:
            unused = -1
        if unused > most:
            given_up, most = i64(at), unused
    return given_up


@kernel
def _is_of(entry: Any, service: int, client: Lanes) -> bool:
    """Return whether an entry is of this client and service."""
    return (
        i64(entry["source3"]) == client[3]
        and i64(entry["service"]) & ~PROVED == service
        and i64(entry["source2"]) == client[2]
        and i64(entry["source1"]) == client[1]
        and i64(entry["source0"]) == client[0]
    )


@kernel
def _backend_of(core: Core, at: int, now: int) -> int:
    """Return the backend that an entry sends its client to, or NO_BACKEND_INDEX.

    Its service and its backend may have gone since: then their numbers may lie behind the tables.
    """
    tables, entry = core.tables, core.counters.affinities[at]
    service, backend = i64(entry["service"]) & ~PROVED, i64(entry["backend"])
    if service >= tables.services.size or backend >= tables.backends.size:
        return NO_BACKEND_INDEX
    if _unused_ms(entry, now) >= i64(tables.services[service]["affinity_ms"]):
        return NO_BACKEND_INDEX
    record = tables.backends[backend]
    if not record["takes"] or i64(record["identity"]) != i64(entry["identity"]):
        return NO_BACKEND_INDEX
    return backend


@kernel
def _unused_ms(entry: Any, now: int) -> int:
    """Return for how long no flow went by an entry."""
    return (now - i64(entry["seen"])) & WORD
