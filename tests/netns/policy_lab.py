"""A lab whose clients are many: HTTP connections and datagrams from 32 addresses, and who answers.

natlb is started once, and given one configuration after the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from natlb import lab as labs
from natlb.client import Client
from natlb.lab import record
from natlb.model import FlowFilter
from natlb.netlink import call_inside
from tests.netns.process_lab import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VIP = "203.0.113.10"
ADDRESSES = [f"198.51.100.{2 + at}" for at in range(32)]
REQUEST = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
NAMES = ("b1", "b2", "b3")


def pool(*extras: str) -> str:
    """Return web's three backends, each with these words behind its address."""
    extras += ("",) * (3 - len(extras))
    words = (
        f'{{name: {name}, address: "10.77.0.1{at}:8080"{extra and ", " + extra}}}'
        for at, (name, extra) in enumerate(zip(NAMES, extras, strict=True), 1)
    )
    return f"[{', '.join(words)}]"


class Visit:
    """A connection to the VIP that asks again and again who serves it."""

    def __init__(self, made: socket.socket) -> None:
        """Ask once."""
        self.connection = made
        self.backend = self.ask()

    def ask(self) -> str:
        """Return who answers a request."""
        self.connection.sendall(REQUEST)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, body = answer.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        assert length is not None
        while len(body) < int(length[1]):
            body += self._receive()
        return body.decode().strip()

    def _receive(self) -> bytes:
        piece = self.connection.recv(4096)
        if not piece:
            raise ConnectionResetError("closed by the other end")
        return piece

    def close(self) -> None:
        """Hang up."""
        self.connection.close()


class PolicyLab:
    """The lab, its natlb, and the connections that are open."""

    def __init__(self, name: str) -> None:
        """Name it; nothing stands yet."""
        self.name = name
        self._stack = contextlib.ExitStack()
        self._open: list[Visit] = []

    def __enter__(self) -> Self:
        """Make the lab and wait until natlb forwards in it."""
        self.lab = labs.up(name=self.name)
        self.configuration = self.lab.configuration
        self._head = self.configuration.read_text().partition("services:")[0]
        self.api = Client(str(self.lab.socket), timeout=20)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing."""
        self.hang_up()
        if self.name in record.names():
            labs.down(name=self.name)

    def adopt(self) -> None:
        """Start `natlb run` again, once the supervisor has died: it adopts the rest."""
        self.lab = labs.up(name=self.name)

    def configure(self, web: str, backends: str = "", rest: str = "") -> None:
        """Put a configuration in force: these lines of web, its backends, what else there is."""
        lines = [f"    {line}" for line in web.splitlines()]
        state = f"state: {self.lab.directory / 'state'}"
        web = "\n".join([f"services:\n  web:\n    listen: tcp://{VIP}:80", *lines])
        self.configuration.write_text(
            f"{self._head}{state}\n{web}\n    backends: {backends or pool()}\n{rest}"
        )
        self.api.reload(str(self.configuration))

    def socket(self, address: str, kind: socket.SocketKind) -> socket.socket:
        """Return a client's socket, bound to one of its addresses."""
        made = call_inside(self.lab.netns("client"), lambda: socket.socket(socket.AF_INET, kind))
        made.settimeout(5)
        made.bind((address, 0))
        return made

    def visit(self, client: int = 0) -> Visit:
        """Return a new connection from one of the client's addresses."""
        connection = self.socket(ADDRESSES[client % 32], socket.SOCK_STREAM)
        try:
            connection.connect((VIP, 80))
            visit = Visit(connection)
        except OSError:
            connection.close()
            raise
        self._open.append(visit)
        return visit

    def spread(self, count: int) -> Counter[str]:
        """Return who serves so many connections that are open together, from all addresses."""
        visits = [self.visit(at) for at in range(count)]
        for visit in visits:
            visit.close()
        self._open = [each for each in self._open if each not in visits]
        self.wait_for_open(len(self._open))
        return Counter(visit.backend for visit in visits)

    def wait_for_open(self, count: int) -> None:
        """Wait until natlb has seen the end of all connections but so many."""
        wanted = FlowFilter(service="web", state="established")
        eventually(lambda: len(self.api.flows(wanted)) == count)

    def owners(self) -> str:
        """Return who serves each of the 32 addresses, one after the other: `13221…`."""
        visits = [self.visit(at) for at in range(32)]
        for visit in visits:
            visit.close()
        self._open = [each for each in self._open if each not in visits]
        return "".join(visit.backend[1:] for visit in visits)

    def datagram(self, client: int = 0) -> str:
        """Return who answers a datagram of a new flow."""
        with self.socket(ADDRESSES[client % 32], socket.SOCK_DGRAM) as asking:
            asking.sendto(b"who", (VIP, 7))
            return asking.recv(100).split()[0].decode()

    def hang_up(self) -> None:
        """Close all connections."""
        for visit in self._open:
            visit.close()
        self._open = []

    @contextlib.contextmanager
    def under_traffic(self, kept: int) -> Iterator[list[str]]:
        """Keep so many connections that ask without a pause; give what went wrong with them.

        One that is answered by another backend than before went wrong.
        """
        failures: list[str] = []
        stop = threading.Event()
        visits = [self.visit(at) for at in range(kept)]
        calls = [lambda v=visit: asks_again(v) for visit in visits]
        threads = [threading.Thread(target=repeat, args=(c, stop, failures)) for c in calls]
        for thread in threads:
            thread.start()
        try:
            yield failures
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)

    @contextlib.contextmanager
    def calling(self, failures: list[str]) -> Iterator[None]:
        """Open connections one after the other meanwhile."""
        stop = threading.Event()
        thread = threading.Thread(target=repeat, args=(self._call, stop, failures))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(20)

    def _call(self) -> None:
        visit = self.visit()
        visit.close()
        self._open.remove(visit)

    def natlb(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command line against this natlb."""
        return subprocess.run(
            [sys.executable, "-m", "natlb", *words],
            env=os.environ | {"NATLB_SOCKET": str(self.lab.socket)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def document(self, *words: str) -> Any:
        """Return what a command says in JSON, once it has succeeded."""
        done = self.natlb(*words, "--json")

        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def effective(self) -> list[float]:
        """Return the weights of web's backends at this moment."""
        return [backend.effective_weight for backend in self.api.backends("web")]


def asks_again(visit: Visit) -> None:
    """Ask, and fail where another backend answers than before."""
    if (answers := visit.ask()) != visit.backend:
        raise OSError(f"{answers} in place of {visit.backend}")


def repeat(call: Callable[[], None], stop: threading.Event, failures: list[str]) -> None:
    """Call until told to stop, with short pauses; a failure is noted and ends it."""
    while not stop.is_set():
        try:
            call()
        except OSError as error:
            failures.append(repr(error))
            return
        time.sleep(0.005)
