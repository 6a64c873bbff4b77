"""What natlb relies on of programs in the kernel: where they see a packet, and what ends them."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from fcntl import ioctl
from ipaddress import ip_address, ip_network
from struct import pack
from typing import TYPE_CHECKING, Any

import pytest

from natlb.bpf.attach import attach_filter, attach_tun_steering, join_fanout
from natlb.bpf.filters import public_filter
from natlb.bpf.redirect import GENERIC, NATIVE, Redirect
from natlb.bpf.steering import fanout_program, tun_program
from natlb.control.host.tun import IFF_NO_PI, IFF_TUN, TUNSETIFF, open_device
from natlb.core.steering import worker_of
from natlb.errors import BusyError
from natlb.netlink import Netlink, Route, call_inside
from tests.bpf_kernel import closing, needs_bpf
from tests.bpf_packets import TCP, VIPS, lanes_of, ports
from tests.bpf_packets import ip as packet_of
from tests.gateway import ip, namespaces_of, wait_until
from tests.xdp_socket import XdpSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from ipaddress import IPv4Address, IPv6Address

pytestmark = pytest.mark.netns

EVERYTHING = 3  # Linux: if_ether.h, ETH_P_ALL
IFF_MULTI_QUEUE = 0x0100
WORKERS = 2
VIP = VIPS[0]
CLIENTS = [ip_address(f"198.51.100.{last}") for last in range(1, 9)]
TAG = b"\x81\x00\x00\x05"

# Puts the redirect onto `b` of this namespace, says so, and waits to be killed.
HOLDER = """
import socket, sys
from natlb.bpf.redirect import GENERIC, NATIVE, Redirect
redirect = Redirect(0, 1, 1, [], [], [])
redirect.attach(socket.if_nametoindex("b"), sys.argv[1])
print("attached", flush=True)
sys.stdin.read()
"""


def owner(client: IPv4Address | IPv6Address) -> int:
    """Return the worker of a client."""
    return worker_of(lanes_of(client), WORKERS)


class Wire:
    """Two ends of a link in one namespace: raw frames leave by `a` and come in by `b`."""

    def __init__(self, netns: str, stack: ExitStack) -> None:
        """Set it up, without IPv6's own talk."""
        self.netns, self._stack = netns, stack
        with Netlink(netns) as netlink:
            netlink.add_veth("a", "b")
            for name in ("a", "b"):
                netlink.set_up(name)
        wait_until(lambda: all(link["operstate"] == "UP" for link in self.links()), 60)
        self.sender = self.socket_on("a", 0)
        self.macs = {
            link["ifname"]: bytes.fromhex(link["address"].replace(":", "")) for link in self.links()
        }

    def links(self) -> list[dict[str, Any]]:
        """Return what `ip` says of both ends."""
        return [link for link in ip(self.netns, "link") if link["ifname"] in {"a", "b"}]

    def has_program(self) -> bool:
        """Return whether an XDP program runs on `b`."""
        return any("xdp" in link for link in self.links())

    def inside(self, make: Callable[[], Any]) -> Any:
        """Return what is made in the namespace."""
        return call_inside(self.netns, make)

    def socket_on(self, name: str, protocol: int) -> socket.socket:
        """Return a raw packet socket of an end."""
        made = self.inside(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        assert isinstance(made, socket.socket)
        self._stack.enter_context(made)
        self.inside(lambda: made.bind((name, protocol)))
        return made

    def send(self, packet: bytes, tag: bytes = b"") -> bytes:
        """Send an IPv4 packet from `a` to `b`, and return the frame."""
        frame = self.macs["b"] + self.macs["a"] + tag + b"\x08\x00" + packet
        self.sender.send(frame)
        return frame


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Return a link in a namespace of its own."""
    with namespaces_of("w") as (netns,), ExitStack() as stack:
        yield Wire(netns, stack)


def call(client: IPv4Address | IPv6Address) -> bytes:
    """Return a client's packet to the VIP."""
    return packet_of(client, VIP, TCP, ports(40000, 80))


def received(sockets: list[socket.socket]) -> tuple[int, bytes]:
    """Return which of the sockets got an IPv4 packet, and the frame."""
    while True:
        ready, _, _ = select.select(sockets, [], [], 20)
        assert ready, "no packet came"
        frame = ready[0].recv(2000)
        if frame[12:14] == b"\x08\x00":
            return sockets.index(ready[0]), frame


def test_a_fanout_program_and_a_filter_see_tagged_packets_as_others(wire: Wire) -> None:
    """The filter sees the Ethernet header and the fanout's program does not; a tag, neither."""
    sockets = [wire.socket_on("b", 0) for _ in range(WORKERS)]
    for each in sockets:
        attach_filter(each.fileno(), public_filter([VIP], []))
        wire.inside(lambda each=each: each.bind(("b", EVERYTHING)))  # type: ignore[misc]
        join_fanout(each.fileno(), 7, fanout_program(0, WORKERS, [VIP], []))
    stranger = packet_of(CLIENTS[0], ip_address("192.0.2.1"), TCP, ports(1, 2))
    for client in CLIENTS:
        for tag in (b"", TAG):
            wire.send(stranger, tag)
            packet = call(client)
            wire.send(packet, tag)

            assert received(sockets) == (
                owner(client),
                wire.macs["b"] + wire.macs["a"] + b"\x08\x00" + packet,
            )


def tun_queue() -> int:
    """Return one more queue of the TUN t0."""
    queue = open_device()
    ioctl(queue, TUNSETIFF, pack("16sH22x", b"t0", IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE))
    return queue


def test_a_program_chooses_the_queue_of_a_tun() -> None:
    """It sees the packet from its network header on; the order of attaching is the number."""
    needs_bpf()
    with namespaces_of("t") as (netns,), ExitStack() as stack:
        queues = [
            stack.enter_context(closing(call_inside(netns, tun_queue))) for _ in range(WORKERS)
        ]
        with Netlink(netns) as netlink:
            netlink.set_up("t0")
            netlink.add_route(Route(destination=ip_network(VIP), dev="t0"))
            for client in CLIENTS:
                netlink.add_address("lo", f"{client}/32")
        with closing(tun_program(0, WORKERS, [VIP], [])) as program:
            attach_tun_steering(queues[0], program)
        for client in CLIENTS:
            sender = call_inside(netns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with sender:
                sender.bind((str(client), 0))
                sender.sendto(b"x", (str(VIP), 9))

            assert queue_of(queues, client.packed) == owner(client)


def queue_of(queues: list[int], source: bytes) -> int:
    """Return the queue that a packet from there came in by; others' are not looked at."""
    while True:
        ready, _, _ = select.select(queues, [], [], 20)
        assert ready, "no packet came"
        if os.read(ready[0], 2000)[12:16] == source:
            return queues.index(ready[0])


@pytest.mark.parametrize("mode", [NATIVE, GENERIC])
def test_the_redirect_gives_a_worker_its_packets_and_the_kernel_the_rest(
    wire: Wire, mode: str
) -> None:
    """As long as the worker's socket is there; closed, it has left the map by itself."""
    needs_bpf()
    kernel = wire.socket_on("b", EVERYTHING)
    ours = next(client for client in CLIENTS if owner(client) == 1)
    other = next(client for client in CLIENTS if owner(client) == 0)
    redirect = Redirect(0, WORKERS, 1, [VIP], [], [])
    redirect.set_mac(wire.macs["b"])
    index = wire.inside(lambda: socket.if_nametoindex("b"))
    with closing(wire.inside(lambda: redirect.attach(index, mode))):
        with pytest.raises(BusyError, match=r"bpf\(BPF_LINK_CREATE\) failed: EBUSY"):
            wire.inside(lambda: redirect.attach(index, mode))
        worker = wire.inside(lambda: XdpSocket(index, 0))
        redirect.set_socket(0, 1, worker.socket.fileno())
        redirect.close()  # the link keeps it all
        with pytest.raises(OSError, match="busy"):  # one memory for a queue: so it is said
            wire.inside(lambda: XdpSocket(index, 0))
        for tag in (b"", TAG):
            frame = wire.send(call(ours), tag)
            assert worker.receive() == frame
            frame = wire.send(call(other), tag)
            assert received([kernel])[1][14:] == frame[14 + len(tag) :]
        worker.close()
        frame = wire.send(call(ours))
        assert received([kernel])[1] == frame
    wait_until(lambda: not wire.has_program(), 60)


@pytest.mark.parametrize("mode", [NATIVE, GENERIC])
def test_a_killed_owner_leaves_no_program_on_the_interface(wire: Wire, mode: str) -> None:
    """The link is a descriptor, and goes with it."""
    needs_bpf()
    command = ["ip", "netns", "exec", wire.netns, sys.executable, "-c", HOLDER, mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"attached\n"
        assert wire.has_program()
        holder.send_signal(signal.SIGKILL)
    wait_until(lambda: not wire.has_program(), 60)
