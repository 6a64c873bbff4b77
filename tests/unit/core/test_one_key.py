from __future__ import annotations

from typing import Any

from natlb.core.flow_table import (
    NOTHING,
    ORIGINAL,
    REPLY,
    direction_of,
    hash_key,
    holds,
    insert,
    lookup,
    make_entry,
    remove,
    row_of,
)
from natlb.core.layout import (
    BUCKETS,
    CURRENT,
    DETACHED,
    DIRECT,
    DIRECT_ROWS,
    EXPIRED,
    FREE,
    OPENED,
    REPLIED,
)
from natlb.core.one_key import attach, detach, forget_direct, keep_direct
from natlb.wire.fields import TCP, UDP
from tests.datapath import broken_laws
from tests.kernels import add_flow, client_key, needs_plain_kernels, reply_key, table_of

needs_plain_kernels()


def find(flows: Any, key: Any, protocol: int = UDP) -> int:
    """Return what the table has for a key."""
    return int(lookup(flows, key, protocol, hash_key(flows, key, protocol)))


def direct(flows: Any, number: int) -> int:
    """Keep the direct conversation of a backend with a client."""
    key = reply_key(number)
    row = insert(flows, key, TCP, hash_key(flows, key, TCP))
    keep_direct(flows, row)
    return row


def test_a_direct_conversation_is_found_and_is_no_flow() -> None:
    """Nobody opened it here: it is not counted, and its row is used again."""
    flows = table_of(4)
    number = direct(flows, 1)

    assert flows.rows[number]["state"] == DIRECT
    assert row_of(find(flows, reply_key(1), TCP)) == number
    assert direction_of(find(flows, reply_key(1), TCP)) == ORIGINAL
    assert int(flows.meta[DIRECT_ROWS]) == 1
    assert int(flows.meta[CURRENT]) == int(flows.meta[OPENED]) == 0
    assert not broken_laws(flows)
    forget_direct(flows, number)
    assert flows.rows[number]["state"] == FREE
    assert int(flows.meta[DIRECT_ROWS]) == 0
    assert not broken_laws(flows)


def test_a_flow_is_not_bound_to_what_a_direct_conversation_uses() -> None:
    """Or the answers of two streams would be one (trap 7)."""
    flows = table_of(4)
    direct(flows, 1)

    assert add_flow(flows, 1) < NOTHING
    assert add_flow(flows, 2) > NOTHING


def test_a_detached_flow_is_found_by_its_reply_key_alone() -> None:
    """Its client's next datagram makes another row; also one that was looked up before."""
    flows = table_of(4)
    number = add_flow(flows, 1, REPLIED, UDP)
    before = find(flows, client_key(1))
    detach(flows, number)

    assert flows.rows[number]["state"] == DETACHED
    assert find(flows, client_key(1)) == NOTHING
    assert not holds(flows, before, client_key(1), UDP)
    assert direction_of(find(flows, reply_key(1))) == REPLY
    assert int(flows.meta[CURRENT]) == 1
    assert not broken_laws(flows)
    remove(flows, number, EXPIRED)
    assert not flows.buckets.any()
    assert not broken_laws(flows)


def test_a_detached_flow_is_attached_again() -> None:
    """Then both keys lead to it, as before."""
    flows = table_of(4)
    number = add_flow(flows, 1, REPLIED, UDP)
    detach(flows, number)

    assert attach(flows, number, REPLIED) == number
    assert row_of(find(flows, client_key(1))) == row_of(find(flows, reply_key(1))) == number
    assert not broken_laws(flows)


def test_a_flow_is_not_attached_where_the_index_has_no_room() -> None:
    """It stays detached, and sound."""
    flows = table_of(100)
    flows.meta[BUCKETS] = 1
    number = add_flow(flows, 1, REPLIED, UDP)
    detach(flows, number)
    flows.buckets[:8][flows.buckets[:8] == NOTHING] = make_entry(0, REPLY, 99)

    assert attach(flows, number, REPLIED) == NOTHING
    assert flows.rows[number]["state"] == DETACHED
