"""A client, natlb and a backend for floods: the flood and honest visitors share the client's link.

    client ── pub [ gateway: natlb ] prv ── backend
    198.51.100.2     VIP 203.0.113.10       10.77.0.11, HTTP at 8080
    198.18.0.0/15 are the flood's sources: what is answered to them ends there, in a blackhole

What is flooded must be natlb and nothing behind it, so the backend answers every SYN with a cookie
(`tcp_syncookies=2`), of which it keeps nothing, and 4096 connections may wait to be accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ruamel.yaml import YAML

from bench.syn_flood import SOURCES
from natlb.client import Client
from natlb.model import FlowFilter
from natlb.netlink import Netlink, Route, call_inside, identity, write_sysctl
from tests.gateway import BACKEND4, CLIENT4, VIP4, Gateway, gateway, wait_until
from tests.netns.process_lab import MARK, READY_SECONDS, ROOT, kill_marked

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT, BACKEND_PORT = 80, 8080
COOKIES = {"net/ipv4/tcp_syncookies": "2", "net/core/somaxconn": "4096"}
START_SECONDS = 180.0  # millions of sources are drawn, and the sender is compiled once
REQUEST = b"GET / HTTP/1.1\r\nHost: flooded\r\n"
LAST = b"Connection: close\r\n"
NAME = b"b1\n"  # what the backend answers

PATIENCE = 3.0  # seconds that an honest visit may take
PROMPT = 0.9  # seconds of a visit that lost no SYN: RFC 6298 repeats one after a second
REST_SECONDS = 90.0  # to be heard of again: after a minute of losses TCP waits 51 s (RFC 6298)


@dataclass(frozen=True)
class FloodLab:
    """The network, and natlb's own words about itself."""

    net: Gateway
    api: Client
    mac: str

    def established(self) -> set[str]:
        """Return the clients of all flows that natlb holds for established."""
        return {flow.client for flow in self.api.flows(FlowFilter(state="established"))}


@contextmanager
def flood_lab(max_flows: int) -> Iterator[FloodLab]:
    """Give a natlb with room for so many flows, and a backend that no flood can fill."""
    with (
        gateway() as net,
        tempfile.TemporaryDirectory(prefix="natlb-") as folder,
        ExitStack() as at,
    ):
        at.callback(kill_marked, net.gateway)
        with Netlink(net.client) as client, Netlink(net.gateway) as middle:
            client.add_route(Route(destination=SOURCES, kind="blackhole"))
            middle.add_route(Route(destination=SOURCES, via=ip_address(CLIENT4)))
            mac = middle.link("pub").mac
        for key, value in COOKIES.items():
            write_sysctl(key, value, netns=net.backend)
        serve = ["natlb.lab.backend", "--name", "b1", "--http", str(BACKEND_PORT)]
        at.enter_context(running(net, net.backend, serve, Path(folder) / "backend"))
        file = configure(Path(folder), max_flows)
        run = ["natlb", "run", "-c", str(file)]
        at.enter_context(running(net, net.gateway, run, Path(folder) / "natlb"))
        api = Client(f"/run/natlb/{identity(net.gateway)}/natlb.sock", timeout=30)
        yield FloodLab(net, api, mac)


def configure(folder: Path, max_flows: int) -> Path:
    """Return a file with the configuration."""
    config = {
        "state": str(folder / "state"),
        "datapath": {"public": ["pub"], "private": ["prv"], "max_flows": max_flows},
        "services": {
            "web": {
                "listen": f"tcp://{VIP4}:{PORT}",
                "backends": [{"name": "b1", "address": f"{BACKEND4}:{BACKEND_PORT}"}],
            }
        },
    }
    file = folder / "natlb.yaml"
    YAML(typ="safe").dump(config, file)
    return file


@contextmanager
def running(net: Gateway, netns: str, module: list[str], output: Path) -> Iterator[None]:
    """Run a module of Python's in a namespace once it has said `ready`, and stop it at the end."""
    with output.open("wb") as heard:
        process = begin(net, netns, module, stdin=subprocess.DEVNULL, stdout=heard, stderr=heard)
    try:
        wait_until(
            lambda: "ready" in output.read_text() or process.poll() is not None, READY_SECONDS
        )
        assert process.poll() is None, output.read_text()
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait(10)


def begin(net: Gateway, netns: str, module: list[str], **streams: Any) -> subprocess.Popen[bytes]:
    """Start a module of Python's in a namespace; the lab kills it at the end, whatever happens."""
    command = [sys.executable, "-m", *module]
    marked = os.environ | {MARK: net.gateway}
    return call_inside(
        netns,
        lambda: subprocess.Popen(command, cwd=ROOT, env=marked, start_new_session=True, **streams),
    )


class Sent(NamedTuple):
    """What a flood was, by the sender's own account."""

    frames: int
    refused: int
    seconds: float

    @property
    def rate(self) -> float:
        """SYNs a second."""
        return self.frames / self.seconds


class Flood:
    """A sender that has drawn its sources and waits for the word."""

    def __init__(self, lab: FloodLab, *, seconds: float, rate: float, different: int) -> None:
        """Draw so many sources; `rate` 0 is as many as go."""
        words = ["bench.syn_flood", "--netns", lab.net.client, "--interface", "c0"]
        words += ["--mac", lab.mac, "--vip", VIP4, "--port", str(PORT)]
        words += ["--seconds", str(seconds), "--rate", str(rate), "--different", str(different)]
        self._seconds = seconds
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = begin(lab.net, lab.net.client, words, **pipes)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def begin(self) -> None:
        """Send from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def wait(self) -> Sent:
        """Return what was sent, once it is over."""
        said, _ = self._process.communicate(timeout=self._seconds + 30)
        return Sent(**json.loads(said))

    def __enter__(self) -> Self:
        """Return the sender."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, at the latest now."""
        self._process.kill()
        self._process.communicate(timeout=10)


@dataclass
class Conversation:
    """An established connection that asks once a second; `failed` is why it does no more."""

    client: str = ""
    answers: int = 0
    longest: float = 0.0
    heard: float = 0.0
    failed: str = ""


@dataclass
class Visit:
    """A new connection, one request, one answer, the end. `failed` is empty where all came."""

    began: float
    took: float = PATIENCE
    failed: str = ""

    @property
    def is_prompt(self) -> bool:
        """Whether nothing of it had to be repeated."""
        return not self.failed and self.took < PROMPT


class Visitors:
    """Honest clients in a thread: connections that stay, and new ones; a context manager."""

    def __init__(self, netns: str, *, stay: int, come: int) -> None:
        """`stay` connections, and `come` new ones a second."""
        self.staying = [Conversation() for _ in range(stay)]
        self.visits: list[Visit] = []
        self._netns, self._come = netns, come
        self._is_over = threading.Event()
        self._come_no_more = threading.Event()
        self._thread = threading.Thread(
            target=lambda: call_inside(netns, lambda: asyncio.run(self._live()))
        )

    def __enter__(self) -> Self:
        """Return once every connection has had an answer."""
        self._thread.start()
        try:
            wait_until(lambda: all(each.answers or each.failed for each in self.staying), 60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self._come_no_more.set()
        self._is_over.set()
        self._thread.join(30)

    def lost(self) -> list[Conversation]:
        """Let nobody new come, and return the connections that failed or are not heard of again."""
        self._come_no_more.set()
        now = time.monotonic()
        missing = self._unheard_since(now)
        while not all(each.failed for each in missing) and time.monotonic() < now + REST_SECONDS:
            time.sleep(0.1)
            missing = self._unheard_since(now)
        return missing

    def _unheard_since(self, then: float) -> list[Conversation]:
        return [each for each in self.staying if each.failed or each.heard < then]

    async def _live(self) -> None:
        talks = [asyncio.create_task(self._stay(each)) for each in self.staying]
        due = time.monotonic()
        visits = set()
        while not self._come_no_more.is_set():
            visits.add(asyncio.create_task(self._visit()))
            due += 1 / self._come
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*visits)
        await asyncio.to_thread(self._is_over.wait)
        for each in talks:
            each.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    async def _stay(self, mine: Conversation) -> None:
        writer = None
        try:
            reader, writer = await asyncio.open_connection(VIP4, PORT)
            mine.client = "{}:{}".format(*writer.get_extra_info("sockname"))
            while True:
                began = time.monotonic()
                writer.write(REQUEST + b"\r\n")
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(len(NAME)) == NAME
                mine.answers += 1
                mine.heard = time.monotonic()
                mine.longest = max(mine.longest, mine.heard - began)
                await asyncio.sleep(1)
        except (OSError, EOFError, AssertionError) as error:
            mine.failed = repr(error)
        finally:
            if writer is not None:
                writer.transport.abort()

    async def _visit(self) -> None:
        visit = Visit(time.monotonic())
        writer = None
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(VIP4, PORT)
                writer.write(REQUEST + LAST + b"\r\n")
                answer = await reader.read(-1)
                assert answer.endswith(NAME)
            visit.took = time.monotonic() - visit.began
        except (OSError, AssertionError) as error:  # TimeoutError is an OSError
            visit.failed = repr(error)
        finally:
            self.visits.append(visit)
            if writer is not None:
                writer.transport.abort() if visit.failed else writer.close()
