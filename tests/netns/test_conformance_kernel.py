"""Rows of conformance in which a kernel takes part: real stacks at both ends, routers between."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from natlb.model import FlowFilter
from natlb.netlink import Netlink, call_inside
from tests.netns.kernel_lab import (
    CLIENTS,
    PAYLOAD,
    SERVERS,
    VIPS,
    KernelLab,
    Version,
    download,
    read_all,
    upload,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.netns]
SECONDS = 3.0  # for 2 MiB: a black hole costs many times that
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO = 10, 0, 2  # Linux: in.h
IPV6_MTU_DISCOVER = 23  # Linux: in6.h
IP_RECVERR, IPV6_RECVERR = 11, 25


@pytest.fixture(params=[4, 6], ids=["ip4", "ip6"])
def version(request: pytest.FixtureRequest) -> Version:
    """Return the IP version."""
    return request.param


@pytest.fixture(scope="module")
def shared() -> Iterator[KernelLab]:
    """Return a network for all tests that change nothing of it for good."""
    with KernelLab() as lab:
        yield lab


@pytest.fixture
def lab(shared: KernelLab) -> Iterator[KernelLab]:
    """Return the network with every MTU as usual, and no path MTU remembered."""
    yield shared
    for link in ("outer", "pub", "prv", "b1", "b2"):
        shared.set_mtu(link, 1500)
    for netns in (shared.client, *shared.hosts):
        for family in ("-4", "-6"):
            os.system(f"ip -n {netns} {family} route flush cache")


def of_whom(octets: bytes) -> list[str]:
    """Return which private addresses show in a packet."""
    found = []
    for number, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        found += [each for each in SERVERS[number] if socket.inet_pton(family, each) in octets]
    return found


class Sniffer:
    """What arrives at the client's interface."""

    def __init__(self, lab: KernelLab) -> None:
        """Listen from now on."""
        kind = socket.SOCK_DGRAM
        self._socket = call_inside(
            lab.client, lambda: socket.socket(socket.AF_PACKET, kind, socket.htons(3))
        )
        self._socket.settimeout(0.2)

    def packets(self) -> list[bytes]:
        """Return what came, and listen no more."""
        found = []
        with contextlib.suppress(OSError):
            while True:
                found.append(self._socket.recv(1 << 16))
        self._socket.close()
        return found


@pytest.mark.conformance("R10", "U11", "C6", "C8")
@pytest.mark.parametrize("link", ["b1", "prv", "outer"])
@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("port", [80, 81, 82], ids=["dnat", "other-version", "full"])
def test_two_mebibytes_over_a_path_of_1300(
    lab: KernelLab, version: Version, link: str, way: str, port: int
) -> None:
    """The narrow link behind a router inside, at natlb itself, behind a router outside."""
    lab.set_mtu(link, 1300)
    if link == "b1":
        lab.set_mtu("b2", 1300)
    connection = lab.connect(version, port)
    began = time.monotonic()
    whole = upload(connection) if way == "up" else download(connection)
    took = time.monotonic() - began

    assert whole
    assert took < SECONDS


@pytest.mark.conformance("R10", "U11", "C8")
@pytest.mark.parametrize("link", ["b1", "prv"])
def test_a_datagram_that_is_too_big_tells_the_client_the_mtu(
    lab: KernelLab, version: Version, link: str
) -> None:
    """The client's own socket hears it, from natlb or from the router behind."""
    lab.set_mtu(link, 1300)
    lab.set_mtu("b2", 1300)
    client = lab.socket(version, socket.SOCK_DGRAM)
    level = socket.IPPROTO_IP if version == 4 else socket.IPPROTO_IPV6
    option = IP_MTU_DISCOVER if version == 4 else IPV6_MTU_DISCOVER
    client.setsockopt(level, option, IP_PMTUDISC_DO)
    client.connect((VIPS[version], 53))
    client.send(bytes(1400))
    with pytest.raises(OSError) as caught:  # noqa: PT012 - which of the two says so is the kernel's
        client.recv(2000)
        client.send(bytes(1400))
    assert caught.value.errno == errno.EMSGSIZE
    fits = 1300 - (28 if version == 4 else 48)
    client.send(bytes(fits))
    assert len(client.recv(2000)) == fits


@pytest.mark.conformance("R6", "U12", "R10")
@pytest.mark.parametrize("size", [3000, 20_000, 60_000])
def test_large_datagrams_arrive_whole_both_ways(
    lab: KernelLab, version: Version, size: int
) -> None:
    """Cut by the client's kernel, put together by the backend's, and back."""
    client = lab.socket(version, socket.SOCK_DGRAM)
    client.connect((VIPS[version], 53))
    for _ in range(5):
        octets = os.urandom(size)
        client.send(octets)
        assert client.recv(1 << 16) == octets


@pytest.mark.conformance("R10", "U11", version=4)
def test_without_df_a_narrow_path_cuts(lab: KernelLab) -> None:
    """IPv4 that may be fragmented is, by natlb's way out and by the router behind it."""
    lab.set_mtu("prv", 1400)
    lab.set_mtu("b1", 1300)
    lab.set_mtu("b2", 1300)
    client = lab.socket(4, socket.SOCK_DGRAM)
    client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    client.connect((VIPS[4], 53))
    octets = os.urandom(1450)
    client.send(octets)
    assert client.recv(1 << 16) == octets


@pytest.mark.conformance("C8", "X6")
def test_a_closed_port_behind_is_refused_in_the_clients_words(
    lab: KernelLab, version: Version
) -> None:
    """The backend's "port unreachable": the client's socket knows whose it is."""
    sniffer = Sniffer(lab)
    client = lab.socket(version, socket.SOCK_DGRAM)
    client.connect((VIPS[version], 55))
    client.send(b"x")
    with pytest.raises(ConnectionRefusedError):
        client.recv(100)
    assert not [found for packet in sniffer.packets() if (found := of_whom(packet))]


@pytest.mark.conformance("X6")
def test_the_kernels_own_error_shows_no_private_address(lab: KernelLab, version: Version) -> None:
    """The router behind and natlb's own host have no way on: the client hears it from the VIP."""
    sniffer = Sniffer(lab)
    family = "-4" if version == 4 else "-6"
    nets = [f"{each}" for each in SERVERS[version]]
    for net in nets:
        os.system(f"ip -n {lab.gateway} {family} route add unreachable {net}")
    try:
        client = lab.socket(version, socket.SOCK_DGRAM)
        level = socket.IPPROTO_IP if version == 4 else socket.IPPROTO_IPV6
        client.setsockopt(level, IP_RECVERR if version == 4 else IPV6_RECVERR, 1)
        client.connect((VIPS[version], 53))
        client.send(b"x")
        with pytest.raises(OSError) as caught:
            client.recv(100)
        assert caught.value.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES}
    finally:
        for net in nets:
            os.system(f"ip -n {lab.gateway} {family} route del unreachable {net}")
    assert not [found for packet in sniffer.packets() if (found := of_whom(packet))]


@pytest.mark.conformance("T19")
def test_a_reset_by_natlb_is_believed_at_both_ends(lab: KernelLab, version: Version) -> None:
    """Within a second: the numbers are exact."""
    connection = lab.connect(version)
    connection.sendall(b"Ehello")
    assert connection.recv(100) == b"hello"
    lab.api.flush(FlowFilter(service=f"web{version}"), reset=True)
    connection.settimeout(1)
    with pytest.raises(ConnectionResetError):
        connection.recv(100)


@pytest.mark.conformance("T16", "X1")
def test_a_connection_without_its_flow_is_told(lab: KernelLab, version: Version) -> None:
    """Not left to hang."""
    connection = lab.connect(version)
    connection.sendall(b"Ehello")
    assert connection.recv(100) == b"hello"
    lab.api.flush(FlowFilter(service=f"web{version}"))
    connection.settimeout(2)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012
        connection.sendall(b"again")
        connection.recv(100)


@pytest.mark.conformance("T1", "T10")
@pytest.mark.parametrize("close", ["client", "server", "reset"])
def test_a_port_is_used_again_at_once(lab: KernelLab, version: Version, close: str) -> None:
    """Whoever closed: the next connection from that very port stands in no time."""
    port = 42_000 + version * 10 + len(close)
    for _ in range(3):
        connection = lab.socket(version, socket.SOCK_STREAM)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connection.bind((CLIENTS[version], port))
        began = time.monotonic()
        connection.connect((VIPS[version], 80))
        assert time.monotonic() - began < 0.5
        if close == "server":
            assert download(connection)
        else:
            connection.sendall(b"Ehello")
            assert connection.recv(100) == b"hello"
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if close == "client":
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection) == b""
        connection.close()


@pytest.mark.conformance("T1")
def test_a_half_closed_connection_answers(lab: KernelLab, version: Version) -> None:
    """The client has said its last; the server's answer still comes."""
    connection = lab.connect(version)
    connection.sendall(b"E" + PAYLOAD[:100_000])
    connection.shutdown(socket.SHUT_WR)

    assert read_all(connection) == PAYLOAD[:100_000]


@pytest.mark.conformance("R16")
def test_a_client_of_one_version_and_a_backend_of_the_other(
    lab: KernelLab, version: Version
) -> None:
    """2 MiB each way, closed in order."""
    assert upload(lab.connect(version, 81))
    assert download(lab.connect(version, 81))


@pytest.mark.conformance("C2")
@pytest.mark.parametrize("size", [56, 1472, 9000, 65_000])
def test_ping(lab: KernelLab, version: Version, size: int) -> None:
    """By the system's own ping."""
    command = (
        f"ip netns exec {lab.client} ping -{version} -c 2 -W 2 -i 0.2 -s {size} {VIPS[version]}"
    )

    assert os.system(f"{command} >/dev/null") == 0


@pytest.mark.conformance("R1")
def test_the_way_is_shown_without_private_addresses(lab: KernelLab, version: Version) -> None:
    """Datagrams with a growing TTL, as traceroute sends: the client hears of every hop."""
    sniffer = Sniffer(lab)
    heard: set[str | bytes] = set()
    for hops in range(1, 8):
        client = lab.socket(version, socket.SOCK_DGRAM)
        level = socket.IPPROTO_IP if version == 4 else socket.IPPROTO_IPV6
        client.setsockopt(level, IP_RECVERR if version == 4 else IPV6_RECVERR, 1)
        client.setsockopt(level, socket.IP_TTL if version == 4 else socket.IPV6_UNICAST_HOPS, hops)
        client.connect((VIPS[version], 53))
        client.settimeout(1)
        client.send(b"x")
        try:
            client.recv(100)
            heard.add("answer")
        except OSError:
            with contextlib.suppress(OSError):
                _, ancillary, _, _ = client.recvmsg(2000, 1000, socket.MSG_ERRQUEUE)
                heard |= {bytes(octets) for _, _, octets in ancillary}
    assert "answer" in heard
    assert len(heard) >= 3
    assert not [found for packet in sniffer.packets() if (found := of_whom(packet))]


def test_every_link_has_its_usual_mtu_again(lab: KernelLab) -> None:
    """What the tests before changed."""
    with Netlink(lab.gateway) as netlink:
        assert {link.mtu for link in netlink.links() if link.name in ("pub", "prv")} == {1500}
