"""The control process: loads what is wanted, brings it into force, answers the API.

    python -m MODULE FD        (MODULE calls `main` with the API that it serves)

FD is its end of the conversation with the supervisor. A new instance is set up step by step; a
control that takes the place of a dead one finds everything in what is held, and goes on. It has no
capability; what needs one is asked of the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from natlb.control import limits, log, privileges
from natlb.control.compile.programs import place_programs
from natlb.control.config import api_socket, parse_config, syntax_of
from natlb.control.config.load import file_name
from natlb.control.desired import Desired, first_desired
from natlb.control.directory import OWN_NAMESPACE, RESUME_VARIABLE
from natlb.control.doors import ROLE_OF_DOOR, Door, DoorNumber, Doors, Tokens
from natlb.control.event_memory import EventMemory
from natlb.control.events import EventLog
from natlb.control.failure import error_text, explain
from natlb.control.health.probe import probe
from natlb.control.health.sockets import opener
from natlb.control.keeping import read_changes, resumed, without_added
from natlb.control.link import SupervisorLink
from natlb.control.live import LiveInstance
from natlb.control.mapped import make_memory, map_memory
from natlb.control.memory import sealed_memfd
from natlb.control.messages import (
    Failed,
    HandedOver,
    Hold,
    Logging,
    Processes,
    Serving,
    Start,
    Summary,
    Told,
)
from natlb.control.programs import read_programs
from natlb.control.publish import Publisher
from natlb.control.reading import FileReader
from natlb.control.registry import Registry
from natlb.control.roles import Role
from natlb.control.seed import first_seed
from natlb.control.worker_link import WorkerLinks
from natlb.errors import HostError, NatlbError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from natlb.control.channel import Channel
    from natlb.control.config import Config
    from natlb.control.config.values import CheckConfig
    from natlb.control.events import LevelName
    from natlb.control.health.probe import Result, Target
    from natlb.control.health.watch import Ask
    from natlb.control.instance import Instance
    from natlb.model import Service

    Serve = Callable[[Instance, Doors], Coroutine[None, None, None]]

SERVICES_SHOWN = 3
SECONDS_A_LOOK = 1.0
MOST_FILES = 4096
"""For checks under way, of which each may have two, and for all else that is open."""
LOOKS_A_CLEARING = 5

logger = structlog.get_logger()


class Control:
    """The process: what its supervisor tells it, and the tasks that follow."""

    def __init__(self, channel: Channel, serve: Serve, ask: Ask | None = None) -> None:
        """Listen to the supervisor; `Start` begins. `ask` makes the checks."""
        self._ask = ask or self._probe
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()
        self._link = SupervisorLink(channel, self)
        self._files = FileReader(self._link)
        self._workers = WorkerLinks(self._link.holdings)
        self._events = EventLog()
        self._doors = Doors([])
        self._publisher: Publisher | None = None
        self._instance: LiveInstance | None = None
        self._processes: dict[int, Processes] = {}  # by the worker's number
        self._started_ns = 0
        self._logging = Logging(level=log.LEVELS["info"], json=0)

    # What the supervisor says (link.Listener)

    def started(self, said: Start) -> None:
        """Set the instance up, or go on with it."""
        self._started_ns = said.started_ns
        self._remember_events()
        self._begin(self._set_up(said.text) if said.fresh else self._take_up())

    def held(self, role: Role, index: int) -> None:
        """Talk to a new worker."""
        if role is Role.TABLES_CHANNEL:
            self._workers.connect(index)
        if role is Role.HOST_PLAN and self._instance is not None:
            self._begin(self._instance.follow_host(), fatal=False)

    def released(self, role: Role, index: int) -> None:
        """Talk to a dead worker no longer."""
        if role is Role.TABLES_CHANNEL:
            self._workers.disconnect(index)

    def reload_wanted(self, path: str) -> None:
        """Read the configuration again."""
        if self._instance is not None:
            self._begin(self._reload(self._instance, path or None), fatal=False)

    def processes_known(self, said: Processes) -> None:
        """Remember who is at work."""
        self._processes[said.index] = said

    def told(self, said: Told) -> None:
        """Keep what the supervisor noticed."""
        kind, fields = said.fact
        level: LevelName = "info" if said.level <= log.LEVELS["info"] else "warning"
        self._events.keep(kind, level, **fields)

    def supervisor_lost(self) -> None:
        """Show that nobody supervises."""
        for said in list(self._processes.values()):
            self.processes_known(dataclasses.replace(said, supervisor=0))

    def leave_wanted(self) -> None:
        """End."""
        if not self.ended.done():
            self.ended.set_result(None)

    def handed_over(self) -> HandedOver:
        """Return what an adopting supervisor needs to know besides what is held."""
        known = [said for _, said in sorted(self._processes.items())]
        return HandedOver(
            started_ns=self._started_ns,
            level=self._logging.level,
            json=self._logging.json,
            compiled=known[0].compiled if known else 1,
            pid=os.getpid(),
            text=" ".join(str(said.restarts) for said in known),
        )

    def adopted(self) -> None:
        """Tell a new supervisor what is served."""
        if self._instance is not None:
            self._say_serving()
            self._begin(self._confirm_host(self._instance), fatal=False)

    # What follows

    def _remember_events(self) -> None:
        """Go on with the events of the control before, or begin to keep them."""
        held = self._link.holdings.get(Role.EVENT_LOG)
        memory = EventMemory.create() if held is None else EventMemory(os.dup(held.fd))
        if held is None:
            self._link.hold(Hold(role=Role.EVENT_LOG), memory.duplicate())
        self._events.keep_in(memory)

    def _find_doors(self) -> None:
        """Take the sockets where the API is called."""
        if (Role.API_LISTENER, DoorNumber.ADMIN) not in self._link.holdings:
            raise NatlbError("no socket for the API is held")
        held = [(door, self._link.holdings.get(Role.API_LISTENER, door)) for door in DoorNumber]
        self._doors.doors = [
            Door(socket.socket(fileno=os.dup(each.fd)), ROLE_OF_DOOR[door])
            for door, each in held
            if each is not None
        ]

    def _begin(self, work: Coroutine[None, None, None], *, fatal: bool = True) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(done, fatal=fatal))

    def _finished(self, task: asyncio.Task[None], *, fatal: bool) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None or self.ended.done():
            return
        error = task.exception()
        assert error is not None
        if fatal:
            self.ended.set_exception(error)
        else:
            logger.error("internal_error", reason=explain(error).message)

    async def _set_up(self, path: str) -> None:
        """Bring a new instance into force, from its configuration to its API."""
        text = (await self._files.config(Path(path))).text
        config = parse_config(text, file_name(Path(path)), syntax_of(Path(path)))
        sources, _ = await read_programs(config, path, self._files.program)
        programs = place_programs(sources, {})
        self._follow_logging(config)
        await self._listen(config)
        make_memory(self._link, config.datapath.max_flows, config.datapath.workers)
        seed = await asyncio.to_thread(first_seed, config)
        desired = first_desired(
            config, text, path, seed=seed, started_ns=self._started_ns, programs=programs
        )
        self._publisher = Publisher(self._link, self._workers, desired)
        await self._begin_with(self._publisher, desired)
        await self._answer(self._publisher)

    async def _listen(self, config: Config) -> None:
        """Have the doors of the API opened, that by TCP for those with a token that is known."""
        self._doors.tokens = await self._files.tokens_of(config)
        await self._link.listen(api_socket(config, OWN_NAMESPACE.stat().st_ino))
        if config.api.listen is not None and config.api.is_tcp:
            await self._link.listen(config.api.listen)

    async def _tokens_again(self, config: Config) -> Tokens:
        """Return the tokens as they are by now; none, and the reason told, if they cannot be read.

        Packets do not wait for a file to be mended, nor do commands on this host.
        """
        try:
            return await self._files.tokens_of(config)
        except NatlbError as error:
            self._events.note("tokens_not_read", "error", reason=error.message, fix=error.fix)
            return Tokens()

    async def _begin_with(self, publisher: Publisher, desired: Desired) -> None:
        """Bring a first wish into force, with the changes of an earlier instance if asked."""
        changes = await asyncio.to_thread(read_changes, desired, self._events)
        if changes and not os.environ.get(RESUME_VARIABLE):
            count, fix = len(changes), "natlb run --resume"
            self._events.note("changes_not_resumed", changes=count, fix=fix)
            changes = []
        wish = await asyncio.to_thread(resumed, desired, changes, self._events)
        async with publisher.learning(desired.programs) as learned:
            try:
                await publisher.publish(wish, learned=learned)
            except HostError as error:
                if not wish.overlay.added:
                    raise
                left = without_added(wish, changes, self._events, error.message)
                wish = await asyncio.to_thread(resumed, desired, left, self._events)
                await publisher.publish(wish, learned=learned)
        if changes:
            self._events.note("changes_resumed", changes=len(wish.changes()))

    async def _take_up(self) -> None:
        """Go on with what another control left."""
        held = self._link.holdings.get(Role.REGISTRY)
        if held is None:
            raise NatlbError("no registry is held")
        desired = Desired.from_record(Registry(os.dup(held.fd)).read())
        self._follow_logging(desired.config)
        self._doors.tokens = await self._tokens_again(desired.config)
        self._publisher = Publisher(self._link, self._workers, desired)
        await self._publisher.take_up()
        logger.info("control_replaced", generation=desired.generation, pid=os.getpid())
        await self._answer(self._publisher)

    async def _answer(self, publisher: Publisher) -> None:
        """Answer the API, and look after rates and leftovers, until the end."""
        self._find_doors()
        memory = map_memory(self._link.holdings)
        self._instance = LiveInstance(
            publisher,
            self._workers,
            memory,
            self._events,
            self._processes,
            read=self._files.config,
            read_program=self._files.program,
            read_access=self._read_access,
            reloaded=self._follow_logging,
            ask=self._ask,
        )
        self._begin(self._serve(self._instance, self._doors))
        self._begin(self._instance.health.run())
        self._begin(self._instance.evidence.run())
        self._say_serving()
        self._begin(self._instance.follow_host(), fatal=False)  # what a dead control did not
        await self._look_after(self._instance)

    async def _probe(self, check: CheckConfig, target: Target) -> Result:
        """Ask a backend where it is, which may be another network namespace."""
        assert self._publisher is not None
        config = self._publisher.desired.config
        return await probe(check, target, opener(config, self._link.open_socket))

    async def _read_access(self, config: Config) -> Callable[[], None]:
        """Read a configuration's tokens; the result lets them in. Raises ConfigError."""
        tokens = await self._files.tokens_of(config)
        return lambda: setattr(self._doors, "tokens", tokens)

    def _say_serving(self) -> None:
        assert self._publisher is not None
        desired = self._publisher.desired
        words = summary(desired.config)
        self._link.tell(Serving(generation=desired.generation, text=words))

    async def _look_after(self, instance: LiveInstance) -> None:
        for look in itertools.count():
            log.tell_suppressed()
            instance.read_rates(time.monotonic())
            if look % LOOKS_A_CLEARING == 0:
                with contextlib.suppress(NatlbError):  # without a supervisor: later
                    await instance.forget_unneeded()
                self._link.tell(Summary(text=state_words(await instance.services())))
            await asyncio.sleep(SECONDS_A_LOOK)

    async def _confirm_host(self, instance: LiveInstance) -> None:
        """Have a new supervisor know what the host's network is for; the host may refuse by now."""
        try:
            await instance.confirm_host()
        except NatlbError as error:
            logger.warning("host_not_confirmed", reason=error.message)

    async def _reload(self, instance: LiveInstance, path: str | None) -> None:
        """Reload as a signal asks; a refusal changes nothing, and is told where it is made."""
        with contextlib.suppress(NatlbError):
            await instance.reload(path)
        self._say_serving()  # a service manager waits for the end of it

    def _follow_logging(self, config: Config) -> None:
        """Log as the configuration says, here and in the supervisor."""
        json = config.log.format == "json"
        self._logging = Logging(level=log.LEVELS[config.log.level], json=int(json))
        log.configure(self._logging.level, json=json)
        self._link.tell(self._logging)

    async def run(self) -> None:
        """Be control until the supervisor says otherwise; raises what made it impossible."""
        try:
            await self.ended
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._events.close()


def summary(config: Config) -> str:
    """Return what is served, in a few words."""
    services = [
        f"{name} ({', '.join(map(str, service.listen))})"
        for name, service in config.services.items()
    ]
    backends = sum(len(service.backends) for service in config.services.values())
    shown = ", ".join(services[:SERVICES_SHOWN]) + (", …" if len(services) > SERVICES_SHOWN else "")
    return f"{shown} to {backends} backend{'' if backends == 1 else 's'}"


def state_words(services: Sequence[Service]) -> str:
    """Return how the instance is, in a few words."""
    up, total = (sum(getattr(each.backends, part) for each in services) for part in ("up", "total"))
    flows = sum(each.flows.current for each in services)
    return (
        f"{len(services)} service{'' if len(services) == 1 else 's'}, {up} of {total} backends up,"
        f" {flows:,} flow{'' if flows == 1 else 's'}"
    )


def main(channel: Channel, serve: Serve) -> int:
    """Be the control process; return its exit code."""
    log.configure()
    privileges.drop_capabilities_keep_uid()
    limits.allow_files(MOST_FILES)

    async def live() -> None:
        await Control(channel, serve).run()

    try:
        asyncio.run(live())
    except Exception as error:  # noqa: BLE001 - the supervisor says it, in one form for all
        known = explain(error)
        memfd = sealed_memfd("failure", error_text(known).encode())
        with contextlib.suppress(OSError):
            channel.send(Failed(exit_code=known.exit_code), memfd)
        return known.exit_code
    return 0
