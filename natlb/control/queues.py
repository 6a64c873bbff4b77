"""The ways in and out of the packet path as fds, whoever holds them."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from natlb.control.roles import NUMBER_SHIFT, Role
from natlb.io.ports import Port, PortKind

if TYPE_CHECKING:
    from natlb.control.holdings import Holdings
    from natlb.control.messages import Hold

SIDES = (Role.QUEUE_PUBLIC, Role.QUEUE_PRIVATE)
OUTPUTS = (Role.OUTPUT_PUBLIC, Role.OUTPUT_PRIVATE)
WAYS_IN = (*SIDES, Role.LINK, Role.XSK)
PORTS = (*WAYS_IN, *OUTPUTS, Role.HOST)
WAYS = (*PORTS, Role.XSK_MEMORY)  # all that a worker needs besides memory

Way = tuple["Hold", int]
"""A way in or out, and what it is; whoever is given one owns its fd."""

SIDE_SHIFT, NUMBER_VALUE_SHIFT = 32, 40
OCTET, WORD = 0xFF, 0xFFFFFFFF


def place_index(worker: int, number: int) -> int:
    """Return the index of a `Hold`: what a worker has several of, by their numbers."""
    return number << NUMBER_SHIFT | worker


def worker_of(index: int) -> int:
    """Return whose this index is."""
    return index % (1 << NUMBER_SHIFT)


def place_value(side: int, ifindex: int = 0, number: int = 0) -> int:
    """Return the value of a `Hold`: `number` as in a `Port`."""
    return number << NUMBER_VALUE_SHIFT | side << SIDE_SHIFT | ifindex


def ports_of(held: Holdings) -> list[Port]:
    """Return a worker's ports, of all that it holds."""
    return [_port(held, said, fd) for said, fd in held if said.role in PORTS]


def _port(held: Holdings, said: Hold, fd: int) -> Port:
    number = said.value >> NUMBER_VALUE_SHIFT
    if said.role in SIDES:
        return Port(PortKind.TUN, SIDES.index(said.role), fd)
    if said.role in OUTPUTS:
        return Port(PortKind.OUTPUT, OUTPUTS.index(said.role), fd, number=number)
    side = said.value >> SIDE_SHIFT & OCTET
    if said.role is Role.HOST:
        return Port(PortKind.HOST, side, fd, number=number)
    ifindex = said.value & WORD
    if said.role is Role.LINK:
        return Port(PortKind.LINK, side, fd, ifindex=ifindex)
    memory = held.get(Role.XSK_MEMORY, said.index)
    return Port(PortKind.XSK, side, fd, ifindex, number, -1 if memory is None else memory.fd)


def has_ways_in(held: Holdings, worker: int) -> bool:
    """Return whether a worker would get packets: from both TUN devices, or from interfaces."""
    roles = {said.role for said, _ in held if worker_of(said.index) == worker}
    return roles >= set(SIDES) or Role.LINK in roles or Role.XSK in roles


def is_lost(way: int) -> bool:
    """Return whether the device behind a way in is gone: its poll says POLLERR for ever."""
    poll = select.poll()
    poll.register(way, 0)
    return any(seen & (select.POLLERR | select.POLLNVAL) for _, seen in poll.poll(0))
