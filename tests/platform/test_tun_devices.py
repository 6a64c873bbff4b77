"""What natlb relies on of TUN devices, each thing alone."""

from __future__ import annotations

import errno
import os
import platform
import select
import socket
from typing import TYPE_CHECKING

import pytest

from natlb.control.host.tun import SEGMENTS, Tun, open_tun
from natlb.errors import BusyError
from natlb.netlink import Netlink, call_inside, write_sysctl
from tests.gateway import namespaces_of, packets, send, write

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

LINUX = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])


@pytest.fixture
def name() -> Iterator[str]:
    """Return an empty namespace."""
    with namespaces_of("a") as [name]:
        yield name


@pytest.fixture
def tun(name: str) -> Iterator[Tun]:
    """Return the queue of t0, up, with the route to 203.0.113.0/24."""
    queue = open_tun("t0", name)
    write_sysctl("net/ipv6/conf/t0/disable_ipv6", "1", netns=name)  # it would talk
    with Netlink(name) as netlink:
        netlink.add_address("t0", "203.0.113.1/24")
        netlink.set_up("t0")
    yield queue
    os.close(queue.fd)


def test_super_packets_of_both_protocols_are_taken(tun: Tun) -> None:
    """TCP's on all kernels that matter, UDP's since 6.2."""
    assert tun.offloads == (SEGMENTS | 0x60 if LINUX >= (6, 2) else SEGMENTS)


def test_a_super_packet_comes_out_whole(name: str, tun: Tun) -> None:
    """UDP_SEGMENT gives the kernel 20 datagrams in one send; one read takes them."""
    if LINUX < (6, 2):
        pytest.skip("needs Linux 6.2: segmentation of datagrams")

    def burst() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_UDP, 103, 1000)  # Linux: udp.h, UDP_SEGMENT
            sender.sendto(bytes(20_000), ("203.0.113.9", 9))

    call_inside(name, burst)
    [packet] = packets(tun)

    assert len(packet) == 20_028


def test_the_queue_holds_as_many_packets_as_it_is_long(name: str, tun: Tun) -> None:
    """500 unless told otherwise: what comes while no worker reads is lost beyond."""
    with Netlink(name) as netlink:
        netlink.set_txqueuelen("t0", 100)
    for _ in range(150):
        send(name, "203.0.113.9")
    kept = len(packets(tun, 0))

    assert 99 <= kept <= 100


def test_a_queue_passed_on_keeps_its_packets_and_its_device(name: str, tun: Tun) -> None:
    """By SCM_RIGHTS: the first holder may close and die."""
    send(name, "203.0.113.9")
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        socket.send_fds(here, [b"x"], [tun.fd])
        _, [passed], _, _ = socket.recv_fds(there, 1, 1)
    stand_in = os.open(os.devnull, os.O_RDONLY)
    os.dup2(stand_in, tun.fd)  # closes the first holder's; the fixture closes the number
    os.close(stand_in)
    try:
        with Netlink(name) as netlink:
            assert netlink.has_link("t0")
        assert len(packets(Tun(name="t0", fd=passed, offloads=0))) == 1
    finally:
        os.close(passed)
    with Netlink(name) as netlink:
        assert not netlink.has_link("t0")


def test_a_deleted_device_is_an_error_for_ever(name: str, tun: Tun) -> None:
    """Poll says so, read and write fail with EBADFD: whoever ignores that spins."""
    with Netlink(name) as netlink:
        netlink.delete_link("t0")
    poll = select.poll()
    poll.register(tun.fd, 0)

    assert poll.poll(0)[0][1] & select.POLLERR
    for use in (lambda: os.read(tun.fd, 100), lambda: write(tun, b"\x45" + bytes(19))):
        with pytest.raises(OSError, match="File descriptor in bad state") as gone:
            use()
        assert gone.value.errno == errno.EBADFD
    assert poll.poll(0)[0][1] & select.POLLERR


def test_a_device_that_is_down_refuses_with_eio(name: str, tun: Tun) -> None:
    """Not for ever: it may come up again."""
    with Netlink(name) as netlink:
        netlink.set_down("t0")
        with pytest.raises(OSError, match="Input/output") as down:
            write(tun, b"\x45" + bytes(19))
        assert down.value.errno == errno.EIO
        netlink.set_up("t0")
    write(tun, b"\x45" + bytes(19))


@pytest.mark.parametrize("packet", [b"", bytes(20), b"\x15" + bytes(19)])
def test_what_is_no_ip_packet_is_refused(tun: Tun, packet: bytes) -> None:
    """EINVAL, and the queue goes on."""
    with pytest.raises(OSError, match="Invalid argument"):
        write(tun, packet)


def test_nothing_to_read_is_eagain(tun: Tun) -> None:
    """The descriptor does not block."""
    with pytest.raises(BlockingIOError):
        os.read(tun.fd, 100)


def test_a_name_belongs_to_one_queue(name: str, tun: Tun) -> None:
    """IFF_TUN_EXCL: a second attach would take half of the packets."""
    with pytest.raises(BusyError, match="already"):
        open_tun(tun.name, name)


def test_a_device_with_ipv6_is_talked_into_by_the_kernel_itself(name: str) -> None:
    """Solicitations of routers and multicast reports: natlb has to silence them."""
    queue = open_tun("t1", name)
    with Netlink(name) as netlink:
        netlink.set_up("t1")
    heard = {(packet[6], packet[40]) for packet in packets(queue, 1.2)}
    os.close(queue.fd)

    assert heard >= {(58, 133)}, "a router solicitation, RFC 4861"
