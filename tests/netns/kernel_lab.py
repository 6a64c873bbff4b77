"""Real Linux stacks at both ends of natlb, with a router on either side of it.

    client ── outer ── [ gateway: natlb ] ── inner ─┬─ b1
    198.51.100.2       VIP 203.0.113.10             └─ b2   10.77.1.11, 10.77.2.11

and the same in IPv6 (2001:db8:1::2, VIP 2001:db8:203::10, fd77:1::11, fd77:2::11). Any link can be
given a smaller MTU: the routers answer with "too big" as routers do, and it is natlb's to have the
right one believe them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from ruamel.yaml import YAML

from natlb.client import Client
from natlb.netlink import Netlink, Route, call_inside, identity
from tests.gateway import forwards, join, namespaces_of, wait_until
from tests.netns.process_lab import MARK, READY_SECONDS, ROOT, kill_marked

if TYPE_CHECKING:
    from collections.abc import Callable

Version = Literal[4, 6]
Socket: TypeAlias = socket.socket
VIPS: dict[int, str] = {4: "203.0.113.10", 6: "2001:db8:203::10"}
CLIENTS: dict[int, str] = {4: "198.51.100.2", 6: "2001:db8:1::2"}
SERVERS: dict[int, tuple[str, str]] = {
    4: ("10.77.1.11", "10.77.2.11"),
    6: ("fd77:1::11", "fd77:2::11"),
}
SOURCES = ["10.88.0.100", "fd88::100"]
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
MEBIBYTE = 1 << 20
LINKS = {
    "outer": (("c0", "c1"), "198.51.100.", "2001:db8:1::"),
    "pub": (("g0", "pub"), "192.0.2.", "2001:db8:ff::"),
    "prv": (("prv", "g1"), "10.88.0.", "fd88::"),
    "b1": (("b1", "eth0"), "10.77.1.", "fd77:1::"),
    "b2": (("b2", "eth0"), "10.77.2.", "fd77:2::"),
}


def joined(address: str, port: int) -> str:
    """Return `address:port`, IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class KernelLab:
    """The network, servers on both backends, and natlb in the gateway."""

    def __init__(self, **config: Any) -> None:
        """Nothing stands yet; `config` is put over what natlb is configured with."""
        self._stack = ExitStack()
        self._config = config
        self._servers: list[socket.socket] = []
        self.datagrams: list[tuple[str, bytes, str]] = []  # backend, octets, from whom

    def __enter__(self) -> Self:
        """Build it all, and wait until natlb forwards."""
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing."""
        for server in self._servers:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
        self._stack.close()

    def _build(self) -> None:
        names = self._stack.enter_context(namespaces_of("c", "o", "g", "i", "x", "y"))
        self.client, self.outer, self.gateway, self.inner, *self.hosts = names
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="natlb-")))
        ends = {
            "outer": ((self.client, 2), (self.outer, 1)),
            "pub": ((self.outer, 1), (self.gateway, 2)),
            "prv": ((self.gateway, 1), (self.inner, 2)),
            "b1": ((self.inner, 1), (self.hosts[0], 11)),
            "b2": ((self.inner, 1), (self.hosts[1], 11)),
        }
        for link, ((one, number), (other, another)) in ends.items():
            (left, right), net4, net6 = LINKS[link]
            join((one, left, number), (other, right, another), net4, net6)
        self._ends = {
            link: ((one[0], LINKS[link][0][0]), (two[0], LINKS[link][0][1]))
            for link, (one, two) in ends.items()
        }
        self._route()
        for host, at in zip(self.hosts, range(2), strict=True):
            for version in (4, 6):
                self._serve(host, f"b{at + 1}", SERVERS[version][at])
        self._start()

    def _route(self) -> None:
        for netns in (self.outer, self.inner, self.gateway):
            forwards(netns, open_before=True)
        default = "0.0.0.0/0", "::/0"
        for netns, nets, vias in (
            (self.client, default, ("198.51.100.1", "2001:db8:1::1")),
            (self.outer, default, ("192.0.2.2", "2001:db8:ff::2")),
            (self.gateway, ("198.51.100.0/24", "2001:db8:1::/64"), ("192.0.2.1", "2001:db8:ff::1")),
            (self.gateway, ("10.77.0.0/16", "fd77::/16"), ("10.88.0.2", "fd88::2")),
            (self.inner, default, ("10.88.0.1", "fd88::1")),
            (self.hosts[0], default, ("10.77.1.1", "fd77:1::1")),
            (self.hosts[1], default, ("10.77.2.1", "fd77:2::1")),
        ):
            with Netlink(netns) as netlink:
                for net, via in zip(nets, vias, strict=True):
                    route = Route(destination=ip_network(net), via=ip_address(via))
                    netlink.add_route(route)

    def set_mtu(self, link: str, mtu: int) -> None:
        """Give both ends of a link this MTU."""
        for netns, name in self._ends[link]:
            with Netlink(netns) as netlink:
                netlink.set_mtu(name, mtu)

    def _start(self) -> None:
        services = {}
        for version in (4, 6):
            vip, servers = VIPS[version], SERVERS[version]
            other = SERVERS[10 - version]
            for name, listen, pool, port in (
                (f"web{version}", f"tcp://{joined(vip, 80)}", servers, 8080),
                (f"dns{version}", f"udp://{joined(vip, 53)}", servers, 5353),
                (f"closed{version}", f"udp://{joined(vip, 55)}", servers, 9999),
                (f"mixed{version}", f"tcp://{joined(vip, 81)}", other, 8080),
                (f"full{version}", f"tcp://{joined(vip, 82)}", servers, 8080),
            ):
                backends = [joined(each, port) for each in pool]
                services[name] = {"listen": listen, "backends": backends}
                if name.startswith("full"):
                    services[name]["nat"] = "full"
        config: dict[str, Any] = {
            "datapath": {"public": ["pub"], "private": ["prv"], "source": SOURCES},
            "services": services,
            "state": str(self.folder / "state"),
        }
        for key, value in self._config.items():
            config[key] = {**config.get(key, {}), **value}
        file = self.folder / "natlb.yaml"
        YAML(typ="safe").dump(config, file)
        self._stack.callback(kill_marked, self.gateway)
        command = [sys.executable, "-m", "natlb", "run", "-c", str(file)]
        output = self._stack.enter_context((self.folder / "output").open("ab"))
        self.run: subprocess.Popen[bytes] = call_inside(
            self.gateway,
            lambda: subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {MARK: self.gateway},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            ),
        )
        self._stack.callback(self._stop)
        wait_until(lambda: "ready" in self._said() or self.run.poll() is not None, READY_SECONDS)
        assert self.run.poll() is None, self._said()
        directory = Path("/run/natlb") / str(identity(self.gateway))
        self.api = Client(str(directory / "natlb.sock"), timeout=20)

    def _said(self) -> str:
        return (self.folder / "output").read_text()

    def _stop(self) -> None:
        self.run.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.run.wait(20)

    # Servers: TCP 8080 takes one letter and does what it says; UDP 5353 says all back

    def _serve(self, netns: str, name: str, address: str) -> None:
        family = FAMILIES[ip_address(address).version]
        listening = call_inside(netns, lambda: socket.socket(family, socket.SOCK_STREAM))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, 8080))
        listening.listen(64)
        datagrams = call_inside(netns, lambda: socket.socket(family, socket.SOCK_DGRAM))
        datagrams.bind((address, 5353))
        self._servers += [listening, datagrams]
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        threading.Thread(target=self._answer, args=(datagrams, name), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def _answer(self, datagrams: socket.socket, name: str) -> None:
        while True:
            try:
                octets, sender = datagrams.recvfrom(1 << 16)
            except ConnectionRefusedError:
                continue
            except OSError:
                return
            if sender is None:  # shut down
                return
            self.datagrams.append((name, octets, sender[0]))
            with contextlib.suppress(OSError):
                datagrams.sendto(octets, sender)

    # Clients

    def socket(self, version: Version, kind: socket.SocketKind) -> Socket:
        """Return a socket in the client's namespace, with a time limit, closed at the end."""
        made = call_inside(self.client, lambda: socket.socket(FAMILIES[version], kind))
        made.settimeout(10)
        self._stack.callback(made.close)
        return made

    def connect(self, version: Version, port: int = 80) -> Socket:
        """Return a connection to the VIP."""
        made = self.socket(version, socket.SOCK_STREAM)
        made.connect((VIPS[version], port))
        return made

    def inside(self, netns: str, function: Callable[[], Any]) -> Any:
        """Return what a function gives, run in a namespace."""
        return call_inside(netns, function)


def serve(connection: socket.socket) -> None:
    """Do what the first octet says: `U` takes all and returns its digest, `D` sends 2 MiB.

    `E` says everything back.
    """
    with contextlib.suppress(OSError), connection:
        connection.settimeout(20)
        what = connection.recv(1)
        if what == b"U":
            digest = hashlib.sha256()
            while piece := connection.recv(1 << 16):
                digest.update(piece)
            connection.sendall(digest.digest())
        elif what == b"D":
            connection.sendall(PAYLOAD)
        else:
            while piece := connection.recv(1 << 16):
                connection.sendall(piece)


PAYLOAD = bytes(at * 7 & 255 for at in range(1 << 12)) * (2 * MEBIBYTE >> 12)


def upload(connection: socket.socket) -> bool:
    """Send 2 MiB and return whether the server got just those."""
    connection.sendall(b"U" + PAYLOAD)
    connection.shutdown(socket.SHUT_WR)
    return read_all(connection) == hashlib.sha256(PAYLOAD).digest()


def download(connection: socket.socket) -> bool:
    """Ask for 2 MiB and return whether just those came."""
    connection.sendall(b"D")
    return read_all(connection) == PAYLOAD


def read_all(connection: socket.socket) -> bytes:
    """Return all that comes until the end."""
    pieces = []
    while piece := connection.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)
