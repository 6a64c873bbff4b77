"""From health that changed to tables in force: changes of a moment become one generation.

A change waits `GATHER_SECONDS` for others; while one generation is being brought into force the
next changes gather. Each is told by an event of its own, with its cause. What cannot be brought
into force, since no supervisor is there, is tried again.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from natlb.control.compile import AS_CONFIGURED
from natlb.control.events import rfc3339
from natlb.control.health.arbiter import PASSIVE
from natlb.errors import NatlbError
from natlb.model import FlowFilter

if TYPE_CHECKING:
    from natlb.control.health.arbiter import Arbiter, BackendKey
    from natlb.control.health.history import Histories
    from natlb.control.intents import Intents
    from natlb.model import HealthName

GATHER_SECONDS = 0.005
AGAIN_SECONDS = 1.0


class Transitions:
    """Brings what the arbiter decides into force."""

    def __init__(self, intents: Intents, histories: Histories) -> None:
        """Wait for changes."""
        self._intents = intents
        self._histories = histories
        self._waiting: set[BackendKey] = set()
        self._lost: set[BackendKey] = set()  # down, with connections that nobody has reset
        self._news = asyncio.Event()

    def changed(self, key: BackendKey) -> None:
        """Look at a backend soon."""
        self._waiting.add(key)
        self._news.set()

    async def run(self, arbiter: Arbiter) -> None:
        """Bring changes into force as they come, for ever."""
        is_refused = False
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._news.clear()
            keys, self._waiting = self._waiting, set()
            try:
                await self.settle(arbiter, keys)
                is_refused = False
            except NatlbError as error:
                if not is_refused:
                    note = self._intents.events.note
                    note("health_not_in_force", "error", reason=error.message)
                is_refused = True
                self._waiting |= keys
                await asyncio.sleep(AGAIN_SECONDS)
                self._news.set()

    async def settle(self, arbiter: Arbiter, keys: set[BackendKey]) -> None:
        """Bring the health of these backends into force, and tell each that is another now."""
        desired = self._intents.desired
        services = desired.config.services
        names = {(name, each.name) for name in services for each in services[name].backends}
        before = {key: desired.run_time.get(key, AS_CONFIGURED).health for key in keys & names}
        found = {key: arbiter.health(key) for key in before}
        news = {key: health for key, health in found.items() if health != before[key]}
        if news and await self._intents.set_health(news):
            at = rfc3339(datetime.now(UTC))
            for key in sorted(news):
                self._histories.note_health(key, at)
                self._tell(arbiter, key, news[key])
            self._lost |= {key for key, health in news.items() if health == "down"}
        self._lost -= {key for key, health in found.items() if health != "down"}
        for key in sorted(self._lost & found.keys()):
            if arbiter.cause(key).code != PASSIVE:  # who may be well keeps what it has
                self._lost.discard(key)
                await self._reset(key)

    def _tell(self, arbiter: Arbiter, key: BackendKey, health: HealthName) -> None:
        service, backend = key
        note = self._intents.events.note
        if health == "unknown":
            note("backend_unchecked", service=service, backend=backend)
            return
        cause = arbiter.cause(key)
        if health == "up":
            note("backend_up", service=service, backend=backend, code=cause.code)
            return
        note(
            "backend_down",
            "warning",
            service=service,
            backend=backend,
            code=cause.code,
            reason=cause.reason,
            fall=self._fall(key),
        )

    def _fall(self, key: BackendKey) -> int | None:
        """Return how many bad results make the backend down, where it is checked."""
        service = self._intents.desired.config.services.get(key[0])
        pool = () if service is None else service.backends
        checks = (each.check for each in pool if each.name == key[1])
        check = next(checks, None)
        return None if check is None else check.fall

    async def _reset(self, key: BackendKey) -> None:
        """Tell both ends of a lost backend's connections, where that is wanted."""
        service = self._intents.desired.config.services.get(key[0])
        if service is None or service.on_down != "reset":
            return
        name, backend = key
        lost = FlowFilter(service=name, backend=backend, protocol="tcp", state="established")
        note = partial(self._intents.events.note, service=name, backend=backend)
        try:
            done = await self._intents.drop(lost, reset=True)
        except NatlbError as error:
            note("flows_not_reset", "warning", reason=error.message)
            return
        if done.flushed:
            note("flows_reset", flushed=done.flushed, resets=done.resets)
