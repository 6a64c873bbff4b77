"""Packets that must find natlb by an odd way: hairpin, the host's own, a shared address, errors.

One natlb, interpreted, for all tests: client c0 ── pub [ gateway ] prv ── b0 backend, and the
backend's answer is the address it was called from.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.packet import raw

from natlb.netlink import Netlink, call_inside, identity
from tests.gateway import (
    BACKEND4,
    BACKEND6,
    CLIENT4,
    CLIENT6,
    VIP4,
    VIP6,
    Gateway,
    default_by,
    gateway,
    ip,
    join,
    namespaces_of,
    snapshot,
    udp,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns
ROOT = Path(__file__).parent.parent.parent
VERSIONS = [4, 6]
HOST_VIP = {4: "198.51.100.1", 6: "2001:db8:1::1"}
VIP = {4: VIP4, 6: VIP6}
CLIENT = {4: CLIENT4, 6: CLIENT6}
BACKEND = {4: BACKEND4, 6: BACKEND6}
SOURCE = {4: "10.77.0.200", 6: "fd77::200"}
ROUTER = {4: "10.77.0.12", 6: "fd77::12"}
LENGTH = {4: 24, 6: 64}
BULK = 300_000
ICMP_PROTOCOL = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
CONFIG = """
state: {state}
datapath: {{source: [10.77.0.200, "fd77::200"]}}
services:
  web:
    listen: ["tcp://{VIP4}:80", "tcp://198.51.100.1:80"]
    backends: ["{BACKEND4}:8080"]
  web6:
    listen: ["tcp://[{VIP6}]:80", "tcp://[2001:db8:1::1]:80"]
    backends: ["[{BACKEND6}]:8080"]
  dns:
    listen: ["udp://{VIP4}:53", "udp://198.51.100.1:53"]
    backends: ["{BACKEND4}:5353"]
  dns6:
    listen: ["udp://[{VIP6}]:53", "udp://[2001:db8:1::1]:53"]
    backends: ["[{BACKEND6}]:5353"]
"""


@dataclass
class Corner:
    """The namespaces, with a natlb in the gateway that forwards."""

    place: Gateway


def serve(netns: str, address: str, port: int) -> socket.socket:
    """Answer each connection with the caller's address, and with much more if asked for."""
    listening = stream(netns, address)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((address, port))
    listening.listen()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = listening.accept()
                threading.Thread(target=answer, args=(connection, peer[0]), daemon=True).start()

    def answer(connection: socket.socket, peer: str) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            if connection.recv(100) == b"bulk":
                connection.sendall(bytes(BULK))
            else:
                connection.sendall(peer.encode())

    threading.Thread(target=accept, daemon=True).start()
    return listening


def stream(netns: str, address: str) -> socket.socket:
    """Return a TCP socket of this namespace."""
    family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
    return call_inside(netns, lambda: socket.socket(family, socket.SOCK_STREAM))


def call(
    netns: str, address: str, port: int = 80, asked: bytes = b"who", source: str | None = None
) -> bytes:
    """Return all that a server at this address answers."""
    with stream(netns, address) as caller:
        caller.settimeout(10)
        if source is not None:
            caller.bind((source, 0))
        caller.connect((address, port))
        caller.sendall(asked)
        found = b""
        while piece := caller.recv(1 << 16):
            found += piece
        return found


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    """Return a gateway whose natlb is ready; afterwards the host is as it was."""
    folder = tmp_path_factory.mktemp("corners")
    with gateway() as place:
        for version in VERSIONS:  # a second private host, which is no backend
            address = f"{ROUTER[version]}/{LENGTH[version]}"
            run("ip", "-n", place.backend, "address", "add", address, "dev", "b0")
        servers = [serve(place.backend, BACKEND[version], 8080) for version in VERSIONS]
        before = snapshot(place.gateway)
        with natlb_in(place.gateway, CONFIG, folder):
            yield Corner(place)
        for server in servers:
            server.close()

        assert without_neighbours(snapshot(place.gateway)) == without_neighbours(before)


def run(*words: str) -> None:
    """Run a command."""
    subprocess.run(words, check=True, capture_output=True)


@contextlib.contextmanager
def natlb_in(netns: str, text: str, folder: Path) -> Iterator[None]:
    """Run natlb there, interpreted, from when it is ready to the end of the block."""
    config, said = folder / "natlb.yaml", folder / "output"
    config.write_text(text.format(state=folder / "state", **globals()))
    natlb = start(netns, config, said)
    try:
        wait_until(lambda: natlb.poll() is not None or "ready " in said.read_text(), 60)
        assert natlb.poll() is None, said.read_text()
        yield
    finally:
        natlb.send_signal(signal.SIGTERM)
        natlb.wait(20)
        with contextlib.suppress(OSError):
            forget(Path("/run/natlb") / str(identity(netns)))


def start(netns: str, config: Path, said: Path) -> subprocess.Popen[bytes]:
    """Start `natlb run` in a namespace."""
    with said.open("wb") as output:
        return call_inside(
            netns,
            lambda: subprocess.Popen(
                [sys.executable, "-m", "natlb", "run", "-c", str(config)],
                cwd=ROOT,
                env=os.environ | {"NATLB_JIT": "0"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            ),
        )


def forget(directory: Path) -> None:
    """Remove what an instance kept under /run."""
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()


def without_neighbours(seen: dict[str, Any]) -> dict[str, Any]:
    """Return a snapshot without what path MTUs learned on the way leave in it."""
    return {key: value for key, value in seen.items() if not key.endswith("/mtu")}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_keeps_its_address_and_a_backend_that_calls_its_own_vip_does_not(
    corner: Corner, version: int
) -> None:
    """Hairpin is known by the side it comes in by; the answer has to come back here."""
    assert call(corner.place.client, VIP[version]).decode() == CLIENT[version]
    for own in (BACKEND, ROUTER):  # and one who only lives beside it
        seen = call(corner.place.backend, VIP[version], source=own[version])
        assert seen.decode() == SOURCE[version]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("vip", [VIP, HOST_VIP])
def test_a_process_of_the_gateway_gets_through(
    corner: Corner, version: int, vip: dict[int, str]
) -> None:
    """Also to an address of the host itself, which it would find at home."""
    assert call(corner.place.gateway, vip[version]).decode() == SOURCE[version]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_address_of_the_host_serves_both(corner: Corner, version: int) -> None:
    """Services' ports are natlb's, for clients and hairpins; the others the host's, for all."""
    address = HOST_VIP[version]

    assert call(corner.place.client, address).decode() == CLIENT[version]
    for source in (BACKEND, ROUTER):
        seen = call(corner.place.backend, address, source=source[version])
        assert seen.decode() == SOURCE[version]
    with serve(corner.place.gateway, address, 22):
        for who, own in ((corner.place.client, CLIENT), (corner.place.backend, BACKEND)):
            seen = call(who, address, 22, source=own[version])
            assert seen.decode() == own[version]
        assert call(corner.place.gateway, address, 22).decode() == address


@pytest.mark.parametrize("version", VERSIONS)
def test_errors_to_a_shared_address_reach_the_hosts_own_processes(
    corner: Corner, version: int
) -> None:
    """They pass natlb, which knows no flow of theirs, and come back."""
    with udp(corner.place.gateway, version) as caller:
        caller.bind((HOST_VIP[version], 0))
        caller.connect((CLIENT[version], 9))
        caller.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            caller.recv(10)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("vip", [VIP, HOST_VIP])
def test_an_error_of_a_router_before_the_backend_reaches_the_client(
    corner: Corner, version: int, vip: dict[int, str]
) -> None:
    """Its source is no backend's."""
    with udp(corner.place.client, version) as client, udp(corner.place.backend, version) as server:
        server.bind((BACKEND[version], 5353))
        client.connect((vip[version], 53))
        client.send(b"question")
        peer = server.recvfrom(100)[1]
        quoted = UDP(sport=peer[1], dport=5353) / b"question"
        if version == 4:
            inner = raw(IP(src=CLIENT4, dst=BACKEND4, ttl=60) / quoted)
            error = raw(IP(src=ROUTER[4], dst=CLIENT4) / ICMP(type=3, code=1) / inner)[20:]
        else:
            whole = IPv6(src=CLIENT6, dst=BACKEND6, hlim=60) / quoted
            error = raw(IPv6(src=ROUTER[6], dst=CLIENT6) / ICMPv6DestUnreach(code=3) / raw(whole))
            error = error[40:]
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        sender = call_inside(
            corner.place.backend,
            lambda: socket.socket(family, socket.SOCK_RAW, ICMP_PROTOCOL[version]),
        )
        with sender:
            sender.bind((ROUTER[version], 0))
            if version == 4:
                client.setsockopt(socket.IPPROTO_IP, 11, 1)  # Linux: in.h, IP_RECVERR
            else:
                client.setsockopt(socket.IPPROTO_IPV6, 25, 1)  # Linux: in6.h, IPV6_RECVERR
            sender.sendto(error, (CLIENT[version], 0))
        with pytest.raises(OSError, match="No route"):
            client.recv(10)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_kernels_errors_about_answers_reach_the_backend(corner: Corner, version: int) -> None:
    """A way to the client of which natlb knows no MTU: the backend learns it and goes on."""
    words = ["dev", "pub", "mtu", "1300"]
    client = f"{CLIENT[version]}/{32 if version == 4 else 128}"
    ip(corner.place.gateway, "route", "add", client, *words)
    try:
        assert len(call(corner.place.client, VIP[version], asked=b"bulk")) == BULK
    finally:
        ip(corner.place.gateway, "route", "del", client, *words)


ONE_ARM = """
state: {state}
datapath: {{source: [198.51.100.200, "2001:db8:1::200"]}}
services:
  web:
    listen: ["tcp://198.51.100.10:80", "tcp://198.51.100.1:80"]
    nat: full
    backends: ["198.51.100.11:8080"]
  web6:
    listen: ["tcp://[2001:db8:1::10]:80", "tcp://[2001:db8:1::1]:80"]
    nat: full
    backends: ["[2001:db8:1::11]:8080"]
"""


def test_one_interface_is_enough_where_backends_do_not_route_through_natlb(tmp_path: Path) -> None:
    """Client, backend and VIP in one subnet: full NAT brings the answers back."""
    networks = {4: "198.51.100.", 6: "2001:db8:1::"}
    with namespaces_of("c", "g", "b", "s") as (client, middle, backend, switch):
        with Netlink(switch) as netlink:
            netlink.add_bridge("br0")
            netlink.set_up("br0")
            for port, netns, number in (("1", middle, 1), ("2", client, 2), ("11", backend, 11)):
                netlink.add_veth(f"to{port}", "eth0", peer_netns=netns)
                netlink.set_master(f"to{port}", "br0")
                netlink.set_up(f"to{port}")
                with Netlink(netns) as end:
                    for version, network in networks.items():
                        end.add_address("eth0", f"{network}{number}/{LENGTH[version]}")
                    end.set_up("eth0")
        before = snapshot(middle)
        servers = [serve(backend, f"{network}11", 8080) for network in networks.values()]
        with natlb_in(middle, ONE_ARM, tmp_path):
            for network in networks.values():
                for vip in ("1", "10"):
                    for caller in (client, middle, backend):
                        assert call(caller, f"{network}{vip}").decode() == f"{network}200"
        for server in servers:
            server.close()

        assert snapshot(middle) == before


TWO_SIDES = """
state: {state}
datapath:
  public: {{netns: {left}}}
  private: {{netns: {right}}}
  source: [10.77.0.200, "fd77::200"]
services:
  web:
    listen: ["tcp://{VIP4}:80", "tcp://198.51.100.1:80"]
    backends: ["{BACKEND4}:8080"]
  web6:
    listen: ["tcp://[{VIP6}]:80", "tcp://[2001:db8:1::1]:80"]
    backends: ["[{BACKEND6}]:8080"]
"""


def test_two_namespaces_have_the_same_corners(tmp_path: Path) -> None:
    """Clients, backends and the two namespaces' own processes, to an address of the one too."""
    with namespaces_of("c", "l", "r", "b") as (client, left, right, backend):
        join((client, "c0", 2), (left, "pub", 1), "198.51.100.", "2001:db8:1::")
        join((backend, "b0", 11), (right, "prv", 1), "10.77.0.", "fd77::")
        default_by(client, "198.51.100.1", "2001:db8:1::1")
        default_by(backend, "10.77.0.1", "fd77::1")
        servers = [serve(backend, BACKEND[version], 8080) for version in VERSIONS]
        before = snapshot(left), snapshot(right)
        text = TWO_SIDES.replace("{left}", left).replace("{right}", right)
        with natlb_in(left, text, tmp_path):
            for version in VERSIONS:
                for vip in (VIP[version], HOST_VIP[version]):
                    assert call(client, vip).decode() == CLIENT[version]
                    assert call(backend, vip).decode() == SOURCE[version]
                    assert call(right, vip).decode() == SOURCE[version]
                    assert call(left, vip)
                with serve(left, HOST_VIP[version], 22):
                    assert call(client, HOST_VIP[version], 22).decode() == CLIENT[version]
        for server in servers:
            server.close()

        assert (snapshot(left), snapshot(right)) == before
