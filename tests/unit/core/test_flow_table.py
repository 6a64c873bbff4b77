from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from natlb.core.flow_table import (
    CONFLICT,
    NOTHING,
    ORIGINAL,
    REPLY,
    abandon,
    bind,
    direction_of,
    finish_removal,
    first_bucket,
    hash_key,
    holds,
    insert,
    lookup,
    make_entry,
    remove,
    row_of,
    second_bucket,
)
from natlb.core.layout import (
    BUCKETS,
    CLOSED,
    CURRENT,
    ENDING,
    ESTABLISHED,
    EVICTED,
    EXPIRED,
    FLAG_BOUND,
    FREE,
    FREE_HEAD,
    FRESH,
    MAKING,
    OPENED,
    OPENING,
    PEAK,
)
from natlb.wire.fields import TCP, UDP
from tests.datapath import broken_laws
from tests.kernels import (
    add_flow,
    client_key,
    key_of,
    needs_plain_kernels,
    reply_key,
    table_of,
    write_reply,
)
from tests.twin import buckets_of, hash_of

needs_plain_kernels()


def find(flows: Any, key: Any, protocol: int = TCP) -> int:
    """Return what the table has for a key."""
    return int(lookup(flows, key, protocol, hash_key(flows, key, protocol)))


def test_both_keys_of_a_flow_lead_to_its_row() -> None:
    """A packet of either direction costs one look-up."""
    flows = table_of(16)
    number = add_flow(flows, 7)
    original, reply = find(flows, client_key(7)), find(flows, reply_key(7))

    assert row_of(original) == row_of(reply) == number == 1
    assert (direction_of(original), direction_of(reply)) == (ORIGINAL, REPLY)
    assert flows.rows[number]["state"] == OPENING
    assert flows.rows[number]["flags"] == FLAG_BOUND
    assert not broken_laws(flows)


def test_another_key_leads_nowhere() -> None:
    """Each field counts: an end, a port, a protocol, and the reply of another backend."""
    flows = table_of(16)
    add_flow(flows, 7)
    others = [
        key_of("10.0.0.7:40000", "203.0.113.10:81"),
        key_of("10.0.0.7:40001", "203.0.113.10:80"),
        key_of("10.0.0.8:40000", "203.0.113.10:80"),
        key_of("10.0.0.7:40000", "203.0.113.11:80"),
        key_of("203.0.113.10:80", "10.0.0.7:40000"),
        reply_key(7, "10.200.0.12:8080"),
    ]

    assert [find(flows, other) for other in others] == [NOTHING] * len(others)
    assert find(flows, client_key(7), UDP) == NOTHING


@pytest.mark.parametrize("end", ["source", "destination"])
@pytest.mark.parametrize("lane", range(4))
def test_every_lane_of_an_address_counts(end: str, lane: int) -> None:
    """Two IPv6 clients that differ in their prefix alone are two."""
    flows = table_of(16)
    key = key_of("[2001:db8::2]:40000", "[2001:db8:f::10]:80")
    number = insert(flows, key, TCP, hash_key(flows, key, TCP))
    write_reply(flows, number, key_of("[fd00::11]:80", "[2001:db8::2]:40000"))
    bind(flows, number, OPENING)
    other = key_of("[2001:db8::2]:40000", "[2001:db8:f::10]:80")
    other[f"{end}{lane}"] ^= 1

    assert find(flows, key) != NOTHING
    assert not holds(flows, find(flows, key), other, TCP)


def test_a_row_that_is_being_made_is_not_found() -> None:
    """Its backend is not known yet; only a live row may be forwarded by."""
    flows = table_of(16)
    key = client_key(1)
    number = insert(flows, key, TCP, hash_key(flows, key, TCP))

    assert flows.rows[number]["state"] == MAKING
    assert find(flows, key) == NOTHING
    assert int(flows.meta[CURRENT]) == 0
    abandon(flows, number)
    assert flows.rows[number]["state"] == FREE
    assert not broken_laws(flows)


def test_a_reply_key_that_is_taken_is_a_conflict() -> None:
    """Two flows of one backend with one client's port could not be told apart by the answers."""
    flows = table_of(16)
    first = add_flow(flows, 1)
    other = key_of("10.0.0.1:40000", "203.0.113.11:80")  # the same client, another VIP
    number = insert(flows, other, TCP, hash_key(flows, other, TCP))
    write_reply(flows, number, reply_key(1))

    assert bind(flows, number, OPENING) == CONFLICT
    assert flows.rows[number]["state"] == MAKING
    write_reply(flows, number, reply_key(1, "10.200.0.12:8080"))
    assert bind(flows, number, OPENING) == number
    assert row_of(find(flows, reply_key(1))) == first
    assert not broken_laws(flows)


def test_the_same_ends_by_another_protocol_are_another_flow() -> None:
    """U18: UDP and TCP port numbers are independent."""
    flows = table_of(16)
    tcp, udp = add_flow(flows, 1), add_flow(flows, 1, protocol=UDP)

    assert tcp != udp
    assert row_of(find(flows, client_key(1))) == tcp
    assert row_of(find(flows, client_key(1), UDP)) == udp


@pytest.mark.parametrize("size", [1, 2, 16, 1000, 4096])
def test_a_table_of_so_many_flows_holds_exactly_so_many(size: int) -> None:
    """The index has room for both keys of each; what is one too many changes nothing."""
    flows = table_of(size)
    rows = [add_flow(flows, number) for number in range(size)]
    before = [array.tobytes() for array in flows]

    assert sorted(rows) == list(range(1, size + 1))
    assert add_flow(flows, size) == NOTHING
    assert [array.tobytes() for array in flows] == before
    assert int(flows.meta[CURRENT]) == int(flows.meta[PEAK]) == int(flows.meta[OPENED]) == size
    for number in range(0, size, 1 + size // 50):
        assert row_of(find(flows, client_key(number))) == rows[number]
        assert direction_of(find(flows, reply_key(number))) == REPLY


@pytest.mark.parametrize("size", [1, 16, 1000])
def test_a_full_table_that_was_emptied_takes_as_many_again(size: int) -> None:
    """Nothing leaks: neither rows nor index entries."""
    flows = table_of(size)
    for turn in range(3):
        rows = [add_flow(flows, turn * size + number) for number in range(size)]
        assert NOTHING not in rows
        for row in rows:
            remove(flows, row, CLOSED)

    assert not flows.buckets.any()
    assert int(flows.meta[CURRENT]) == 0
    assert int(flows.meta[OPENED]) == int(flows.meta[CLOSED]) == 3 * size
    assert int(flows.meta[FRESH]) == size + 1
    assert not broken_laws(flows)


@pytest.mark.parametrize(("ending", "others"), [(CLOSED, EXPIRED), (EXPIRED, EVICTED)])
def test_an_ending_is_counted_under_its_name(ending: int, others: int) -> None:
    """Closed, expired and evicted say different things to whoever runs it."""
    flows = table_of(4)
    remove(flows, add_flow(flows, 1), ending)

    assert int(flows.meta[ending]) == 1
    assert int(flows.meta[others]) == 0
    assert find(flows, client_key(1)) == find(flows, reply_key(1)) == NOTHING


def test_a_row_given_out_again_has_nothing_of_its_former_flow() -> None:
    """But its generation counts on: whoever looks by number can tell that it changed hands."""
    flows = table_of(4)
    number = add_flow(flows, 1, ESTABLISHED)
    row = flows.rows[number]
    generation = int(row["generation"])
    row["marks"] = 7
    for name in ("original", "reply"):
        for field in ("bytes", "packets", "sequence_end", "window_scale"):
            row[name][field] = 9
    remove(flows, number, CLOSED)

    assert add_flow(flows, 2) == number
    assert row["generation"] == generation + 1
    assert row["marks"] == 0
    for name in ("original", "reply"):
        assert not any(row[name][field] for field in ("bytes", "packets", "sequence_end"))


def test_generations_wrap() -> None:
    """A row may be given out more than 2^32 times; the field must not overflow."""
    flows = table_of(1)
    flows.rows[1]["generation"] = 0xFFFFFFFF
    add_flow(flows, 1)

    assert flows.rows[1]["generation"] == 0


def test_freed_rows_are_used_before_fresh_ones() -> None:
    """The table stays dense: the sweep and recovery look at rows in use only."""
    flows = table_of(100)
    rows = [add_flow(flows, number) for number in range(10)]
    for row in rows[3:6]:
        remove(flows, row, CLOSED)
    again = {add_flow(flows, 100 + number) for number in range(3)}

    assert again == set(rows[3:6])
    assert int(flows.meta[FRESH]) == 11
    assert int(flows.meta[FREE_HEAD]) == 0


def test_an_index_without_room_refuses_as_a_full_table_does() -> None:
    """Not to be expected with two choices; with a single bucket it is."""
    flows = table_of(100)
    flows.meta[BUCKETS] = 1
    rows = [add_flow(flows, number) for number in range(4)]

    assert NOTHING not in rows
    assert add_flow(flows, 4) == NOTHING  # no room for the original key
    assert int(flows.meta[FRESH]) == 5
    remove(flows, rows[0], CLOSED)
    key = client_key(5)
    half_made = insert(flows, key, TCP, hash_key(flows, key, TCP))
    other = client_key(6)
    insert(flows, other, TCP, hash_key(flows, other, TCP))
    write_reply(flows, half_made, reply_key(5))
    assert bind(flows, half_made, OPENING) == NOTHING  # none for the reply key
    assert find(flows, client_key(5)) == NOTHING


def test_a_key_goes_to_its_first_bucket_until_that_is_crowded() -> None:
    """Then to the emptier one; most look-ups need one cache line."""
    flows = table_of(4096)
    for number in range(4096):
        add_flow(flows, number)
    in_first = in_all = 0
    for number in range(0, 4096, 7):
        for key in (client_key(number), reply_key(number)):
            hashed = hash_of(flows, key, TCP)
            at = first_bucket(flows, hashed)
            assert {int(at), int(second_bucket(flows, hashed))} == buckets_of(flows, hashed)
            found = lookup(flows, key, TCP, hashed)
            entry = make_entry(hashed, direction_of(found), row_of(found))
            in_first += int(entry in flows.buckets[at : at + 8])
            in_all += 1

    assert 0.7 < in_first / in_all < 1
    load = np.count_nonzero(flows.buckets) / flows.buckets.size
    assert 0.5 < load < 0.55


def test_both_buckets_are_searched_and_erased_from() -> None:
    """A removal that left its entry in the second one would lead to whoever comes next."""
    flows = table_of(1000)
    rows = [add_flow(flows, number) for number in range(1000)]
    for row in rows:
        remove(flows, row, CLOSED)

    assert not flows.buckets.any()


def test_finishing_a_removal_twice_harms_nobody() -> None:
    """Recovery may find it done but for the last store."""
    flows = table_of(4)
    number = add_flow(flows, 1)
    other = add_flow(flows, 2)
    flows.rows[number]["state"] = ENDING
    finish_removal(flows, number)
    flows.meta[CURRENT] -= 1
    flows.meta[CLOSED] += 1

    assert row_of(find(flows, client_key(2))) == other
    assert not broken_laws(flows)
