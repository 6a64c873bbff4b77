"""A control without its process: real memory, flows written by hand, and ends to talk to.

add_flow       a live row, as a worker would have made it
FakeSupervisor answers what control asks, and keeps what it holds
FakeWorker     says that it reads the tables it is sent, and does commands
World          a control between the two; `in_world` runs a test in one
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from natlb.control.channel import Channel, close_all
from natlb.control.compile.addresses import lanes_of
from natlb.control.doors import TCP as TCP_SCHEME
from natlb.control.doors import DoorNumber
from natlb.control.failure import error_text
from natlb.control.health.probe import Result
from natlb.control.holdings import Holdings
from natlb.control.host.layout import decode_wanted, encode_plan
from natlb.control.listener import api_listener, handover_listener, tcp_listener
from natlb.control.main import Control
from natlb.control.memory import read_sealed, sealed_memfd
from natlb.control.messages import (
    Done,
    File,
    Hold,
    Learn,
    Listen,
    Message,
    Processes,
    ReadFile,
    Reading,
    Refused,
    Start,
    Wake,
    Want,
)
from natlb.control.roles import Role
from natlb.core.commands import GIVEN, TAKEN
from natlb.core.layout import CURRENT, ESTABLISHED, FRESH
from natlb.core.memory import Kind
from natlb.errors import HostError
from natlb.io.shared import attach
from natlb.wire.fields import TCP
from tests.paper_host import host_plan

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from natlb.control.config.values import CheckConfig
    from natlb.control.doors import Doors
    from natlb.control.health.codes import Code
    from natlb.control.health.probe import Target
    from natlb.control.host.plan import Wanted
    from natlb.control.instance import Instance

CONFIG = """
services:
  web:
    listen: tcp://203.0.113.10:80
    backends: [{name: b1, address: "10.77.0.11:8080"}, {name: b2, address: "10.77.0.12:8080"}]
  dns: {listen: udp://203.0.113.11:53, backends: [{name: d1, address: 10.77.0.13}]}
"""


def add_flow(
    flows: Any,
    *,
    service: int,
    backend: int,
    client: str = "198.51.100.2",
    vip: str = "203.0.113.10",
    server: str = "10.77.0.11",
) -> int:
    """Make an established TCP flow and return its row."""
    number = int(flows.meta[FRESH])
    row = flows.rows[number]
    row["service"], row["backend"], row["protocol"] = service, backend, TCP
    for half, source, destination in (("original", client, vip), ("reply", server, client)):
        for lane in range(4):
            row[half][f"source{lane}"] = lanes_of(ip_address(source))[lane]
            row[half][f"destination{lane}"] = lanes_of(ip_address(destination))[lane]
        row[half]["source_port"], row[half]["destination_port"] = 40000, 80
    row["state"] = ESTABLISHED
    flows.meta[FRESH] = number + 1
    flows.meta[CURRENT] += 1
    return number


class FakeSupervisor:
    """The far end of control's conversation."""

    def __init__(self, folder: Path) -> None:
        """Hold what a supervisor makes."""
        self.folder = folder
        self.holdings = Holdings()
        self.wanted: list[Wanted] = []
        self.heard: list[Message] = []
        self.refuse = False
        self.learned: list[bytes] = []
        self.served: list[int] = []
        self.asked: Learn | None = None  # what is not answered: programs that say "endless"
        self.channel, self.controls_end = Channel.pair()
        listening = handover_listener(folder / "handover")
        self._hold(Hold(role=Role.HANDOVER_LISTENER), listening.detach())
        asyncio.get_running_loop().add_reader(self.channel.fileno(), self._hear)

    def _hold(self, said: Hold, fd: int) -> None:
        self.holdings.take(said, fd)
        self.channel.send(said, fd)

    def start(self, path: Path) -> None:
        """Tell control to begin, or to go on."""
        fresh = int((Role.TABLES, 0) not in self.holdings)
        self.channel.send(Start(fresh=fresh, started_ns=1, text=str(path)))

    def _hear(self) -> None:
        received = self.channel.receive()
        if received is None:
            asyncio.get_running_loop().remove_reader(self.channel.fileno())
            return
        message, fds = received
        match message:
            case Hold():
                self.holdings.take(message, fds.pop())
                if message.role is Role.PROGRAMS:
                    self.served.append(message.value)
            case Learn():
                self._learn(message, fds[0])
            case Listen():
                self._listen(message)
            case ReadFile():
                opened = os.open(message.text, os.O_RDONLY)
                self.channel.send(File(serial=message.serial), opened)
                os.close(opened)
            case Want():
                self._want(message, fds[0])
            case _:
                self.heard.append(message)
        close_all(fds)

    def _listen(self, asked: Listen) -> None:
        """Open one door of each kind; that by TCP at whatever port is free."""
        if asked.text.startswith(TCP_SCHEME):
            door, listening = DoorNumber.TCP, tcp_listener("127.0.0.1", 0)
        else:
            door, listening = DoorNumber.ADMIN, api_listener(self.folder / "api.sock")
        self._hold(Hold(role=Role.API_LISTENER, index=door), listening.detach())
        self.channel.send(Done(serial=asked.serial))

    def _want(self, asked: Want, fd: int) -> None:
        if self.refuse:
            error = HostError("the host cannot")
            text = error_text(error)
            self.channel.send(Refused(serial=asked.serial, exit_code=78, text=text))
            return
        self.wanted.append(decode_wanted(read_sealed(fd)))
        plan = sealed_memfd("plan", encode_plan(host_plan()))
        self._hold(Hold(role=Role.HOST_PLAN), plan)
        self.channel.send(Done(serial=asked.serial))

    def _learn(self, asked: Learn, fd: int) -> None:
        self.learned.append(read_sealed(fd))
        if b"endless" in self.learned[-1]:
            self.asked = asked
        elif b"refused" in self.learned[-1]:
            refused = Refused(serial=asked.serial, exit_code=65, text="mine.py:2:1: refused")
            self.channel.send(refused)
        else:
            self.channel.send(Done(serial=asked.serial))

    def give_worker(self) -> FakeWorker:
        """Give control a worker to talk to."""
        controls_end, workers_end = Channel.pair()
        worker = FakeWorker(workers_end, self.holdings)
        self._hold(Hold(role=Role.TABLES_CHANNEL, value=77), controls_end.end.detach())
        now = Processes(index=0, ready=1, compiled=1, supervisor=10, worker=77, restarts=2)
        self.channel.send(now)
        return worker

    def close(self) -> None:
        """Be gone."""
        with contextlib.suppress(ValueError):
            asyncio.get_running_loop().remove_reader(self.channel.fileno())
        self.channel.close()
        self.holdings.close()


class FakeWorker:
    """Reads tables, and does every command with a number of flows."""

    def __init__(self, channel: Channel, holdings: Holdings) -> None:
        """Listen."""
        self.generations: list[int] = []
        self.commands: list[dict[str, int]] = []
        self.flushes = 3
        self._channel = channel
        self._holdings = holdings
        asyncio.get_running_loop().add_reader(channel.fileno(), self._hear)

    def _hear(self) -> None:
        received = self._channel.receive()
        if received is None:
            self.close()
            return
        message, fds = received
        if isinstance(message, Hold):
            self.generations.append(message.value)
            self._channel.send(Reading(index=0, generation=message.value))
        elif isinstance(message, Wake):
            self._do_commands()
        close_all(fds)

    def _do_commands(self) -> None:
        held = self._holdings.get(Role.COMMANDS)
        assert held is not None
        ring = attach(Kind.COMMANDS, held.fd)
        while ring.counts[TAKEN] < ring.counts[GIVEN]:
            record = ring.ring[ring.counts[TAKEN] % ring.ring.size]
            self.commands.append({name: int(record[name]) for name in record.dtype.names})
            record["flushed"], record["resets"] = self.flushes, 2 * int(record["reset"])
            ring.counts[TAKEN] += 1

    def close(self) -> None:
        """Be gone."""
        if self._channel.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()


async def eventually(what: Any, seconds: float = 20.0) -> Any:
    """Return the first true answer."""
    async with asyncio.timeout(seconds):
        while not (answer := what()):  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(0.005)
    return answer


def duplicate(holdings: Holdings, role: Role) -> int:
    """Return a duplicate of a held fd."""
    held = holdings.get(role)
    assert held is not None
    return os.dup(held.fd)


class World:
    """A control with its surroundings."""

    def __init__(self, folder: Path) -> None:
        """Write a configuration."""
        self.folder = folder
        self.path = folder / "natlb.yaml"
        self.configure(CONFIG)
        self.supervisor = FakeSupervisor(folder)
        self.served: list[Instance] = []
        self.answers: dict[str, tuple[Any, Code]] = {}  # what checks find, by backend
        self.asked: list[str] = []
        self.workers: list[FakeWorker] = []
        self.control = Control(self.supervisor.controls_end, self._serve, self.ask)
        self.running = asyncio.ensure_future(self.control.run())

    def configure(self, text: str) -> None:
        """Write the file."""
        self.path.write_text(f"state: {self.folder}\ndatapath: {{max_flows: 1000}}\n{text}")

    async def ask(self, check: CheckConfig, target: Target) -> Result:
        """Check a backend of nobody's network: its answer is on its way unless a test has one."""
        self.asked.append(target.backend)
        while target.backend not in self.answers:  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(min(0.01, check.timeout))
        status, code = self.answers[target.backend]
        return Result(status=status, code=code, reason="as told", latency_ms=0.4, phases=())

    async def _serve(self, instance: Instance, doors: Doors) -> None:
        with contextlib.ExitStack() as sockets:
            for door in doors.doors:
                sockets.enter_context(door.listening)
            self.served.append(instance)
            await asyncio.Event().wait()

    async def begin(self) -> Any:
        """Start control, give it a worker when it has published, and return what it serves."""
        self.supervisor.start(self.path)
        await eventually(
            lambda: (Role.TABLES, 0) in self.supervisor.holdings or self.running.done()
        )
        if self.running.done():
            self.running.result()
        self.workers.append(self.supervisor.give_worker())
        await eventually(lambda: self.served)
        await eventually(lambda: self.supervisor.heard)
        return self.served[0]

    async def succeed(self) -> Any:
        """Put another control in the place of this one, as a supervisor does."""
        await self._drop_control()
        self.served.clear()
        channel, end = Channel.pair()
        asyncio.get_running_loop().remove_reader(self.supervisor.channel.fileno())
        self.supervisor.channel.close()
        self.supervisor.channel = channel
        asyncio.get_running_loop().add_reader(channel.fileno(), self.supervisor._hear)
        self.supervisor.heard.clear()
        self.control = Control(end, self._serve, self.ask)
        self.running = asyncio.ensure_future(self.control.run())
        for said, fd in self.supervisor.holdings:
            channel.send(said, fd)
        self.supervisor.start(self.path)
        await eventually(lambda: self.served or self.running.done())
        if self.running.done():
            self.running.result()
        return self.served[0]

    async def _drop_control(self) -> None:
        """Have control gone, as a killed process is: nothing of it is left open."""
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        link = self.control._link
        if link.is_up:
            link._lose()
        if link._accepting is not None:
            asyncio.get_running_loop().remove_reader(link._accepting.fileno())
            link._accepting.close()
        self.control._workers.disconnect(0)
        link.holdings.close()

    async def end(self) -> None:
        """Leave nothing."""
        await self._drop_control()
        self.supervisor.close()
        for worker in self.workers:
            worker.close()


def in_world(test: Callable[[World], Awaitable[None]]) -> Callable[[Path], None]:
    """Run a test in a world of its own."""

    def run(folder: Path) -> None:
        async def live() -> None:
            world = World(folder)
            try:
                await test(world)
            finally:
                await world.end()

        asyncio.run(live())

    run.__doc__ = test.__doc__
    return run
