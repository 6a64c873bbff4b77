"""A dump of the kernel's tables, message by message, as octets: pyroute2 takes a hundred times.

The reader stops when it has enough: whoever asks for a million routes and finds that the first
thousands are too many already pays for those alone.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from natlb.netlink.events import ATTRIBUTE, MESSAGE
from natlb.netlink.namespace import inside, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUTE, NETFILTER, XFRM = socket.NETLINK_ROUTE, 12, 6  # Linux: netlink.h
ERROR, DONE = 2, 3  # Linux: netlink.h
REQUEST, DUMP = 0x1, 0x300  # Linux: netlink.h, NLM_F_REQUEST, NLM_F_DUMP
INTERRUPTED = 0x10  # Linux: netlink.h, NLM_F_DUMP_INTR: it changed while it was read
SOL_NETLINK, STRICT = 270, 12  # Linux: netlink.h, NETLINK_GET_STRICT_CHK
PIECE = 1 << 17
SECONDS = 10.0
TYPE = 0x3FFF  # Linux: netlink.h, NLA_TYPE_MASK


class Said(NamedTuple):
    """A message: what kind it is, whether the dump it is of was torn, and what follows its head."""

    kind: int
    is_torn: bool
    body: bytes


def dump(protocol: int, kind: int, body: bytes, netns: str | None = None) -> Iterator[Said]:
    """Yield the messages of a dump in the namespace `netns`, or in this thread's own.

    Raises KernelError or DeniedError where the kernel refuses; a kernel that has no such protocol
    refuses with EPROTONOSUPPORT.
    """
    request = MESSAGE.pack(MESSAGE.size + len(body), kind, REQUEST | DUMP, 1, 0) + body
    try:
        with inside(netns):
            asking = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        with asking:
            asking.settimeout(SECONDS)
            with contextlib.suppress(OSError):  # older than 4.20: it heeds less of the request
                asking.setsockopt(SOL_NETLINK, STRICT, 1)
            asking.send(request)
            yield from _answer(asking)
    except OSError as error:
        raise refuse("cannot read the kernel's tables", error.errno or 0) from error


def _answer(asking: socket.socket) -> Iterator[Said]:
    while True:
        for said in messages(asking.recv(PIECE)):
            if said.kind == ERROR:
                (code,) = struct.unpack_from("=i", said.body)
                raise OSError(-code, os.strerror(-code))
            if said.kind == DONE:
                return
            yield said


def messages(octets: bytes) -> Iterator[Said]:
    """Yield the messages in these octets; what is cut off is passed over."""
    at = 0
    while at + MESSAGE.size <= len(octets):
        length, kind, flags, _, _ = MESSAGE.unpack_from(octets, at)
        if length < MESSAGE.size:
            return
        yield Said(kind, bool(flags & INTERRUPTED), octets[at + MESSAGE.size : at + length])
        at += length + 3 & ~3


def attributes(octets: bytes, at: int) -> dict[int, bytes]:
    """Return the attributes from `at` on, by their types; of several of a type the last."""
    found = {}
    end = len(octets) - ATTRIBUTE.size
    while at <= end:
        size, kind = ATTRIBUTE.unpack_from(octets, at)
        if size < ATTRIBUTE.size:
            break
        found[kind & TYPE] = octets[at + ATTRIBUTE.size : at + size]
        at += size + 3 & ~3
    return found
