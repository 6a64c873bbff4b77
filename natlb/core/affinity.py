"""Affinity: the backend that a client's new flows go to again, where its service says so.

A bounded table in memory that outlives the worker. A client's entry lies in one of the
AFFINITY_BUCKET places of one bucket, found by a hash of service and address under the flow table's
secret, so that nobody can crowd another's bucket. Nothing sweeps it: an entry is judged when it is
read, and one that says nothing any more is the first to be written over.

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

FOR_AFFINITY = 1  # in the hash: apart from other uses of a client's address and the secret


@rare_kernel
def recall(core: Core, service: int, address: Lanes, now: int) -> int:
    """Return the backend that a client's flows go to, or NO_BACKEND_INDEX: the policy's to say."""
    client = _cut(core, service, address)
    entry = core.counters.affinities[_place_of(core, service, client, now)]
    if not _is_of(entry, service, client):
        return NO_BACKEND_INDEX
    return _backend_of(core, entry, now)


@rare_kernel
def remember(core: Core, row: Any, now: int) -> None:
    """Keep which backend a flow was bound to, for the next of its client."""
    service, backend = i64(row["service"]), i64(row["backend"])
    client = _cut(core, service, source_lanes(row["original"]))
    entry = core.counters.affinities[_place_of(core, service, client, now)]
    entry["identity"] = 0
    release_fence()
    entry["source0"] = client[0]
    entry["source1"] = client[1]
    entry["source2"] = client[2]
    entry["source3"] = client[3]
    entry["service"] = service
    entry["backend"] = backend
    entry["seen"] = now & WORD
    release_fence()
    entry["identity"] = core.tables.backends[backend]["identity"]


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
def _place_of(core: Core, service: int, client: Lanes, now: int) -> int:
    """Return where a client's entry is, or the one that is given up for it.

    One that says nothing any more, or that which was not used for the longest time.
    """
    affinities = core.counters.affinities
    hashed = draw_hash(core.flows.meta[KEY0], core.flows.meta[KEY1], client, service, FOR_AFFINITY)
    first = (hashed * (affinities.size // AFFINITY_BUCKET) >> 32) * AFFINITY_BUCKET
    given_up, most = first, -1
    for at in range(first, first + AFFINITY_BUCKET):
        entry = affinities[at]
        if _is_of(entry, service, client):
            return i64(at)
        unused = _unused_ms(entry, now)
        if _backend_of(core, entry, now) == NO_BACKEND_INDEX:
            unused = WORD + 1
        if unused > most:
            given_up, most = at, unused
    return i64(given_up)


@kernel
def _is_of(entry: Any, service: int, client: Lanes) -> bool:
    """Return whether an entry is of this client and service."""
    return (
        i64(entry["source3"]) == client[3]
        and i64(entry["service"]) == service
        and i64(entry["source2"]) == client[2]
        and i64(entry["source1"]) == client[1]
        and i64(entry["source0"]) == client[0]
    )


@kernel
def _backend_of(core: Core, entry: Any, now: int) -> int:
    """Return the backend that an entry sends its client to, or NO_BACKEND_INDEX.

    Its service and its backend may have gone since: then their numbers may lie behind the tables.
    """
    tables = core.tables
    service, backend = i64(entry["service"]), i64(entry["backend"])
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
