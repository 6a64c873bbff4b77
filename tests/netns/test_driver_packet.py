"""Real Linux stacks at both ends of a natlb that takes packets from the wire: `driver: packet`.

What depends on how packets come in and go out; the rest is the core's, and tried over the TUN.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from natlb.errors import NatlbError
from natlb.model import FlowFilter
from natlb.netlink import call_inside
from tests.gateway import snapshot
from tests.netns.kernel_lab import (
    SERVERS,
    VIPS,
    KernelLab,
    Version,
    download,
    upload,
)
from tests.netns.process_lab import eventually, kill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.client import Client

pytestmark = pytest.mark.netns

# Linux: in.h, in6.h
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 23, 2
TO_FOLLOW = 40.0  # seconds; it takes one


@pytest.fixture(params=[4, 6], ids=["ip4", "ip6"])
def version(request: pytest.FixtureRequest) -> Version:
    """Return the IP version."""
    return request.param


@pytest.fixture(scope="module")
def lab() -> Iterator[KernelLab]:
    """Return a network whose natlb has no TUN."""
    with KernelLab(datapath={"driver": "packet"}) as made:
        yield made


def echoes(connection: socket.socket, word: bytes) -> bool:
    """Return whether a connection that echoes still does."""
    connection.settimeout(20)
    connection.sendall(word)
    return connection.recv(100) == word


def test_it_says_so_and_has_no_device(lab: KernelLab) -> None:
    """In the status; and the host has routes and rules of natlb's alone."""
    assert lab.api.status().driver == "packet"
    assert [event.fields["driver"] for event in lab.api.events() if event.kind == "driver_chosen"]
    links = [each["ifname"] for each in snapshot(lab.gateway)["address"]]
    assert sorted(links) == ["lo", "prv", "pub"]


@pytest.mark.parametrize("port", [80, 81, 82], ids=["dnat", "other-version", "full"])
def test_two_mebibytes_each_way(lab: KernelLab, version: Version, port: int) -> None:
    """Super-packets, whose checksums are unfinished, and cut where the host sends them."""
    assert upload(lab.connect(version, port))
    assert download(lab.connect(version, port))


def test_large_datagrams_arrive_whole_both_ways(lab: KernelLab, version: Version) -> None:
    """Fragments, by their addresses."""
    client = lab.socket(version, socket.SOCK_DGRAM)
    client.connect((VIPS[version], 53))
    for size in (3000, 60_000):
        octets = os.urandom(size)
        client.send(octets)
        assert client.recv(1 << 16) == octets


def test_a_closed_port_behind_is_refused_in_the_clients_words(
    lab: KernelLab, version: Version
) -> None:
    """And the host's own copy of the backend's error goes nowhere."""
    kind = socket.SOCK_DGRAM
    sniffer = call_inside(
        lab.client, lambda: socket.socket(socket.AF_PACKET, kind, socket.htons(3))
    )
    with sniffer:
        client = lab.socket(version, socket.SOCK_DGRAM)
        client.connect((VIPS[version], 55))
        client.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)
        sniffer.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while octets := sniffer.recv(1 << 16):
                assert not [each for each in SERVERS[version] if packed(each) in octets]


def packed(address: str) -> bytes:
    """Return an address as it stands in a packet."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


@pytest.mark.parametrize("size", [56, 9000])
def test_ping(lab: KernelLab, version: Version, size: int) -> None:
    """By the system's own ping."""
    command = ["ip", "netns", "exec", lab.client, "ping", f"-{version}", "-c", "2", "-W", "5"]
    done = subprocess.run(
        [*command, "-i", "0.2", "-s", str(size), VIPS[version]], capture_output=True, check=False
    )

    assert done.returncode == 0, done.stdout


def test_a_way_that_becomes_narrow_is_told_to_clients(lab: KernelLab, version: Version) -> None:
    """By natlb itself, once it has followed: nobody else forwards."""
    before = lab.api.status().generation
    lab.set_mtu("prv", 1300)
    try:
        eventually(lambda: lab.api.status().generation > before, TO_FOLLOW)
        client = lab.socket(version, socket.SOCK_DGRAM)
        level = socket.IPPROTO_IP if version == 4 else socket.IPPROTO_IPV6
        option = IP_MTU_DISCOVER if version == 4 else IPV6_MTU_DISCOVER
        client.setsockopt(level, option, IP_PMTUDISC_DO)
        client.connect((VIPS[version], 53))
        client.send(bytes(1400))
        with pytest.raises(OSError) as caught:  # noqa: PT012 - which of the two is the kernel's
            client.recv(2000)
            client.send(bytes(1400))
        assert caught.value.errno == errno.EMSGSIZE
    finally:
        after = lab.api.status().generation
        lab.set_mtu("prv", 1500)
        eventually(lambda: lab.api.status().generation > after, TO_FOLLOW)
        for family in ("-4", "-6"):
            words = ["ip", "-n", lab.client, family, "route", "flush", "cache"]
            subprocess.run(words, check=False)


def test_a_killed_worker_costs_no_connection(lab: KernelLab, version: Version) -> None:
    """The sockets outlive it, with what waits in them."""
    connection = lab.connect(version)
    connection.sendall(b"E")
    assert echoes(connection, b"before")
    [pid] = lab.api.status().pid.workers
    kill(pid)

    assert echoes(connection, b"after")
    eventually(lambda: is_at_work(lab.api, pid), 20)


def is_at_work(api: Client, before: int) -> bool:
    """Return whether another worker forwards."""
    with contextlib.suppress(NatlbError):
        status = api.status()
        return status.ready and before not in status.pid.workers
    return False


def test_what_others_flush_is_made_again_and_connections_go_on(
    lab: KernelLab, version: Version
) -> None:
    """Meanwhile the host forwards a copy that nobody knows."""
    connection = lab.connect(version)
    connection.sendall(b"E")
    assert echoes(connection, b"before")
    words = ["ip", "-n", lab.gateway, f"-{version}"]
    told = len(repairs(lab.api))
    subprocess.run([*words, "route", "flush", "proto", "78"], check=True)
    eventually(lambda: len(repairs(lab.api)) > told, 20)
    shown = subprocess.run(
        [*words, "route", "show", "proto", "78"], capture_output=True, text=True, check=True
    )

    assert VIPS[version] in shown.stdout
    assert echoes(connection, b"after")


def repairs(api: Client) -> list[object]:
    """Return the events that say that something was made again."""
    return [event for event in api.events() if event.kind == "host_repaired"]


def test_a_reset_by_natlb_is_believed(lab: KernelLab, version: Version) -> None:
    """What natlb itself sends leaves as the rest does."""
    connection = lab.connect(version)
    connection.sendall(b"E")
    assert echoes(connection, b"before")
    lab.api.flush(FlowFilter(service=f"web{version}"), reset=True)
    connection.settimeout(20)

    with pytest.raises(ConnectionResetError):
        connection.recv(100)
