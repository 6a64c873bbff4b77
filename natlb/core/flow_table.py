"""The flow table: which backend each conversation was given.

A flow has two keys, one per direction, and both lead to the same row:

    original   client:40000 -> vip:80        what arrives from the client
    reply      backend:8080 -> client:40000  what the backend answers

NAT is "rewrite from the other key": a packet of either direction costs one look-up. The keys are
stored apart: `insert()` keeps the original one, `bind()` the reply's, once the backend is known.
With full NAT the reply key ends in an address and port of natlb's own instead of the client's.

Two kinds of rows have one key in the index alone, DIRECT and DETACHED ones (`one_key.py`).

The tension: a look-up must be one cache line and bounded, the worker may be killed between any
two stores, and nothing may be moved while it happens. So the index is an array of buckets of
eight 32-bit entries, and a key may lie in either of two buckets that its keyed hash names. An
entry is (tag 7, direction 1, row 24); 0 is empty. Entries never move, a deletion is one store,
and there are no tombstones. With two choices and just over half the entries used, a bucket that
overflows while the table has a free row is not to be expected in the life of a machine
(Azar et al., "Balanced Allocations", 1994); should it happen, the flow is refused as if the
table were full.

Life of a row, and the order of stores that recovery (`flow_recovery.py`) relies on
    FREE      not in the index.                  insert(): fields, then MAKING, then the index
    MAKING    original key in the index.         bind(): fields, the index, then a live state
    live      both keys in the index.            remove(): ENDING, the index, then FREE
    ENDING    being taken out of the index.

Laws
    Only this module, one_key.py and flow_recovery.py write keys, index and free list.
    A live row's keys are both in the index, once, but a DETACHED row's original key is not; no
    entry leads to a FREE row.
    insert() either stores its key or changes nothing.  A live row never changes its backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from natlb.core.deltas import sum_deltas
from natlb.core.hashing import index_hash, second_hash
from natlb.core.layout import (
    ACTION_NAT,
    BUCKET,
    BUCKETS,
    CURRENT,
    DETACHED,
    DIRECT,
    ENDING,
    FLAG_BOUND,
    FREE,
    FREE_HEAD,
    FRESH,
    KEY0,
    KEY1,
    MAKING,
    OPENED,
    PEAK,
    ROWS,
)
from natlb.jit import i64, kernel, prefetch, release_fence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Row: TypeAlias = Any  # one record of ROW
Half: TypeAlias = Any  # one record of HALF
Key: TypeAlias = Any  # whatever has a key's fields: a Half, a Parsed

ORIGINAL = 0
REPLY = 1
NOTHING = 0  # no row; also an empty index entry
CONFLICT = -1  # the reply key is taken

TAG_SHIFT = 25
DIRECTION_BIT = 1 << 24
ROW_MASK = DIRECTION_BIT - 1
FOUND_MASK = ROW_MASK | DIRECTION_BIT
LINE = 64  # octets of a cache line
CROWDED = 5  # entries from which on the second bucket is looked at for a new key


class FlowTable(NamedTuple):
    """Rows (0 is never used), the buckets over both keys of each, and the table's own numbers."""

    rows: NDArray[np.void]
    buckets: NDArray[np.uint32]
    meta: NDArray[np.int64]


@kernel
def half(row: Row, direction: int) -> Half:
    """Return the half of a row that packets of `direction` belong to."""
    if direction == ORIGINAL:
        return row["original"]
    return row["reply"]


@kernel
def row_of(found: int) -> int:
    """Return the row's number in what `lookup()` found."""
    return found & ROW_MASK


@kernel
def direction_of(found: int) -> int:
    """Return the direction in what `lookup()` found."""
    return found >> 24 & 1


@kernel
def hash_key(flows: FlowTable, key: Key, protocol: int) -> int:
    """Return the keyed hash that places a key in this table."""
    return index_hash(flows.meta[KEY0], flows.meta[KEY1], key, protocol)


@kernel
def first_bucket(flows: FlowTable, hashed: int) -> int:
    """Return where the first of a hash's two buckets begins in the index."""
    return i64((hashed * flows.meta[BUCKETS] >> 32) * BUCKET)


@kernel
def second_bucket(flows: FlowTable, hashed: int) -> int:
    """Return where the second of a hash's two buckets begins in the index."""
    return i64((second_hash(hashed) * flows.meta[BUCKETS] >> 32) * BUCKET)


@kernel
def make_entry(hashed: int, direction: int, number: int) -> int:
    """Return the index entry that leads to a row; the tag is the hash's lowest seven bits."""
    return (hashed & 0x7F) << TAG_SHIFT | direction << 24 | number


@kernel
def is_key(half_row: Half, key: Key) -> bool:
    """Return whether a row's half holds this key; the protocol is compared by the caller."""
    return (
        i64(half_row["source3"]) == i64(key["source3"])
        and i64(half_row["destination3"]) == i64(key["destination3"])
        and i64(half_row["source_port"]) == i64(key["source_port"])
        and i64(half_row["destination_port"]) == i64(key["destination_port"])
        and i64(half_row["source2"]) == i64(key["source2"])
        and i64(half_row["destination2"]) == i64(key["destination2"])
        and i64(half_row["source1"]) == i64(key["source1"])
        and i64(half_row["destination1"]) == i64(key["destination1"])
        and i64(half_row["source0"]) == i64(key["source0"])
        and i64(half_row["destination0"]) == i64(key["destination0"])
    )


@kernel
def holds(flows: FlowTable, found: int, key: Key, protocol: int) -> bool:
    """Return whether what was found leads to a row in use with this very key, now."""
    row = flows.rows[row_of(found)]
    direction = direction_of(found)
    return (
        is_found_by(i64(row["state"]), direction)
        and i64(row["protocol"]) == protocol
        and is_key(half(row, direction), key)
    )


@kernel
def is_found_by(state: int, direction: int) -> bool:
    """Return whether a row in this state is found by its key of this direction.

    A DIRECT row has an original key alone, a DETACHED one a reply key, and that is the order in
    which these two stand.
    """
    return state > DETACHED or state == DIRECT + direction


@kernel
def lookup(flows: FlowTable, key: Key, protocol: int, hashed: int) -> int:
    """Return (direction, row) of a live row with this key, or NOTHING: two index lines at most."""
    found = _search(flows, first_bucket(flows, hashed), key, protocol, hashed)
    if found != NOTHING:
        return found
    return _search(flows, second_bucket(flows, hashed), key, protocol, hashed)


@kernel
def first_tagged(flows: FlowTable, start: int, hashed: int) -> int:
    """Return what the first entry of a bucket with a hash's tag leads to, its key not compared."""
    tag = hashed & 0x7F
    for at in range(start, start + BUCKET):
        entry = i64(flows.buckets[at])
        if entry >> TAG_SHIFT == tag and entry != NOTHING:
            return entry & FOUND_MASK
    return NOTHING


@kernel
def prefetch_row(flows: FlowTable, number: int) -> None:
    """Ask for the three cache lines of a row."""
    prefetch(flows.rows, number, 0)
    prefetch(flows.rows, number, LINE)
    prefetch(flows.rows, number, 2 * LINE)


@kernel
def _search(flows: FlowTable, start: int, key: Key, protocol: int, hashed: int) -> int:
    """Return what one bucket has for a key, or NOTHING."""
    tag = hashed & 0x7F
    for at in range(start, start + BUCKET):
        entry = i64(flows.buckets[at])
        if entry >> TAG_SHIFT == tag and entry != NOTHING:
            found = entry & FOUND_MASK
            if holds(flows, found, key, protocol):
                return found
    return NOTHING


@kernel
def _count_used(flows: FlowTable, start: int) -> int:
    """Return how many of a bucket's entries are in use."""
    used = 0
    for at in range(start, start + BUCKET):
        if flows.buckets[at] != NOTHING:
            used += 1
    return used


@kernel
def _empty_entry(flows: FlowTable, start: int) -> int:
    """Return the position of a bucket's first empty entry; the caller knows that there is one."""
    at = start
    while flows.buckets[at] != NOTHING:
        at += 1
    return at


@kernel
def free_position(flows: FlowTable, hashed: int) -> int:
    """Return where in the index a new key goes, or -1 where both its buckets are full.

    The first bucket unless it is crowded, then the emptier one: most look-ups need one line.
    """
    first = first_bucket(flows, hashed)
    used = _count_used(flows, first)
    if used < CROWDED:
        return _empty_entry(flows, first)
    second = second_bucket(flows, hashed)
    used_second = _count_used(flows, second)
    if used <= used_second and used < BUCKET:
        return _empty_entry(flows, first)
    if used_second < BUCKET:
        return _empty_entry(flows, second)
    return -1


@kernel
def erase_entry(flows: FlowTable, key: Key, protocol: int, direction: int, number: int) -> None:
    """Take the entry of (direction, row) out of the index; nothing happens where there is none."""
    hashed = hash_key(flows, key, protocol)
    entry = make_entry(hashed, direction, number)
    for start in (first_bucket(flows, hashed), second_bucket(flows, hashed)):
        for at in range(start, start + BUCKET):
            if i64(flows.buckets[at]) == entry:
                flows.buckets[at] = NOTHING
                return


@kernel
def copy_key(target: Half, key: Key) -> None:
    """Write a key into a row's half."""
    target["source0"] = key["source0"]
    target["source1"] = key["source1"]
    target["source2"] = key["source2"]
    target["source3"] = key["source3"]
    target["destination0"] = key["destination0"]
    target["destination1"] = key["destination1"]
    target["destination2"] = key["destination2"]
    target["destination3"] = key["destination3"]
    target["source_port"] = key["source_port"]
    target["destination_port"] = key["destination_port"]


@kernel
def _clear_half(target: Half) -> None:
    """Set a half's counters and TCP fields to those of a flow that begins."""
    target["bytes"] = 0
    target["packets"] = 0
    target["sequence_end"] = 0
    target["acknowledged"] = 0
    target["window_most"] = 0
    target["sequence_delta"] = 0
    target["timestamp_delta"] = 0
    target["window_scale"] = 0


@kernel
def insert(flows: FlowTable, key: Key, protocol: int, hashed: int) -> int:
    """Give a key a row in state MAKING and return its number, or NOTHING where there is no room."""
    number = flows.meta[FREE_HEAD]
    is_fresh = number == NOTHING
    if is_fresh:
        number = flows.meta[FRESH]
        if number > flows.meta[ROWS]:
            return NOTHING
    at = free_position(flows, hashed)
    if at < 0:
        return NOTHING
    row = flows.rows[number]
    if is_fresh:
        flows.meta[FRESH] = number + 1
    else:
        flows.meta[FREE_HEAD] = i64(row["link"])
        prefetch_row(flows, i64(row["link"]))
    row["flags"] = 0
    row["actions"] = ACTION_NAT
    row["marks"] = 0
    row["protocol"] = protocol
    row["generation"] = (i64(row["generation"]) + 1) & 0xFFFFFFFF
    _clear_half(row["original"])
    _clear_half(row["reply"])
    copy_key(row["original"], key)
    release_fence()
    row["state"] = MAKING
    release_fence()
    flows.buckets[at] = make_entry(hashed, ORIGINAL, number)
    return i64(number)


@kernel
def bind(flows: FlowTable, number: int, state: int) -> int:
    """Make a row live whose reply key was written; see `bind_hashed()`."""
    row = flows.rows[number]
    hashed = hash_key(flows, row["reply"], i64(row["protocol"]))
    return bind_hashed(flows, number, state, hashed)


@kernel
def bind_hashed(flows: FlowTable, number: int, state: int, hashed: int) -> int:
    """Make a row live whose reply key was written: index that key, sum the deltas, set `state`.

    `hashed` is the reply key's. Returns the row's number, CONFLICT where another flow has that key
    (the row stays MAKING: bind another backend or abandon it), or NOTHING where the index has no
    room for it.
    """
    row = flows.rows[number]
    reply = row["reply"]
    sum_deltas(row["original"], reply)  # while the index is on its way
    if lookup(flows, reply, i64(row["protocol"]), hashed) != NOTHING:
        return CONFLICT
    at = free_position(flows, hashed)
    if at < 0:
        return NOTHING
    row["flags"] = FLAG_BOUND
    release_fence()
    flows.buckets[at] = make_entry(hashed, REPLY, number)
    release_fence()
    row["state"] = state
    meta = flows.meta
    meta[OPENED] += 1
    meta[CURRENT] += 1
    meta[PEAK] = max(meta[PEAK], meta[CURRENT])
    return number


@kernel
def remove(flows: FlowTable, number: int, ending: int) -> None:
    """End a live row; `ending` is the number in META that counts it (CLOSED, EXPIRED, EVICTED)."""
    row = flows.rows[number]
    row["state"] = ENDING
    release_fence()
    finish_removal(flows, number)
    flows.meta[CURRENT] -= 1
    flows.meta[ending] += 1


@kernel
def abandon(flows: FlowTable, number: int) -> None:
    """Give a row back that was inserted but not bound."""
    finish_removal(flows, number)


@kernel
def finish_removal(flows: FlowTable, number: int) -> None:
    """Take a MAKING or ENDING row out of the index and put it on the free list."""
    row = flows.rows[number]
    protocol = i64(row["protocol"])
    erase_entry(flows, row["original"], protocol, ORIGINAL, number)
    erase_entry(flows, row["reply"], protocol, REPLY, number)
    release_fence()
    row["link"] = flows.meta[FREE_HEAD]
    row["state"] = FREE
    flows.meta[FREE_HEAD] = number
