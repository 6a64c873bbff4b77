"""The flow table beside a dictionary: whatever is done to both, they hold the same flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from natlb.core.flow_recovery import recover
from natlb.core.flow_table import (
    CONFLICT,
    NOTHING,
    abandon,
    bind,
    direction_of,
    hash_key,
    insert,
    lookup,
    remove,
    row_of,
)
from natlb.core.layout import BUCKETS, CLOSED, CURRENT, ESTABLISHED, EXPIRED
from natlb.core.memory import Kind, make
from natlb.wire.fields import TCP, UDP
from tests.datapath import broken_laws
from tests.kernels import client_key, key_of, needs_plain_kernels, reply_key, table_of, write_reply

if TYPE_CHECKING:
    from natlb.core.counters import Counters

needs_plain_kernels()

CLIENTS = st.integers(0, 11)
VIPS = st.integers(0, 1)
BACKENDS = st.integers(0, 2)
PROTOCOLS = st.sampled_from([TCP, UDP])


class TableBesideDictionary(RuleBasedStateMachine):
    """Few clients, VIPs and backends, so that keys meet; few rows, so that the table fills."""

    @initialize(rows=st.integers(1, 8), crowded=st.booleans())
    def begin(self, rows: int, crowded: bool) -> None:
        """Have a table; a crowded one has two buckets, so that entries spill and run out."""
        self.rows = rows
        self.flows = table_of(rows)
        if crowded:
            self.flows.meta[BUCKETS] = 2
        self.by_key: dict[tuple[Any, ...], tuple[int, int]] = {}
        self.live: dict[int, tuple[tuple[Any, ...], tuple[Any, ...]]] = {}

    def _keys(self, client: int, vip: int, backend: int) -> tuple[Any, Any]:
        original = client_key(client)
        original["destination_port"] = 80 + vip
        return original, reply_key(client, f"10.200.0.{backend}:8080")

    @rule(client=CLIENTS, vip=VIPS, backend=BACKENDS, protocol=PROTOCOLS)
    def open(self, client: int, vip: int, backend: int, protocol: int) -> None:
        """Open a flow as a first packet does; each refusal must be one that the twin sees too."""
        original, reply = self._keys(client, vip, backend)
        names = (bytes(original), protocol), (bytes(reply), protocol)
        if names[0] in self.by_key:
            return
        number = insert(self.flows, original, protocol, hash_key(self.flows, original, protocol))
        if number == NOTHING:
            assert len(self.live) == self.rows or self.flows.meta[BUCKETS] == 2
            return
        assert number not in self.live
        write_reply(self.flows, number, reply)
        bound = bind(self.flows, number, ESTABLISHED)
        if bound <= NOTHING:
            assert (bound == CONFLICT) == (names[1] in self.by_key)
            abandon(self.flows, number)
            return
        assert names[1] not in self.by_key
        self.live[number] = names
        self.by_key |= {names[0]: (number, 0), names[1]: (number, 1)}

    @precondition(lambda self: self.live)
    @rule(data=st.data(), ending=st.sampled_from([CLOSED, EXPIRED]))
    def end(self, data: st.DataObject, ending: int) -> None:
        """End one of the flows."""
        number = data.draw(st.sampled_from(sorted(self.live)))
        remove(self.flows, number, ending)
        for name in self.live.pop(number):
            del self.by_key[name]

    @staticmethod
    def _counters() -> Counters:
        """Return counters for the one backend and service that all these flows have."""
        whole: Counters = make(Kind.COUNTERS)
        return whole._replace(backends=whole.backends[:1], services=whole.services[:1])

    @rule()
    def take_over(self) -> None:
        """Recover as a new worker does: nothing may change."""
        assert recover(self.flows, counters := self._counters()) == 0
        assert int(counters.backends["current"].sum()) == len(self.live)

    @rule(client=CLIENTS, vip=VIPS, backend=BACKENDS, protocol=PROTOCOLS)
    def look_up(self, client: int, vip: int, backend: int, protocol: int) -> None:
        """Find exactly what the twin has, by either key; and nothing by a mixture."""
        keys = self._keys(client, vip, backend)
        mixed = key_of("10.0.0.1:1", "203.0.113.10:80")
        for key in (*keys, mixed):
            found = lookup(self.flows, key, protocol, hash_key(self.flows, key, protocol))
            expected = self.by_key.get((bytes(key), protocol))
            got = None if found == NOTHING else (row_of(found), direction_of(found))
            assert got == expected

    @invariant()
    def laws_hold(self) -> None:
        """Behind every single step."""
        if hasattr(self, "flows"):
            assert int(self.flows.meta[CURRENT]) == len(self.live)
            assert np.count_nonzero(self.flows.buckets) == 2 * len(self.live)
            assert not broken_laws(self.flows)


TestTableBesideDictionary = TableBesideDictionary.TestCase
TestTableBesideDictionary.settings = settings(
    max_examples=settings.default.max_examples // 2,  # type: ignore[union-attr]
    stateful_step_count=40,
)
