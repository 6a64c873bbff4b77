"""A small network around a natlb of its own: a client, a gateway, two backends that say their name.

Backends and clients are sockets of the test itself, made inside the namespaces: nothing but natlb
runs besides the test. Everything is named after the test's process and gone at the end.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from natlb.client import Client
from natlb.netlink import Netlink, Route, call_inside, create_namespace, delete_namespace, identity

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent.parent
VIP = "203.0.113.10"
BACKENDS = {"b1": "10.77.0.11", "b2": "10.77.0.12"}
KERNEL = 2  # Linux: rtnetlink.h, RTPROT_KERNEL
MARK = "NATLB_TEST_LAB"
READY_SECONDS = 150.0  # a cold compile takes about a minute
CONFIG = """
services:
  web:
    listen: tcp://203.0.113.10:80
    backends: [{name: b1, address: "10.77.0.11:8080"}, {name: b2, address: "10.77.0.12:8080"}]
"""


def eventually(what: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Return the first true answer of `what`; fail where none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


class Echo:
    """A backend: says its name to whoever connects, then sends back every line."""

    def __init__(self, namespace: str, name: str, address: str) -> None:
        """Listen at port 8080 in this namespace."""
        self.name = name
        self._listening = call_inside(namespace, socket.socket)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind((address, 8080))
        self._listening.listen(64)
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(self.name.encode() + b"\n")
            while piece := connection.recv(1 << 16):
                connection.sendall(piece)

    def close(self) -> None:
        """Listen no more, and hang up."""
        for each in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class Call:
    """A client's connection to the VIP."""

    def __init__(self, connection: socket.socket) -> None:
        """Read who answers."""
        self.connection = connection
        self.connection.settimeout(30)
        self.backend = connection.recv(100).decode().strip()

    def echo(self, text: bytes = b"hello\n") -> bytes:
        """Send this, and return what comes back of the same length."""
        self.connection.sendall(text)
        back = b""
        while len(back) < len(text):
            piece = self.connection.recv(len(text) - len(back))
            if not piece:
                break
            back += piece
        return back

    def close(self) -> None:
        """Hang up."""
        self.connection.close()


class ProcessLab:
    """The network, and the natlb that is started in it."""

    def __init__(self, name: str) -> None:
        """Name all namespaces after the test and its process."""
        prefix = f"ntp{os.getpid()}-{name}"
        self.client, self.gateway = f"{prefix}-c", f"{prefix}-lb"
        self.hosts = {backend: f"{prefix}-{backend}" for backend in BACKENDS}
        self.echoes: list[Echo] = []
        self.calls: list[Call] = []
        self.runs: list[subprocess.Popen[bytes]] = []
        self._folder = tempfile.TemporaryDirectory(prefix="natlb-")
        self.folder = Path(self._folder.name)
        self.config = self.folder / "natlb.yaml"
        self.output = self.folder / "output"

    def __enter__(self) -> Self:
        """Make the network."""
        try:
            for namespace in (self.client, self.gateway, *self.hosts.values()):
                create_namespace(namespace)
                with Netlink(namespace) as netlink:
                    netlink.set_up("lo")
            self._wire()
            for name, namespace in self.hosts.items():
                self.echoes.append(Echo(namespace, name, BACKENDS[name]))
        except BaseException:
            self.__exit__()
            raise
        self.configure(CONFIG)
        self.directory = Path("/run/natlb") / str(identity(self.gateway))
        self.api = Client(str(self.directory / "natlb.sock"), timeout=20)
        return self

    def _wire(self) -> None:
        with Netlink(self.gateway) as gateway:
            gateway.add_bridge("br0")
            gateway.set_up("br0")
            gateway.add_address("br0", ip_interface("10.77.0.1/24"))
            self._plug(gateway, "p0", self.client, "198.51.100.2/24", "198.51.100.1")
            gateway.add_address("p0", ip_interface("198.51.100.1/24"))
            for name, namespace in self.hosts.items():
                self._plug(gateway, f"s-{name}", namespace, f"{BACKENDS[name]}/24", "10.77.0.1")
                gateway.set_master(f"s-{name}", "br0")

    @staticmethod
    def _plug(gateway: Netlink, name: str, host: str, address: str, router: str) -> None:
        gateway.add_veth(name, "eth0", peer_netns=host)
        gateway.set_up(name)
        with Netlink(host) as netlink:
            netlink.add_address("eth0", ip_interface(address))
            netlink.set_up("eth0")
            default = Route(destination=ip_network("0.0.0.0/0"), via=ip_address(router))
            netlink.add_route(default)

    def configure(self, text: str) -> None:
        """Write the configuration."""
        self.config.write_text(f"state: {self.folder / 'state'}\n{text}")

    def start(
        self, *words: str, prefix: tuple[str, ...] = (), root: Path = ROOT
    ) -> subprocess.Popen[bytes]:
        """Start `natlb run`, of the code in `root`, in the gateway; it writes to `output`."""
        command = [*prefix, sys.executable, "-m", "natlb", "run", "-c", str(self.config), *words]
        with self.output.open("ab") as output:
            run = call_inside(
                self.gateway,
                lambda: subprocess.Popen(
                    command,
                    cwd=root,
                    env=os.environ | {MARK: self.gateway},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                ),
            )
        self.runs.append(run)
        return run

    def run(
        self, *words: str, prefix: tuple[str, ...] = (), root: Path = ROOT
    ) -> subprocess.Popen[bytes]:
        """Start `natlb run` and wait until it is ready."""
        before = self.said("ready ")
        run = self.start(*words, prefix=prefix, root=root)
        eventually(lambda: run.poll() is not None or self.said("ready ") > before, READY_SECONDS)
        assert run.poll() is None, self.output.read_text()
        return run

    def next_version(self) -> tuple[str, ...]:
        """Return words before a command that have it see this code with one file changed.

        A mount of its own and no copy: compiled code is kept by the path of its source.
        """
        here = ROOT / "natlb" / "control" / "code.py"
        changed = self.folder / "code.py"
        changed.write_text(here.read_text() + "# the next version\n")
        script = 'mount --bind "$0" "$1" && shift && exec "$@"'
        return ("unshare", "--mount", "sh", "-c", script, str(changed), str(here))

    def said(self, words: str) -> int:
        """Return how many lines of natlb's have these words."""
        if not self.output.exists():
            return 0
        return sum(words in line for line in self.output.read_text().splitlines())

    def stop(self, run: subprocess.Popen[bytes]) -> int:
        """Stop natlb cleanly and return its exit code."""
        run.send_signal(signal.SIGTERM)
        return run.wait(20)

    def call(self, source: str = "", port: int = 80, *, host: str = "") -> Call:
        """Return a new connection to the VIP, from this address of the client, or of a host."""
        connection = call_inside(host or self.client, socket.socket)
        connection.settimeout(5)
        try:
            connection.bind((source, 0))
            connection.connect((VIP, port))
        except OSError:
            connection.close()
            raise
        call = Call(connection)
        self.calls.append(call)
        return call

    def pids(self) -> tuple[int, int, int]:
        """Return supervisor, control and worker."""
        seen = self.api.status().pid
        return seen.supervisor, seen.control, seen.workers[0]

    def keeper(self) -> int:
        """Return the keeper, whoever its parent is by now."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    mark = f"{MARK}={self.gateway}".encode() in (entry / "environ").read_bytes()
                    if mark and b"natlb.control.keeper" in (entry / "cmdline").read_bytes():
                        return int(entry.name)
        raise LookupError("no keeper")

    def wait_for_new_worker(self, old: int) -> int:
        """Return the worker that took the old one's place, once it forwards."""

        def new() -> int:
            with contextlib.suppress(Exception):
                status = self.api.status()
                if status.ready and status.pid.workers not in ([], [old]):
                    return status.pid.workers[0]
            return 0

        return int(eventually(new))

    def network(self) -> list[str]:
        """Return all that natlb may change of the gateway's network, in words."""
        with Netlink(self.gateway) as netlink:
            words = [str(rule) for v in (4, 6) for rule in netlink.rules(v)]
            routes = [route for v in (4, 6) for route in netlink.routes(v)]
            # The kernel's own come and go with IPv6's detection of duplicate addresses.
            words += [str(route) for route in routes if route.protocol != KERNEL]
            words += [str(proxy) for v in (4, 6) for proxy in netlink.proxies(v)]
            words += [f"{link.name} {link.mtu} {link.up}" for link in netlink.links()]
        return sorted(words) + call_inside(self.gateway, _sysctls)

    def __exit__(self, *_: object) -> None:
        """Leave nothing, whatever happened."""
        for run in self.runs:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop(run)
        kill_marked(self.gateway)
        for run in self.runs:
            run.wait(10)
        for call in self.calls:
            call.close()
        for echo in self.echoes:
            echo.close()
        for namespace in (self.client, self.gateway, *self.hosts.values()):
            with contextlib.suppress(Exception):
                delete_namespace(namespace)
        self._forget_directory()
        self._folder.cleanup()

    def _forget_directory(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            for file in self.directory.iterdir():
                file.unlink()
            self.directory.rmdir()


class Load:
    """Connections that talk without a pause, and are counted when one fails."""

    def __init__(self, lab: ProcessLab, count: int, sources: tuple[str, ...] = ("",)) -> None:
        """Open the connections, from these addresses in turn, and begin."""
        self.calls = [lab.call(sources[number % len(sources)]) for number in range(count)]
        self.owners = [call.backend for call in self.calls]
        self.failures: list[str] = []
        self.rounds = 0
        self._stop = False
        self._threads = [threading.Thread(target=self._talk, args=(c,)) for c in self.calls]
        for thread in self._threads:
            thread.start()

    def _talk(self, call: Call) -> None:
        text = b"x" * 3000
        while not self._stop:
            try:
                answer = call.echo(text)
            except OSError as error:
                self.failures.append(repr(error))
                return
            if answer != text:
                self.failures.append("a short answer")
                return
            self.rounds += 1

    def go_on(self) -> None:
        """Wait for some more rounds."""
        rounds = self.rounds
        eventually(lambda: self.failures or self.rounds > rounds + 20, 30.0)

    def stop(self) -> None:
        """End the load, with what it saw."""
        self._stop = True
        for thread in self._threads:
            thread.join(20)


def _sysctls() -> list[str]:
    found = []
    for file in sorted(Path("/proc/sys/net").rglob("*")):
        if file.is_file() and "/neigh/default" not in str(file):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                found.append(f"{file} {file.read_text().strip()}")
    return found


def kill_marked(name: str) -> None:
    """Kill all that was started in this lab, whoever its parent is by now."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if f"{MARK}={name}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    kill(int(entry.name))


def kill(pid: int) -> None:
    """Kill a process as nothing can be prepared for, and wait for its end."""
    pidfd = os.pidfd_open(pid)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert select.select([pidfd], [], [], 10)[0]
    os.close(pidfd)


def status_field(pid: int, name: str) -> str:
    """Return a line of /proc/PID/status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return line.partition(":")[2].strip()
    raise KeyError(name)


__all__ = [
    "BACKENDS",
    "CONFIG",
    "ROOT",
    "VIP",
    "Call",
    "Load",
    "ProcessLab",
    "eventually",
    "kill",
    "kill_marked",
    "status_field",
]
