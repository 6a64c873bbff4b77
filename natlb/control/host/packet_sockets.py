"""The sockets of a driver that takes packets from the wire: each made in its side's namespace.

A link's socket receives frames from one interface, super-packets whole and with their unfinished
checksums. It has a filter before it is bound, so nothing that is not natlb's ever enters it. A
raw socket sends IP packets with their headers, and the host routes and resolves.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from ipaddress import IPv6Address
from struct import pack
from typing import TYPE_CHECKING

from natlb.bpf.attach import attach_filter
from natlb.bpf.filters import public_filter
from natlb.errors import DeniedError, HostError, NatlbError
from natlb.netlink import inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.control.host.plan import Version

# Linux: socket.h, if_ether.h, if_packet.h, asm-generic/socket.h, in6.h
AF_XDP = 44
ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 8, 15, 23
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
IPV6_HDRINCL = 36

RECEIVE_OCTETS = 16 << 20  # as the kernel counts: about 7,000 small packets, 200 super-packets
SEND_OCTETS = 4 << 20
SOLICITED_NODE = int(IPv6Address("ff02::1:ff00:0"))  # RFC 4291, section 2.7.1
NOTHING = public_filter((), ())


def open_link(name: str, netns: str) -> int:
    """Return the fd of a packet socket on an interface; nothing enters it before it has a filter.

    HostError where there is no such interface, or the kernel refuses; DeniedError without the
    right to receive packets.
    """
    with _asking(f"interface {name}"), inside(netns or None):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        with _asking(f"interface {name}"):
            for option in (PACKET_VNET_HDR, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING):
                made.setsockopt(SOL_PACKET, option, 1)
        _enlarge(made, SO_RCVBUFFORCE, socket.SO_RCVBUF, RECEIVE_OCTETS)
        attach_filter(made.fileno(), NOTHING)
        with _asking(f"interface {name}"):
            made.bind((name, ETH_P_ALL))
    except BaseException:
        made.close()
        raise
    return made.detach()


def why_no_packet(family: int = socket.AF_PACKET) -> NatlbError | None:
    """Return why this process gets no packet socket, having tried; None where it does.

    `family` may be AF_XDP instead.
    """
    try:
        with _asking("driver packet" if family == socket.AF_PACKET else "driver xdp"):
            socket.socket(family, socket.SOCK_RAW, 0).close()
    except NatlbError as error:
        return error
    return None


def open_output(netns: str) -> int:
    """Return the fd of a packet socket that sends frames by any interface, and receives nothing."""
    with _asking("sending"), inside(netns or None):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        with _asking("sending"):
            made.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        _enlarge(made, SO_SNDBUFFORCE, socket.SO_SNDBUF, SEND_OCTETS)
    except BaseException:
        made.close()
        raise
    return made.detach()


def open_host(version: Version, netns: str) -> int:
    """Return the fd of a raw socket by which the host sends what is written to it."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    what = f"IPv{version}"
    with _asking(what), inside(netns or None):
        made = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_RAW)
    try:
        with _asking(what):
            if version == 4:
                made.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
            else:
                made.setsockopt(socket.IPPROTO_IPV6, IPV6_HDRINCL, 1)
        _enlarge(made, SO_SNDBUFFORCE, socket.SO_SNDBUF, SEND_OCTETS)
    except BaseException:
        made.close()
        raise
    return made.detach()


def join_solicited(host: int, address: IPv6Address, ifindex: int) -> None:
    """Have questions for an IPv6 address come in by an interface, as long as the socket is there.

    The raw socket receives nothing of it, but the interface then listens to the group, and says so
    to switches that ask (RFC 3810). Joined already, or gone: no error.
    """
    _change_group(host, socket.IPV6_JOIN_GROUP, address, ifindex)


def leave_solicited(host: int, address: IPv6Address, ifindex: int) -> None:
    """Listen to these questions no longer; where nobody did, that is no error."""
    _change_group(host, socket.IPV6_LEAVE_GROUP, address, ifindex)


def _change_group(host: int, option: int, address: IPv6Address, ifindex: int) -> None:
    group = IPv6Address(SOLICITED_NODE | int(address) & 0xFF_FFFF)
    with _borrowed(host) as raw, contextlib.suppress(OSError):
        raw.setsockopt(socket.IPPROTO_IPV6, option, group.packed + pack("@i", ifindex))


@contextlib.contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """Yield a socket object for a descriptor that stays its owner's."""
    borrowed = socket.socket(fileno=os.dup(fd))
    try:
        yield borrowed
    finally:
        borrowed.close()


def _enlarge(made: socket.socket, force: int, option: int, octets: int) -> None:
    """Give a socket room for so much; without the right to, as much as the host lets anybody."""
    try:
        made.setsockopt(socket.SOL_SOCKET, force, octets)
    except PermissionError:  # of the first user namespace alone
        made.setsockopt(socket.SOL_SOCKET, option, octets)


@contextlib.contextmanager
def _asking(what: str) -> Iterator[None]:
    """Turn the kernel's refusal of a packet or raw socket into an exception of natlb's."""
    try:
        yield
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, str(error.errno))
        message = f"no packet socket for {what}: {reason}, {os.strerror(error.errno or 0)}"
        if error.errno in (errno.EPERM, errno.EACCES):
            raise DeniedError(f"need CAP_NET_RAW: {message}", fix="sudo natlb …") from error
        raise HostError(message, fix="datapath: {driver: tun}") from error
