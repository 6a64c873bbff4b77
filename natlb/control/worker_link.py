"""Control's conversations with the workers: tables go out, the generation they read comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import structlog

from natlb.control.channel import Channel, close_all
from natlb.control.coding import MessageError
from natlb.control.messages import (
    Hold,
    Reading,
    Wake,
)
from natlb.control.roles import Role

if TYPE_CHECKING:
    from natlb.control.holdings import Holdings

SECONDS_TO_READ = 3.0

log = structlog.get_logger()


class WorkerLink:
    """The conversation with whoever is the worker of one number."""

    def __init__(self, holdings: Holdings, index: int) -> None:
        """Know no worker yet; tables are taken from `holdings`."""
        self.reading = 0
        self._holdings = holdings
        self._index = index
        self._channel: Channel | None = None
        self._news = asyncio.Event()

    def connect(self) -> None:
        """Talk to the worker whose channel is held now, and send it the tables there are."""
        self.disconnect()
        held = self._holdings.get(Role.TABLES_CHANNEL, self._index)
        assert held is not None
        self._channel = Channel.from_fd(os.dup(held.fd))
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._hear)
        self.send_tables()

    def disconnect(self) -> None:
        """Talk to nobody: the worker is gone."""
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
        self._channel = None
        self.reading = 0

    def send_tables(self) -> None:
        """Have the worker read the newest tables; one that reads them already says so."""
        tables = self._holdings.get(Role.TABLES)
        if self._channel is None or tables is None:
            return
        with contextlib.suppress(OSError):  # a dead worker's successor asks for itself
            self._channel.send(Hold(role=Role.TABLES, value=tables.value), tables.fd)

    def wake(self) -> None:
        """Have the worker look at its commands."""
        if self._channel is not None:
            with contextlib.suppress(OSError):
                self._channel.send(Wake())

    async def await_reading(self, generation: int) -> bool:
        """Return whether a worker reads this generation or a later one, within a few seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECONDS_TO_READ):
                while self.reading < generation:
                    self._news.clear()
                    await self._news.wait()
        return self.reading >= generation

    def _hear(self) -> None:
        assert self._channel is not None
        try:
            received = self._channel.receive()
        except BlockingIOError:
            return
        except MessageError as error:
            log.warning("message_refused", worker=self._index, reason=str(error))
            return
        except OSError:
            received = None
        if received is None:
            self.disconnect()
            return
        message, fds = received
        close_all(fds)
        if isinstance(message, Reading):
            self.reading = message.generation
            self._news.set()


class WorkerLinks:
    """The conversations with all workers; there is one for each flow table that is held."""

    def __init__(self, holdings: Holdings) -> None:
        """Know no worker yet."""
        self._holdings = holdings
        self._links: dict[int, WorkerLink] = {}

    @property
    def reading(self) -> int:
        """The generation that every worker reads, or a later one; 0 where one reads none."""
        return min((link.reading for link in self._all()), default=0)

    def _all(self) -> list[WorkerLink]:
        return [self._link(said.index) for said, _ in self._holdings if said.role is Role.FLOWS]

    def _link(self, index: int) -> WorkerLink:
        if index not in self._links:
            self._links[index] = WorkerLink(self._holdings, index)
        return self._links[index]

    def connect(self, index: int) -> None:
        """Talk to the worker of this number that is held now, and send it the tables there are."""
        self._link(index).connect()

    def disconnect(self, index: int) -> None:
        """Talk to no worker of this number: it is gone."""
        self._link(index).disconnect()

    def send_tables(self) -> None:
        """Have all workers read the newest tables."""
        for link in self._all():
            link.send_tables()

    def wake(self) -> None:
        """Have all workers look at their commands."""
        for link in self._all():
            link.wake()

    async def await_reading(self, generation: int) -> bool:
        """Return whether all read this generation or a later one, within a few seconds."""
        return all(await asyncio.gather(*(each.await_reading(generation) for each in self._all())))
