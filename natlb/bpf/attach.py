"""Programs onto sockets and TUN devices: filters, fanout groups, the choice of a queue.

Both classic programs go onto sockets of the caller's own and need no right. A TUN device takes an
extended one, which needs CAP_BPF to load (`system.py`) and CAP_NET_ADMIN to attach.
"""

from __future__ import annotations

import ctypes
import errno
import socket
from contextlib import contextmanager
from fcntl import ioctl
from struct import pack
from typing import TYPE_CHECKING

from natlb.errors import DeniedError, HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.errors import NatlbError

INSTRUCTION_OCTETS = 8

SO_ATTACH_FILTER = 26  # Linux: asm-generic/socket.h

# The numbers of if_packet.h in Linux
SOL_PACKET, PACKET_FANOUT, PACKET_FANOUT_DATA = 263, 18, 22
FANOUT_BY_CLASSIC_PROGRAM = 6

TUNSETSTEERINGEBPF = 0x800454E0  # Linux: if_tun.h; the type of what is pointed to is int
NO_PROGRAM = -1


def attach_filter(socket_fd: int, program: bytes) -> None:
    """Let into a socket what the program accepts, from now on; what waits in it already stays.

    In place of the filter it had, at once. HostError where the kernel refuses.
    """
    with _borrowed(socket_fd) as owner, _program_of(program) as place:
        try:
            owner.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, place)
        except OSError as error:
            raise explain_filter(error.errno or 0, len(program)) from error


def explain_filter(reason: int, octets: int) -> NatlbError:
    """Return why a filter was refused, and the mend."""
    lines = f"{octets // INSTRUCTION_OCTETS:,} instructions"
    call = f"setsockopt(SO_ATTACH_FILTER) of {lines} failed: {errno.errorcode.get(reason, reason)}"
    if reason == errno.ENOMEM:
        fix = "sysctl -w net.core.optmem_max=131072; or driver: tun"
        return HostError(f"{call}: more than net.core.optmem_max lets a socket hold", fix=fix)
    if reason == errno.EPERM:
        return DeniedError(f"{call}: the socket's filter is locked", fix="driver: tun")
    return HostError(call, fix="driver: tun")


def join_fanout(socket_fd: int, group: int, program: bytes) -> None:
    """Make a bound packet socket the next of a group in which the program says who gets a packet.

    The first to join is number 0, the next 1, and so on. A socket that is closed for good (its
    last descriptor) leaves, and the last of the group gets its number: keep a copy of each as long
    as there is a group. All are bound to one interface and protocol. HostError where the kernel
    refuses.
    """
    with _borrowed(socket_fd) as owner, _program_of(program) as place:
        try:
            owner.setsockopt(SOL_PACKET, PACKET_FANOUT, group | FANOUT_BY_CLASSIC_PROGRAM << 16)
            owner.setsockopt(SOL_PACKET, PACKET_FANOUT_DATA, place)
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, error.errno)
            message = f"setsockopt(PACKET_FANOUT) for group {group} failed: {reason}"
            raise HostError(message, fix="workers: 1; or driver: tun") from error


def steer_fanout(socket_fd: int, program: bytes) -> None:
    """Put another program in the place of the one of the group that this socket is in, at once."""
    with _borrowed(socket_fd) as owner, _program_of(program) as place:
        try:
            owner.setsockopt(SOL_PACKET, PACKET_FANOUT_DATA, place)
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, error.errno)
            message = f"setsockopt(PACKET_FANOUT_DATA) failed: {reason}"
            raise HostError(message, fix="workers: 1; or driver: tun") from error


def attach_tun_steering(tun_fd: int, program_fd: int) -> None:
    """Let a program choose the queue for each packet that a TUN device gets; NO_PROGRAM: none.

    It is asked for all queues of the device, and stays until another takes its place or the device
    goes; its descriptor may be closed. The device must have been made with IFF_MULTI_QUEUE.
    """
    try:
        ioctl(tun_fd, TUNSETSTEERINGEBPF, pack("i", program_fd))
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, error.errno)
        raise HostError(f"ioctl(TUNSETSTEERINGEBPF) failed: {reason}", fix="workers: 1") from error


@contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    """Yield a socket object for a descriptor that stays its owner's."""
    borrowed = socket.socket(fileno=descriptor)
    try:
        yield borrowed
    finally:
        borrowed.detach()


@contextmanager
def _program_of(program: bytes) -> Iterator[bytes]:
    """Yield a `struct sock_fprog` that points to the program as long as it lasts."""
    memory = ctypes.create_string_buffer(program, len(program))
    yield pack("@HP", len(program) // INSTRUCTION_OCTETS, ctypes.addressof(memory))
