"""A forwarder's own lab with all that loads it: servers behind it, a sender before it.

Stands are all up at once, so that they are measured in turn; those not being measured are idle.
"""

from __future__ import annotations

import ctypes
import shutil
import socket
import struct
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench import forge
from bench.forwarders import (
    BACKEND,
    BALANCER,
    HTTP_PORT,
    IPERF3_PORT,
    UDP_PORT,
    VIP,
    Forwarder,
    begin_process,
    last_line,
)
from bench.results import MeasureError
from bench.udp_sender import UdpSender
from natlb.lab.lifecycle import down_lab, up_lab
from natlb.lab.process import this_process
from natlb.lab.record import load, names
from natlb.netlink import Netlink, call_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from natlb.lab.record import Lab

    Say = Callable[[str], None]

TOPOLOGY = Path(__file__).with_name("topology.yaml")
CLIENT, SERVER = "client", "backend"
WIRE = "eth0"  # the interface of client and backend
UDP_FLOWS = 1000
SENDERS, SENDER_ADDRESSES = "198.51.100.2", 20
PAYLOAD = 18  # octets, in a frame of 64 on Ethernet with its check sequence
LISTEN_SECONDS = 10.0
LISTENING = "0A"  # Linux: tcp_states.h, TCP_LISTEN
SO_ATTACH_FILTER = 26  # Linux: socket.h
TAKE_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)  # classic BPF: return 0
SINK_BUFFER = 4096

# As `root`, since a user namespace may know no other; nothing but this bench reaches it.
NGINX = """
user root;
daemon off;
master_process off;
error_log {folder}/nginx.log crit;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {port} backlog=4096;
    location / {{ return 200 "{body}"; }}
  }}
}}
"""
BODY = "x" * 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """A forwarder that forwards, between a client and servers that listen."""

    forwarder: Forwarder
    lab: Lab
    sender: UdpSender

    @property
    def client(self) -> str:
        """The namespace that load comes from."""
        return self.lab.netns(CLIENT)

    def delivered(self) -> int:
        """Return how many packets have reached the backend so far."""
        return call_inside(self.lab.netns(SERVER), lambda: received_by(WIRE))


@contextmanager
def stand(forwarder: Forwarder, say: Say) -> Iterator[Stand]:
    """Give the forwarder's stand; its lab stays for `clean_up`."""
    lab = bring_up(forwarder.name, say)
    with ExitStack() as stack:
        begin_servers(lab)
        stack.enter_context(sink(lab))
        sender = stack.enter_context(sender_of(lab))
        say(f"{forwarder.name}: {forwarder.about}")
        lab = forwarder.begin(lab, lambda line: say(f"  {line}"))
        yield Stand(forwarder=forwarder, lab=lab, sender=sender)


def bring_up(name: str, say: Say) -> Lab:
    """Return a lab of this process alone, without a forwarder; one left by a dead run is removed.

    BusyError while another run has one of that name: two at once would measure each other.
    """
    owner = this_process("owner")
    return up_lab(f"bench-{name}", str(TOPOLOGY), say, balancer=False, owner=owner)


def clean_up(say: Say) -> None:
    """Remove every lab of this process: all that was started in it, its namespaces and files."""
    ours = this_process("owner")
    for name in names():
        lab = load(name)
        if lab is not None and lab.owner == ours:
            down_lab(name, say)


def begin_servers(lab: Lab) -> None:
    """Start what the client calls, and wait until it listens."""
    begin_process(lab, SERVER, http_server(lab), "http")
    ports = [HTTP_PORT]
    if shutil.which("iperf3"):
        begin_process(lab, SERVER, ["iperf3", "-s", "-p", str(IPERF3_PORT)], "iperf3")
        ports.append(IPERF3_PORT)
    for port in ports:
        wait_listening(lab, port)


def http_server(lab: Lab) -> list[str]:
    """Return the command of an HTTP server: nginx, else natlb's own, which is slower by far."""
    if not shutil.which("nginx"):
        command = [sys.executable, "-m", "natlb.lab.backend", "--name", BODY]
        return [*command, "--http", str(HTTP_PORT)]
    file = lab.directory / "http.conf"
    file.write_text(NGINX.format(folder=lab.directory, port=HTTP_PORT, body=BODY))
    return ["nginx", "-c", str(file), "-e", str(lab.directory / "nginx-start.log")]


def wait_listening(lab: Lab, port: int) -> None:
    """Wait until the backend listens on a port; MeasureError where it does not come to that."""
    deadline = time.monotonic() + LISTEN_SECONDS
    while port not in call_inside(lab.netns(SERVER), listening_ports):
        if time.monotonic() > deadline:
            said = [f"{name}: {last_line(lab, name)}" for name in ("http", "iperf3")]
            raise MeasureError(f"nothing listens on port {port}; {'; '.join(said)}")
        time.sleep(0.02)


def listening_ports() -> set[int]:
    """Return the TCP ports that somebody listens on in this thread's namespace."""
    found = set()
    for table in ("tcp", "tcp6"):
        path = Path("/proc/thread-self/net") / table
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        fields = (line.split() for line in lines)
        found |= {int(each[1].rpartition(":")[2], 16) for each in fields if each[3] == LISTENING}
    return found


@contextmanager
def sink(lab: Lab) -> Iterator[None]:
    """Have the backend take datagrams and forget them in the kernel: no answer, no reader.

    They are counted by the interface. Without a socket each would be answered by an ICMP error.
    """
    made = call_inside(lab.netns(SERVER), lambda: socket.socket(type=socket.SOCK_DGRAM))
    with made:
        octets = ctypes.create_string_buffer(TAKE_NOTHING)
        program = struct.pack("HP", 1, ctypes.addressof(octets))
        made.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        made.bind((BACKEND, UDP_PORT))
        yield


def sender_of(lab: Lab) -> UdpSender:
    """Return a sender of datagrams to the VIP, of so many flows in turn."""
    with Netlink(lab.netns(CLIENT)) as netlink:
        source = netlink.link(WIRE).mac
    with Netlink(lab.netns(BALANCER)) as netlink:
        target = netlink.link("public0").mac
    ends = forge.call(UDP_FLOWS, SENDERS, SENDER_ADDRESSES, VIP, UDP_PORT)
    return UdpSender(lab.netns(CLIENT), WIRE, frames(source, target, forge.udp4(ends, PAYLOAD)))


def frames(source: str, target: str, packets: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return Ethernet frames around IPv4 packets."""
    macs = bytes.fromhex((target + source).replace(":", ""))
    header = np.frombuffer(macs + b"\x08\x00", np.uint8)
    return np.hstack([np.tile(header, (packets.shape[0], 1)), packets])


def received_by(interface: str) -> int:
    """Return how many packets an interface of this thread's namespace has received."""
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == interface:
            return int(counts.split()[1])
    raise MeasureError(f"no interface {interface}")
