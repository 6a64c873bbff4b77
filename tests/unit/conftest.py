"""An instance made of values, and the real API on a real Unix socket in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import structlog

from natlb.control import log
from natlb.control.compile.measures import Handshakes
from natlb.control.doors import ROLES, Door, Doors, RoleName, parse_tokens
from natlb.control.events import EventLog
from natlb.control.measures import Measures
from natlb.control.repetition import Repetition
from natlb.control.tally import TallyCounts, Turns
from natlb.errors import UnknownNameError
from natlb.model import (
    Backend,
    BackendFlows,
    ByteCounts,
    Change,
    CheckHistory,
    CheckPhase,
    CheckReport,
    CheckResult,
    Flow,
    FlowCounts,
    FlowFilter,
    Flush,
    PacketCounts,
    PerDirection,
    PoolCount,
    ProcessIds,
    Reload,
    Saved,
    Service,
    ServiceFlows,
    ServiceStatus,
    Statistics,
    Status,
    WorkerStatistics,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.control.desired import Revisions

WAIT_SECONDS = 30.0
TOKENS = {role: f"{role}-{'k' * 40}" for role in ROLES}


def _backend(name: str) -> Backend:
    address = f"10.77.0.1{name[-1]}:8080"
    return Backend(
        service="web",
        name=name,
        address=address,
        weight=1,
        effective_weight=1,
        backup=False,
        state="ready",
        health="unknown",
        flows=BackendFlows(current=1, opening=0, total=7),
        packets=PerDirection(original=4, reply=3),
        bytes=PerDirection(original=412, reply=640),
    )


def _flow(backend: Backend, number: int) -> Flow:
    return Flow(
        service="web",
        backend=backend.name,
        protocol="tcp",
        client=f"198.51.100.2:{40000 + number}",
        vip="203.0.113.10:80",
        server=backend.address,
        source=None,
        state="established",
        worker=0,
        age_seconds=1.2,
        idle_seconds=0.1,
        expires_seconds=7439.9,
        packets=PerDirection(original=4, reply=3),
        bytes=PerDirection(original=412, reply=640),
    )


class FakeInstance:
    """Keeps `natlb.control.instance.Instance` over plain values, and remembers what was asked."""

    def __init__(self) -> None:
        """Begin as every test expects."""
        self.reset()

    def reset(self) -> None:
        """Have one service `web` with the backends be1 to be3 and a flow on each."""
        self.calls: list[tuple[Any, ...]] = []
        self.failure: Exception | None = None
        self.gate: threading.Event | None = None
        self.pool = [_backend(f"be{number}") for number in (1, 2, 3)]
        self.table = [_flow(backend, number) for number, backend in enumerate(self.pool)]
        self.ready = True
        self.report: CheckReport | None = None
        self.revision = 7
        self.meant: list[Revisions] = []  # what each change was meant for
        self.events = EventLog()

    async def _asked(self, *call: Any) -> None:
        self.calls.append(call)
        while self.gate and not self.gate.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.005)
        if self.failure is not None:
            raise self.failure

    async def status(self) -> Status:
        """Return ready or not."""
        await self._asked("status")
        return Status(
            ready=self.ready,
            version="0.1.0",
            engine="compiled",
            driver="tun",
            generation=2,
            config="/etc/natlb/natlb.yaml",
            pid=ProcessIds(supervisor=10, control=11, workers=[12]),
            services=[ServiceStatus(name="web", up=3, total=3)],
            changes=[Change(backend="web/be2", field="weight", file=1, now=5)],
        )

    async def services(self) -> list[Service]:
        """Return web."""
        await self._asked("services")
        return [
            Service(
                name="web",
                listen=["tcp://203.0.113.10:80"],
                policy="round-robin",
                nat="dnat",
                backends=PoolCount(total=3, up=3),
                flows=ServiceFlows(current=3, total=21),
                new_flows_per_second=3.0,
            )
        ]

    async def backends(self, service: str | None, /) -> list[Backend]:
        """Return the pool."""
        await self._asked("backends", service)
        if service not in (None, "web"):
            raise UnknownNameError(f"no service '{service}'; there is web")
        return self.pool

    async def flows(self, wanted: FlowFilter, limit: int | None, /) -> list[Flow]:
        """Return the table, cut at `limit`."""
        await self._asked("flows", wanted, limit)
        return [flow for flow in self.table if wanted.backend in (None, flow.backend)][:limit]

    async def stats(self) -> Statistics:
        """Return the contract's example."""
        await self._asked("stats")
        return Statistics(
            generation=2,
            uptime_seconds=60.0,
            workers=[WorkerStatistics(index=0, pid=12, restarts=0)],
            packets=PacketCounts(
                received=10, forwarded=8, passed=0, replied=1, dropped=1, held=0, sent=9
            ),
            bytes=ByteCounts(received=900, forwarded=800),
            flows=FlowCounts(current=1, peak=9, opened=21, closed=18, expired=2, evicted=0),
            drops={"malformed": 1},
            replies={"no-service": 1},
        )

    async def measures(self) -> Measures:
        """Return what the pool has, with counts that are all different."""
        await self._asked("measures")
        stats = await self.stats()
        names = [(backend.service, backend.name) for backend in self.pool]
        turns = Turns(
            transitions={"up": 1, "down": 2, "ready": 3, "draining": 4, "maint": 5},
            checks={"up": 60, "down": 7},
        )
        return Measures(
            status=await self.status(),
            statistics=stats,
            backends=self.pool,
            tally=TallyCounts(
                reloads={"success": 8, "failure": 9},
                last_success=1700000000.5,
                backends=dict.fromkeys(names, turns),
            ),
            drops={**stats.drops, "no-route": 0},
            flows_max=1000,
            ports={("web", "be1", "tcp"): 11},
            handshake_bounds=(0.001, 0.01),
            handshakes=dict.fromkeys(names, Handshakes(counts=(12, 13, 14), sum_seconds=1.5)),
        )

    async def _changed(self, *call: Any, dry_run: bool, revisions: Revisions) -> None:
        """Note a change; what is only tried says so at its end."""
        self.meant.append(revisions)
        await self._asked(*call, *(("dry run",) if dry_run else ()))

    async def reload(
        self, config: str | None, /, *, dry_run: bool = False, revisions: Revisions = None
    ) -> Reload:
        """Return a difference."""
        await self._changed("reload", config, dry_run=dry_run, revisions=revisions)
        return Reload(generation=3, added=["dns"], removed=[], drained=[], changed=["web/be2"])

    async def set_backend(
        self,
        service: str,
        name: str,
        /,
        *,
        state: Any = None,
        weight: int | None = None,
        dry_run: bool = False,
        revisions: Revisions = None,
    ) -> Backend:
        """Return the backend changed."""
        await self._changed(
            "set_backend", service, name, state, weight, dry_run=dry_run, revisions=revisions
        )
        found = self._find(service, name)
        changed = replace(
            found,
            state=state or found.state,
            weight=found.weight if weight is None else weight,
        )
        if not dry_run:
            self.pool[self.pool.index(found)] = changed
        return changed

    async def add_backend(
        self,
        service: str,
        address: str,
        /,
        *,
        name: str | None = None,
        weight: int | None = None,
        dry_run: bool = False,
        revisions: Revisions = None,
    ) -> Backend:
        """Return one more backend."""
        await self._changed(
            "add_backend", service, address, name, weight, dry_run=dry_run, revisions=revisions
        )
        if service != "web":
            raise UnknownNameError(f"no service '{service}'; there is web")
        new = replace(_backend("be4"), name=name or address, address=address, weight=weight or 1)
        if not dry_run:
            self.pool.append(new)
        return new

    async def remove_backend(
        self, service: str, name: str, /, *, dry_run: bool = False, revisions: Revisions = None
    ) -> Backend:
        """Return one backend less."""
        await self._changed("remove_backend", service, name, dry_run=dry_run, revisions=revisions)
        found = self._find(service, name)
        if not dry_run:
            self.pool.remove(found)
        return found

    async def save_config(self, /, *, dry_run: bool = False, revisions: Revisions = None) -> Saved:
        """Return the one change."""
        await self._changed("save_config", dry_run=dry_run, revisions=revisions)
        change = Change(backend="web/be2", field="weight", file=1, now=5)
        return Saved(config="/etc/natlb/natlb.yaml", changes=[change])

    def _find(self, service: str, name: str) -> Backend:
        for backend in self.pool:
            if (backend.service, backend.name) == (service, name):
                return backend
        names = ", ".join(backend.name for backend in self.pool)
        raise UnknownNameError(f"no backend '{service}/{name}'; there are {names}")

    async def check(self, service: str, name: str, /) -> CheckReport:
        """Return a check in two steps."""
        await self._asked("check", service, name)
        self._known(service, name)
        return self.report or CheckReport(
            service=service,
            name=name,
            type="http",
            target="10.77.0.11:8080",
            status="up",
            code="L7OK",
            reason="200 OK",
            latency_ms=1.2,
            at="2026-01-02T03:04:05.678Z",
            phases=[
                CheckPhase(name="connect", milliseconds=0.4, seen="connected"),
                CheckPhase(name="request", milliseconds=0.8, seen="200 OK"),
            ],
        )

    async def checks(self, service: str, name: str, /) -> CheckHistory:
        """Return one result."""
        await self._asked("checks", service, name)
        self._known(service, name)
        at = "2026-01-02T03:04:05.678Z"
        result = CheckResult(status="up", code="L7OK", latency_ms=1.2, at=at)
        return CheckHistory(
            service=service,
            name=name,
            health="up",
            rise=2,
            fall=3,
            since=at,
            passive=None,
            results=[result],
        )

    def _known(self, service: str, name: str) -> None:
        names = [backend.name for backend in self.pool]
        if service != "web" or name not in names:
            raise UnknownNameError(f"no backend '{service}/{name}'; there are {', '.join(names)}")

    async def flush(
        self,
        wanted: FlowFilter,
        /,
        *,
        reset: bool,
        dry_run: bool = False,
        revisions: Revisions = None,
    ) -> Flush:
        """Return counts."""
        await self._changed("flush", wanted, reset, dry_run=dry_run, revisions=revisions)
        return Flush(flushed=3, resets=6 if reset else 0)


class Served:
    """A fake instance behind the real API, and where it listens."""

    def __init__(self, instance: FakeInstance, doors: Doors) -> None:
        """Keep both."""
        self.instance = instance
        self.doors = doors
        self.path, self.operate, self.read, self.tcp = (
            door.listening.getsockname() for door in doors.doors
        )

    def ask(self, octets: bytes, *, close: bool = True, to: Any = None) -> bytes:
        """Return all that comes back for `octets`, sent as they are."""
        with self.connect(to) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(octets)
            if close:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def connect(self, to: Any = None) -> socket.socket:
        """Return an open connection, by default to the door for admin."""
        place = to or self.path
        family = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(WAIT_SECONDS)
        connection.connect(place)
        return connection


def read_all(connection: socket.socket) -> bytes:
    """Return what the other side still writes before it closes."""
    octets = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            octets += piece
    return octets


def open_doors(path: str) -> Doors:
    """Return a listening socket for each role beside `path`, and one for tokens."""
    roles: list[RoleName | None] = ["admin", "operate", "read", None]
    ends = ("", "-operate", "-read")
    places: list[Any] = [*(path + end for end in ends), ("127.0.0.1", 0)]
    doors = []
    for place, role in zip(places, roles, strict=True):
        family = socket.AF_INET if role is None else socket.AF_UNIX
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.bind(place)
        listening.listen(64)
        doors.append(Door(listening, role))
    return Doors(
        doors, parse_tokens("\n".join(f"{role} {TOKENS[role]}" for role in ROLES), "tokens")
    )


@contextlib.contextmanager
def serving(instance: FakeInstance, path: str) -> Iterator[Served]:
    """Serve `instance` on `path` from a loop in a thread; it must end in peace."""
    from natlb.api import serve

    doors = open_doors(path)
    loop = asyncio.new_event_loop()
    task = loop.create_task(serve(instance, doors))

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield Served(instance, doors)
        assert thread.is_alive(), "the server ended before its test did"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(WAIT_SECONDS)
        loop.close()
        for door in doors.doors:
            door.listening.close()


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Undo what a test said about the log: it would be written between the words of the next."""
    yield
    structlog.reset_defaults()
    log.repetition = Repetition()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder whose name is short enough for a socket: at most 107 octets."""
    with tempfile.TemporaryDirectory(prefix="natlb-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def served_by_module() -> Iterator[Served]:
    """Serve a fake instance as long as a file's tests run: starting and leaving take 0.2 s."""
    with (
        tempfile.TemporaryDirectory(prefix="natlb-") as name,
        serving(FakeInstance(), str(Path(name) / "natlb.sock")) as running,
    ):
        yield running


@pytest.fixture
def served(served_by_module: Served) -> Served:
    """Return the served instance as good as new."""
    served_by_module.instance.reset()
    return served_by_module


@pytest.fixture
def serving_at() -> Any:
    """Return a context manager that serves a fake instance on a path, for as long as it is open."""
    return lambda path: serving(FakeInstance(), path)


class Said(NamedTuple):
    """What a command line came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(served: Served, capfd: pytest.CaptureFixture[str], monkeypatch: Any) -> Any:
    """Return a function that runs a command line in this process, against the served instance."""
    from natlb.cli import main

    monkeypatch.setenv("NATLB_SOCKET", served.path)

    def run(*words: str) -> Said:
        capfd.readouterr()
        code = main(list(words))
        return Said(code, *capfd.readouterr())

    return run


@pytest.fixture
def process(served: Served, folder: Path) -> Any:
    """Return a function that runs a command line as a process, against the served instance."""

    def run(*words: str, **environment: str) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "natlb", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_SECONDS,
            env={
                **os.environ,
                "NATLB_SOCKET": served.path,
                "TMPDIR": str(folder),
                **environment,
            },
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run
