"""What the kernel says of its own accord: that a link, an address, a route or a rule changed.

A plain socket, so that it can stand in a loop beside others. What is said is a hint to look, never
the truth itself: a reader that was too slow has lost some of it, and is told no more than that.

A router with a full table changes thousands of routes a second, so a message is not unpacked
further than to tell whether it matters; pyroute2 takes a hundred times longer over one.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from typing import TYPE_CHECKING, Literal, NamedTuple

from natlb.netlink.namespace import inside, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["link", "address", "route", "rule", "switch"]

# Linux: rtnetlink.h, RTNLGRP_*: link; IPv4 address, route, rule; the same of IPv6; and the
# switches of an interface that the kernel tells of (forwarding, rp_filter, proxy_neigh).
GROUPS = (1, 5, 7, 8, 9, 11, 19, 24, 25)
MESSAGE = struct.Struct("=IHHII")  # Linux: netlink.h, struct nlmsghdr
ROUTE = struct.Struct("=BBBBBBBBI")  # Linux: rtnetlink.h, struct rtmsg
ATTRIBUTE = struct.Struct("=HH")  # Linux: netlink.h, struct nlattr
NUMBER = struct.Struct("=I")
KINDS: dict[int, Kind] = {
    **dict.fromkeys((16, 17), "link"),
    **dict.fromkeys((20, 21), "address"),
    **dict.fromkeys((24, 25), "route"),
    **dict.fromkeys((32, 33), "rule"),
    **dict.fromkeys((80, 81), "switch"),
}  # Linux: rtnetlink.h, RTM_NEW… and RTM_DEL…
RTA_DST, RTA_TABLE = 1, 15
CLONED = 0x200  # Linux: rtnetlink.h, RTM_F_CLONED: what the kernel learned of one destination
VERSIONS = {socket.AF_INET: 4, socket.AF_INET6: 6}

RECEIVE_OCTETS = 1 << 20  # about 1,300 routes, asked for; the host may grant less
RECEIVE_BUFFER_FORCE = 33  # Linux: asm-generic/socket.h, SO_RCVBUFFORCE
LARGEST_MESSAGE = 1 << 16
MOST_A_READ = 4096


class Change(NamedTuple):
    """That something changed; of a route also which: its table, who made it, where it leads."""

    kind: Kind
    version: int = 0
    table: int = 0
    protocol: int = 0
    length: int = 0
    destination: int = 0


class Events:
    """What happens in one namespace from now on."""

    def __init__(self, netns: str | None = None) -> None:
        """Listen in the namespace `netns`, or in this thread's own."""
        with inside(netns):
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
            )
        with contextlib.suppress(OSError):  # not in a user namespace: some more is lost there
            self._socket.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER_FORCE, RECEIVE_OCTETS)
        try:
            self._socket.bind((0, sum(1 << (group - 1) for group in GROUPS)))
        except OSError as error:
            self._socket.close()
            raise refuse("cannot listen to the kernel", error.errno or 0) from error

    def fileno(self) -> int:
        """Return the descriptor, readable when there is something to read."""
        return self._socket.fileno()

    def read(self) -> list[Change] | None:
        """Return what was said since the last time; None where some was lost, or is too much."""
        found: list[Change] = []
        for _ in range(MOST_A_READ):
            try:
                octets, (sender, _groups) = self._socket.recvfrom(LARGEST_MESSAGE)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return None
                raise refuse("cannot listen to the kernel", error.errno or 0) from error
            if sender == 0:  # the kernel itself
                found += parse(octets)
        return None

    def close(self) -> None:
        """Listen no longer."""
        self._socket.close()


def parse(octets: bytes) -> Iterator[Change]:
    """Yield what the messages in these octets tell of; what is not understood is passed over."""
    at = 0
    while at + MESSAGE.size <= len(octets):
        length, kind_number, _flags, _sequence, _port = MESSAGE.unpack_from(octets, at)
        if length < MESSAGE.size:
            return
        kind = KINDS.get(kind_number)
        if kind == "route":
            yield from _parse_route(octets[at + MESSAGE.size : at + length])
        elif kind is not None:
            yield Change(kind)
        at += length + 3 & ~3


def _parse_route(octets: bytes) -> Iterator[Change]:
    if len(octets) < ROUTE.size:
        return
    family, length, _, _, table, protocol, _, _, flags = ROUTE.unpack_from(octets)
    if flags & CLONED or family not in VERSIONS:
        return
    destination, at = 0, ROUTE.size
    while at + ATTRIBUTE.size <= len(octets):
        size, kind = ATTRIBUTE.unpack_from(octets, at)
        if size < ATTRIBUTE.size:
            break
        value = octets[at + ATTRIBUTE.size : at + size]
        if kind == RTA_DST:
            destination = int.from_bytes(value)
        elif kind == RTA_TABLE and len(value) == NUMBER.size:
            (table,) = NUMBER.unpack(value)
        at += size + 3 & ~3
    yield Change("route", VERSIONS[family], table, protocol, length, destination)
