"""`natlb drain --wait --deadline` with real connections: both ends believe their resets.

By destination NAT, full NAT, and from IPv6 to IPv4: each has a reset of its own to write.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

import pytest

from natlb.model import FlowFilter
from natlb.netlink import Netlink, Route, call_inside
from tests.netns.process_lab import ROOT, ProcessLab, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

CLOSED = 7  # Linux: tcp_states.h; a connection that was hung up on would be in CLOSE_WAIT
POOL = 'backends: [{name: b1, address: "10.77.0.11:8080"}]'
CONFIG = f"""
datapath: {{source: [10.77.0.100], driver: tun}}
services:
  plain: {{listen: "tcp://203.0.113.10:80", check: none, {POOL}}}
  full: {{listen: "tcp://203.0.113.11:80", check: none, nat: full, {POOL}}}
  six: {{listen: "tcp://[2001:db8:f::10]:80", check: none, {POOL}}}
"""
CALLED = {"plain": "203.0.113.10", "full": "203.0.113.11", "six": "2001:db8:f::10"}


@pytest.fixture(scope="module")
def lab() -> Iterator[ProcessLab]:
    """Return one natlb for all, with a client that has IPv6 as well."""
    with ProcessLab("d") as made:
        with Netlink(made.gateway) as gateway:
            gateway.add_address("p0", ip_interface("2001:db8:c::1/64"))
        with Netlink(made.client) as client:
            client.add_address("eth0", ip_interface("2001:db8:c::2/64"))
            way = Route(destination=ip_network("::/0"), via=ip_address("2001:db8:c::1"))
            client.add_route(way)
        made.configure(CONFIG)
        made.run()
        yield made


def connect(lab: ProcessLab, service: str) -> socket.socket:
    """Return a connection that the backend has greeted."""
    address = CALLED[service]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = call_inside(lab.client, lambda: socket.socket(family))
    connection.settimeout(30)
    try:
        connection.connect((address, 80))
        assert connection.recv(100) == b"b1\n"
    except BaseException:
        connection.close()
        raise
    return connection


def state_of(connection: socket.socket) -> int:
    """Return what its kernel says of a connection."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def drain(lab: ProcessLab, *words: str) -> subprocess.CompletedProcess[str]:
    """Return what the command said."""
    return subprocess.run(
        [sys.executable, "-m", "natlb", "drain", *words],
        cwd=ROOT,
        env=os.environ | {"NATLB_SOCKET": str(lab.directory / "natlb.sock")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("service", CALLED)
def test_a_drain_cut_at_its_deadline_resets_both_ends(lab: ProcessLab, service: str) -> None:
    """Their kernels close at once: the sequence numbers are exact."""
    eventually(lambda: lab.api.status().ready, 60)
    before = len(lab.echoes[0]._open)
    with connect(lab, service) as connection:
        connection.sendall(b"x" * 5000)
        got = b""
        while len(got) < 5000:
            got += connection.recv(5000 - len(got))
        (far,) = lab.echoes[0]._open[before:]
        said = drain(lab, f"{service}/b1", "--wait", "--deadline", "0.5")

        assert said.returncode == 1, said.stderr
        assert said.stderr == "deadline: 1 flow dropped, 2 resets sent\n"
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        eventually(lambda: state_of(far) == CLOSED, 30)
    assert lab.api.flows(FlowFilter(service=service)) == []
    assert drain(lab, f"{service}/b1", "--wait", "--deadline", "30").returncode == 0
