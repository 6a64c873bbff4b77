"""The workers' memory as control sees it."""

from __future__ import annotations

import asyncio
import os

import pytest

from natlb.control.channel import Channel
from natlb.control.holdings import Holdings
from natlb.control.link import SupervisorLink
from natlb.control.mapped import make_memory, map_memory
from natlb.control.messages import Hold
from natlb.control.roles import Role
from natlb.core.layout import EPOCH, ROWS
from tests.unit.control.test_link import Ear


def test_memory_that_is_made_is_held_and_can_be_mapped_again() -> None:
    """By the next control, with the time going on as the table counts it."""

    async def live() -> None:
        near, far = Channel.pair()
        link = SupervisorLink(near, Ear())
        make_memory(link, 101, 2)
        first, second = map_memory(link.holdings), map_memory(link.holdings)

        assert [int(table.meta[ROWS]) for table in first.flows] == [51, 51]
        assert first.flows[0].meta[EPOCH] == first.flows[1].meta[EPOCH]
        assert not first.flows[1].meta.flags.writeable
        first.commands[1].counts[0] = 5
        assert [int(ring.counts[0]) for ring in second.commands] == [0, 5]
        assert 0 <= first.now_ms() < 60_000
        link._lose()
        link.holdings.close()
        far.close()

    asyncio.run(live())


def test_memory_of_another_kind_is_refused() -> None:
    """State is never misread."""
    holdings = Holdings()
    with pytest.raises(ValueError, match=r"flow tables \[\] are held"):
        map_memory(holdings)
    holdings.take(Hold(role=Role.FLOWS), os.memfd_create("nothing"))
    with pytest.raises(ValueError, match="octets are no flows"):
        map_memory(holdings)
    holdings.close()
