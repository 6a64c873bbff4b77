from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest

from natlb.core import sources as module
from natlb.core.layout import DETACHED, DIRECT, ESTABLISHED, HALF, MARK_COUNTED, ROW
from natlb.core.sources import (
    Sources,
    count_all_sources,
    count_source,
    discount_source,
    flows_of_source,
    make_sources,
)
from tests.kernels import add_flow, client_key, key_of, needs_plain_kernels, table_of

needs_plain_kernels()

VIP = "203.0.113.10:80"


def row_of(source: str) -> Any:
    """Return a row whose client this is."""
    row = np.zeros(1, ROW)[0]
    key = key_of(source, VIP if "." in source else "[2001:db8::1]:80")
    for name in HALF.names or ():
        row["original"][name] = key[name]
    return row


def counted(sources: Sources) -> dict[tuple[int, ...], int]:
    """Return all that is counted."""
    return {
        tuple(int(count[f"source{lane}"]) for lane in range(4)): int(count["flows"])
        for count in sources.counts[sources.counts["flows"] != 0]
    }


def test_a_client_has_as_many_flows_as_were_counted() -> None:
    """On and off again; the last takes the entry away."""
    flows, sources = table_of(8), make_sources(8)
    rows = [row_of(f"198.51.100.2:{port}") for port in (1, 2)]
    for row in rows:
        count_source(sources, flows, row)
        assert row["marks"] == MARK_COUNTED
    other = row_of("198.51.100.3:1")["original"]

    assert flows_of_source(sources, flows, rows[0]["original"]) == 2
    assert flows_of_source(sources, flows, other) == 0
    for left, row in ((1, rows[0]), (0, rows[1])):
        discount_source(sources, flows, row)
        assert flows_of_source(sources, flows, row["original"]) == left
        assert row["marks"] == 0
    assert not counted(sources)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("198.51.100.2:1", "198.51.100.2:9", True),
        ("198.51.100.2:1", "198.51.100.3:1", False),
        ("[2001:db8:1:2::3]:1", "[2001:db8:1:2:ffff::9]:1", True),
        ("[2001:db8:1:2::3]:1", "[2001:db8:1:3::3]:1", False),
        ("[2001:db8:1:2::3]:1", "[2001:db9:1:2::3]:1", False),
        ("[::1:0:0:5]:1", "[::2:0:0:6]:1", True),
        ("[::5]:1", "0.0.0.5:1", False),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits(
    one: str, other: str, *, is_same: bool
) -> None:
    """RFC 6888 counts subscribers; one of IPv6 has a /64 at the least."""
    flows, sources = table_of(8), make_sources(8)
    count_source(sources, flows, row_of(one))

    assert flows_of_source(sources, flows, row_of(other)["original"]) == int(is_same)


def test_counts_are_exact_however_clients_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a dictionary; with a poor hash, so that runs form, wrap and close again."""
    monkeypatch.setattr(module, "spread_hash", lambda _0, _1, lanes, _3: 29 + lanes[3] % 5)
    random = Random(1)
    flows, sources = table_of(16), make_sources(16)
    assert sources.counts.size == 32
    open_rows: list[Any] = []
    for _ in range(3000):
        if len(open_rows) < 16 and random.random() < 0.52:
            row = row_of(f"198.51.100.{random.randrange(24)}:1")
            count_source(sources, flows, row)
            open_rows.append(row)
        elif open_rows:
            row = open_rows.pop(random.randrange(len(open_rows)))
            discount_source(sources, flows, row)
        expected = Counter(int(row["original"]["source3"]) for row in open_rows)
        found = {lanes[3]: count for lanes, count in counted(sources).items()}
        assert found == expected
        for row in open_rows:
            number = expected[int(row["original"]["source3"])]
            assert flows_of_source(sources, flows, row["original"]) == number


@pytest.mark.parametrize("flows", [1, 2, 3, 1000, 1023, 1024, 1025])
def test_there_is_room_for_twice_as_many_clients_as_flows(flows: int) -> None:
    """A power of two; next to nothing where there is no limit."""
    size = make_sources(flows).counts.size

    assert 2 * flows <= size < 4 * flows + 1
    assert size & size - 1 == 0
    assert make_sources(0).counts.size == 1


def test_whom_there_is_no_room_for_is_not_counted_and_not_counted_off() -> None:
    """It cannot be, but must not hang the worker."""
    flows, sources = table_of(8), make_sources(0)
    first, second = row_of("198.51.100.2:1"), row_of("198.51.100.3:1")
    count_source(sources, flows, first)
    count_source(sources, flows, second)

    assert second["marks"] == 0
    assert flows_of_source(sources, flows, second["original"]) == 0
    discount_source(sources, flows, second)
    assert list(counted(sources).values()) == [1]
    discount_source(sources, flows, first)
    discount_source(sources, flows, first)
    assert not counted(sources)


def test_a_worker_that_begins_counts_the_flows_there_are() -> None:
    """Live ones: not what is free, nor a conversation that is no flow."""
    flows = table_of(8)
    for number, state in enumerate((ESTABLISHED, DETACHED, DIRECT)):
        flows.rows[add_flow(flows, number)]["state"] = state
    sources = make_sources(8)
    count_all_sources(sources, flows)
    lanes = [int(client_key(number)["source3"]) for number in range(2)]

    assert counted(sources) == {(0, 0, 0xFFFF, lane): 1 for lane in lanes}
    assert [int(marks) for marks in flows.rows["marks"][1:4]] == [MARK_COUNTED, MARK_COUNTED, 0]
