"""Control's conversation with a worker."""

from __future__ import annotations

import asyncio
import os

from natlb.control import worker_link
from natlb.control.channel import Channel
from natlb.control.holdings import Holdings
from natlb.control.messages import (
    Hold,
    Leave,
    Reading,
    Wake,
)
from natlb.control.roles import Role
from natlb.control.worker_link import WorkerLink, WorkerLinks
from tests.unit.control.instances import eventually


def hold_tables(holdings: Holdings, generation: int) -> None:
    """Hold tables of this generation."""
    holdings.take(Hold(role=Role.TABLES, value=generation), os.memfd_create("tables"))


async def connected(holdings: Holdings) -> tuple[WorkerLink, Channel]:
    """Return a link and the worker's end."""
    near, far = Channel.pair()
    holdings.take(Hold(role=Role.TABLES_CHANNEL), near.end.detach())
    link = WorkerLink(holdings, 0)
    link.connect()
    return link, far


def take(far: Channel) -> Hold:
    """Return the tables that the worker was sent."""
    received = far.receive()
    assert received is not None
    message, fds = received
    for fd in fds:
        os.close(fd)
    assert isinstance(message, Hold)
    return message


def test_a_new_worker_is_sent_the_newest_tables() -> None:
    """Whatever it was given at its birth may be older."""

    async def live() -> None:
        holdings = Holdings()
        hold_tables(holdings, 4)
        link, far = await connected(holdings)
        assert take(far).value == 4
        hold_tables(holdings, 5)
        link.send_tables()

        assert take(far).value == 5
        link.wake()
        assert far.receive() == (Wake(), [])
        link.disconnect()
        holdings.close()
        far.close()

    asyncio.run(live())


def test_a_generation_is_waited_for() -> None:
    """Until a worker reads it, or for a moment only where none does."""

    async def live() -> None:
        holdings = Holdings()
        link, far = await connected(holdings)
        waiting = asyncio.ensure_future(link.await_reading(3))
        far.send(Reading(index=0, generation=2))
        await eventually(lambda: link.reading == 2)
        assert not waiting.done()
        far.send(Reading(index=0, generation=3))
        assert await waiting

        worker_link.SECONDS_TO_READ, before = 0.02, worker_link.SECONDS_TO_READ
        assert not await link.await_reading(4)
        worker_link.SECONDS_TO_READ = before
        link.disconnect()
        holdings.close()
        far.close()

    asyncio.run(live())


def test_a_dead_worker_is_talked_to_no_longer() -> None:
    """Its successor comes with a channel of its own."""

    async def live() -> None:
        holdings = Holdings()
        link, far = await connected(holdings)
        far.end.send(b"nonsense")
        far.send(Leave())
        far.send(Reading(index=0, generation=2))
        await eventually(lambda: link.reading == 2)
        far.close()
        await eventually(lambda: link.reading == 0)
        link.send_tables()
        link.wake()
        holdings.close()

    asyncio.run(live())


def test_what_all_workers_read_is_what_the_last_one_does() -> None:
    """There are as many as there are flow tables; one that is gone reads nothing."""

    async def live() -> None:
        holdings = Holdings()
        links, ends = WorkerLinks(holdings), []
        assert links.reading == 0
        for index in range(2):
            holdings.take(Hold(role=Role.FLOWS, index=index), os.memfd_create("flows"))
            near, far = Channel.pair()
            holdings.take(Hold(role=Role.TABLES_CHANNEL, index=index), near.end.detach())
            links.connect(index)
            ends.append(far)
        waiting = asyncio.ensure_future(links.await_reading(3))
        ends[0].send(Reading(index=0, generation=4))
        await eventually(lambda: links._link(0).reading == 4)
        assert (links.reading, waiting.done()) == (0, False)
        ends[1].send(Reading(index=1, generation=3))
        assert await waiting
        assert links.reading == 3

        hold_tables(holdings, 5)
        links.send_tables()
        assert [take(far).value for far in ends] == [5, 5]
        links.wake()
        assert [far.receive() for far in ends] == [(Wake(), [])] * 2
        for index, far in enumerate(ends):
            links.disconnect(index)
            far.close()
        assert links.reading == 0
        holdings.close()

    asyncio.run(live())
