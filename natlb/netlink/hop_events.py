"""What the kernel says of the ways that packets go: neighbours as they are, the rest as a hint.

A neighbour's message says all there is to know of it, and there may be hundreds a second. Of
links, addresses, routes and rules only that something changed is taken: some go without a word
(routes of a link that went down), so they are read again.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import NamedTuple

from natlb.netlink.asking import messages
from natlb.netlink.events import LARGEST_MESSAGE, RECEIVE_BUFFER_FORCE, RECEIVE_OCTETS
from natlb.netlink.forwarding import (
    DELETE_NEIGHBOUR,
    NEW_NEIGHBOUR,
    HopNeighbour,
    parse_neighbour,
)
from natlb.netlink.namespace import inside, refuse

# Linux: rtnetlink.h, RTNLGRP_*: link, neighbour; IPv4 address, route, rule; of IPv6 address, route,
# link and rule.
GROUPS = (1, 3, 5, 7, 8, 9, 11, 12, 19)
MOST_A_READ = 4096


class Heard(NamedTuple):
    """Neighbours that changed; `others`: so did something else; `is_torn`: some was lost."""

    neighbours: list[HopNeighbour]
    others: bool = False
    is_torn: bool = False


class HopEvents:
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

    def read(self) -> Heard:
        """Return what was said since the last time."""
        neighbours: list[HopNeighbour] = []
        others = False
        for _ in range(MOST_A_READ):
            try:
                octets, (sender, _groups) = self._socket.recvfrom(LARGEST_MESSAGE)
            except BlockingIOError:
                return Heard(neighbours, others)
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return Heard([], others=True, is_torn=True)
                raise refuse("cannot listen to the kernel", error.errno or 0) from error
            if sender != 0:  # not the kernel itself
                continue
            for said in messages(octets):
                found = parse_neighbour(said)
                if found is not None:
                    neighbours.append(found)
                others |= said.kind not in (NEW_NEIGHBOUR, DELETE_NEIGHBOUR)
        return Heard(neighbours, others)

    def close(self) -> None:
        """Listen no longer."""
        self._socket.close()
