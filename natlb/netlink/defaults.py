"""The default routes of a namespace, found among however many routes it has.

The kernel cannot be asked for them alone, and a router may have a million others: of each message
of the dump two octets are looked at, and only a default route is read. pyroute2 unpacks them all,
which takes a hundred times longer.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Literal, NamedTuple

from natlb.netlink.events import ATTRIBUTE, MESSAGE, NUMBER, ROUTE
from natlb.netlink.namespace import inside, refuse
from natlb.netlink.values import MAIN_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
GET_ROUTE, NEW_ROUTE, ERROR, DONE = 26, 24, 2, 3  # Linux: rtnetlink.h, netlink.h
REQUEST_DUMP = 0x301  # Linux: netlink.h, NLM_F_REQUEST | NLM_F_DUMP
STRICT = 12  # Linux: netlink.h, NETLINK_GET_STRICT_CHK: the kernel heeds the table asked for
RTA_OIF, RTA_PRIORITY, RTA_TABLE = 4, 6, 15
UNICAST = 1  # Linux: rtnetlink.h, RTN_UNICAST
LENGTH_AT = MESSAGE.size + 1  # of the destination's prefix
PIECE = 1 << 17
SECONDS = 10.0


class Default(NamedTuple):
    """A default route that leads somewhere, by the device of this index; None: by several."""

    device: int | None
    metric: int


def default_routes(version: Literal[4, 6], netns: str | None = None) -> list[Default]:
    """Return the unicast default routes of the table `main`, in the kernel's order."""
    head = ROUTE.pack(FAMILIES[version], 0, 0, 0, 0, 0, 0, 0, 0)
    body = head + ATTRIBUTE.pack(8, RTA_TABLE) + NUMBER.pack(MAIN_TABLE)
    request = MESSAGE.pack(MESSAGE.size + len(body), GET_ROUTE, REQUEST_DUMP, 1, 0) + body
    with inside(netns):
        asking = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    with asking:
        asking.settimeout(SECONDS)
        with contextlib.suppress(OSError):  # older than 4.20: it gives all tables
            asking.setsockopt(270, STRICT, 1)  # Linux: socket.h, SOL_NETLINK
        try:
            asking.send(request)
            return [each for piece in _pieces(asking) for each in parse(piece)]
        except OSError as error:
            raise refuse("cannot list routes", error.errno or 0) from error


def _pieces(asking: socket.socket) -> Iterator[bytes]:
    """Yield what the kernel answers, to the end."""
    while True:
        piece = asking.recv(PIECE)
        yield piece
        if _ends(piece):
            return


def _ends(piece: bytes) -> bool:
    """Return whether the answer ends in this piece; raise OSError where it is a refusal."""
    at = 0
    while at + MESSAGE.size <= len(piece):
        length, kind = struct.unpack_from("=IH", piece, at)
        if kind == ERROR:
            (code,) = struct.unpack_from("=i", piece, at + MESSAGE.size)
            if code:
                raise OSError(-code, "refused")
        if kind in (ERROR, DONE) or length < MESSAGE.size:
            return True
        at += length + 3 & ~3
    return False


def parse(piece: bytes) -> Iterator[Default]:
    """Yield the default routes among these messages."""
    at = 0
    while at + MESSAGE.size + ROUTE.size <= len(piece):
        length, kind = struct.unpack_from("=IH", piece, at)
        if length < MESSAGE.size:
            return
        if kind == NEW_ROUTE and piece[at + LENGTH_AT] == 0:
            yield from _read(piece[at + MESSAGE.size : at + length])
        at += length + 3 & ~3


def _read(body: bytes) -> Iterator[Default]:
    fields = ROUTE.unpack_from(body)
    table, route_type = fields[4], fields[7]
    found: dict[int, int] = {RTA_TABLE: table}
    at = ROUTE.size
    while at + ATTRIBUTE.size <= len(body):
        size, kind = ATTRIBUTE.unpack_from(body, at)
        if size < ATTRIBUTE.size:
            break
        if size == ATTRIBUTE.size + NUMBER.size:
            (found[kind],) = NUMBER.unpack_from(body, at + ATTRIBUTE.size)
        at += size + 3 & ~3
    if route_type == UNICAST and found[RTA_TABLE] == MAIN_TABLE:
        yield Default(found.get(RTA_OIF), found.get(RTA_PRIORITY, 0))
