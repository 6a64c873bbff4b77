from __future__ import annotations

import numpy as np
import pytest

from natlb.core import layout
from natlb.core.layout import BUCKETS, DRAWS, EPOCH, FRESH, HALF, KEY0, KEY1, META, ROW, ROWS, SWEEP
from natlb.core.memory import SHAPES, TUPLES, Kind, bucket_count, flow_items, make, start_flows

MOST_OCTETS_A_FLOW = 208


def octets_of_table(max_flows: int) -> int:
    """Return how many octets a flow table takes, by its shapes; nothing is allocated."""
    items = flow_items(max_flows)
    return sum(
        shape.dtype.itemsize * (items[shape.name] if shape.shape[0] < 0 else shape.shape[0])
        for shape in SHAPES[Kind.FLOWS]
    )


@pytest.mark.parametrize("max_flows", [1_000_000, 1 << 20, 10_000_000, layout.MOST_FLOWS])
def test_a_flow_takes_at_most_208_octets(max_flows: int) -> None:
    """Its row, its share of the index, and the table's own numbers."""
    assert octets_of_table(max_flows) / max_flows <= MOST_OCTETS_A_FLOW


def test_ten_million_flows_fit_where_the_design_says() -> None:
    """In 2.1 GB."""
    assert octets_of_table(10_000_000) <= 2.1e9


def test_what_is_computed_is_what_is_allocated() -> None:
    """Else the numbers above would be about nothing."""
    table = make(Kind.FLOWS, **flow_items(1000))

    assert sum(array.nbytes for array in table) == octets_of_table(1000)
    assert table.rows.size == 1001


def test_the_row_is_whole() -> None:
    """Laid out once: what later pieces fill lies in memory that outlives processes."""
    assert ROW.itemsize == layout.ROW_BYTES == 3 * 64
    assert set(ROW.names or ()) >= {
        *("state", "flags", "actions", "protocol", "service", "marks", "backend"),
        *("generation", "created", "seen", "link", "original", "reply"),
    }
    assert set(HALF.names or ()) >= {
        *(f"{end}{lane}" for end in ("source", "destination") for lane in range(4)),
        *("source_port", "destination_port", "address_delta", "transport_delta"),
        *("bytes", "packets", "sequence_end", "acknowledged", "window_most", "window_scale"),
        *("sequence_delta", "timestamp_delta", "way"),
    }
    actions = [layout.ACTION_NAT, layout.ACTION_XLAT, layout.ACTION_MSS]
    actions += [layout.ACTION_IPID, layout.ACTION_SEQUENCE]
    flags = [layout.FLAG_BOUND, layout.FLAG_OFFLOADED, layout.FLAG_SYNCED]
    for bits in (actions, flags):
        assert sum(bits) == np.bitwise_or.reduce(bits)  # a bit of its own each
        assert sum(bits) <= 0xFF


def test_a_half_does_not_straddle_cache_lines_it_need_not() -> None:
    """A packet's direction is judged by its key: 36 octets that start with the half."""
    assert HALF.fields is not None
    assert max(HALF.fields[name][1] for name in ("source_port", "destination_port")) < 64
    assert HALF.itemsize == 80


def test_names_and_places_of_numbers_agree() -> None:
    """`META` and `TOTALS` are names by place; a constant that is off counts something else."""
    places = {"rows": ROWS, "buckets": BUCKETS, "fresh": FRESH, "sweep": SWEEP, "key0": KEY0}
    places |= {"key1": KEY1, "epoch_ns": EPOCH, "draws": DRAWS, "free": layout.FREE_HEAD}
    places |= {"current": layout.CURRENT, "peak": layout.PEAK, "opened": layout.OPENED}
    places |= {"closed": layout.CLOSED, "expired": layout.EXPIRED, "evicted": layout.EVICTED}
    places |= {"tick_ms": layout.TICK, "oldest": layout.OLDEST, "youngest": layout.YOUNGEST}
    places |= {"unconfirmed": layout.UNCONFIRMED, "error_debt": layout.ERROR_DEBT}
    places |= {"error_ms": layout.ERROR_MS, "identification": layout.IDENTIFICATION}
    places |= {"direct": layout.DIRECT_ROWS, "worker": layout.WORKER, "workers": layout.WORKERS}
    totals = {"received": layout.RECEIVED, "forwarded": layout.FORWARDED, "passed": layout.PASSED}
    totals |= {"replied": layout.REPLIED_TOTAL, "dropped": layout.DROPPED, "held": layout.HELD}
    totals |= {"sent": layout.SENT, "bytes_received": layout.BYTES_RECEIVED}
    totals |= {"bytes_forwarded": layout.BYTES_FORWARDED, "generation": layout.GENERATION}
    totals |= {"iterations": layout.ITERATIONS, "commands": layout.COMMANDS_DONE}

    assert places == {name: at for at, name in enumerate(META) if "reserved" not in name}
    assert totals == {name: at for at, name in enumerate(layout.TOTALS)}


def test_states_that_are_live_have_names_and_come_last() -> None:
    """`state >= FIRST_LIVE` is the test that packets are judged by."""
    live = set(layout.STATE_LABELS)

    assert live == set(range(layout.FIRST_LIVE, max(live) + 1))
    assert max(live) < layout.STATES
    assert {layout.FREE, layout.MAKING, layout.ENDING, layout.DIRECT}.isdisjoint(live)
    assert layout.DIRECT + 1 == layout.DETACHED  # `is_found_by()` counts on it


@pytest.mark.parametrize("max_flows", [1, 100, 1000, 1_000_000, layout.MOST_FLOWS])
def test_an_index_is_at_most_just_over_half_full(max_flows: int) -> None:
    """Two entries a flow: with two choices of eight, no bucket overflows then."""
    slots = bucket_count(max_flows) * layout.BUCKET

    assert 2 * max_flows / slots < 0.55


def test_a_table_begins_with_its_secret_and_its_time() -> None:
    """The random sequence must not begin with zero, which it would never leave."""
    table = make(Kind.FLOWS, **flow_items(10))
    start_flows(table, 10, bytes(range(1, 9)) + bytes(4), 77)

    assert int(table.meta[KEY0]) == 0x04030201
    assert int(table.meta[KEY1]) == 0x08070605
    assert int(table.meta[DRAWS]) == 1
    assert int(table.meta[EPOCH]) == 77
    assert int(table.meta[FRESH]) == int(table.meta[SWEEP]) == 1


def test_every_kind_of_memory_is_made_zero_and_by_its_tuple() -> None:
    """The names in the tuple are the arrays in their order."""
    lengths = {"rows": 2, "buckets": 8, "endpoints": 16, "services": 3, "backends": 4}
    lengths |= {"choices": 6, "rings": 5, "timeouts": 3, "ways": 2, "access": 1, "sources": 1}
    lengths |= {"links": 1, "routes": 1, "neighbours": 1}
    for kind in Kind:
        memory = make(kind, **lengths)
        assert isinstance(memory, TUPLES[kind])
        assert memory._fields == tuple(shape.name for shape in SHAPES[kind])
        for array, shape in zip(memory, SHAPES[kind], strict=True):
            assert not array.view(np.uint8).any()
            assert array.dtype == shape.dtype
