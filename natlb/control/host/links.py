"""The sockets that driver `packet` receives by, kept as the plan and the host's interfaces are.

Each worker has one for each interface of each side; several workers' on one interface are a group
in which a program says whose a packet is. They are known by side and interface number: one that
was deleted and made again under its name has another number, and gets a new socket. What a socket
lets in follows the plan, in the socket that is there: no packet is lost or seen twice.

    missing interface     its old socket stays and is silent, until the interface is there again
    interface given up    its socket lets nothing in any more
"""

from __future__ import annotations

import os
import socket
from ipaddress import IPv6Address
from itertools import count
from typing import TYPE_CHECKING

from natlb.bpf.attach import attach_filter, join_fanout, steer_fanout
from natlb.bpf.filters import private_filter, public_filter
from natlb.bpf.steering import fanout_program
from natlb.control.host.packet_sockets import (
    NOTHING,
    join_solicited,
    leave_solicited,
    open_host,
    open_link,
    open_output,
)
from natlb.control.host.plan import VERSIONS
from natlb.control.host.rules import has_closed_private
from natlb.control.messages import Hold
from natlb.control.queues import OUTPUTS, SIDE_SHIFT, place_index, place_value, worker_of
from natlb.control.roles import Role
from natlb.io.ports import SHUT_4, SHUT_6
from natlb.netlink import inside
from natlb.netlink.forwarding import FAMILY_OF, number_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from natlb.control.host.plan import HostPlan, Side
    from natlb.control.queues import Way
    from natlb.netlink.values import Address, Proxy

PUBLIC, PRIVATE = 0, 1
GROUPS = 0x4E00  # where the numbers of fanout groups begin: other programs use small ones

Place = tuple[int, str]
"""A side, and the name of an interface of it."""


def sides(plan: HostPlan) -> list[tuple[int, Side]]:
    """Return both sides with their numbers."""
    return [(PUBLIC, plan.public), (PRIVATE, plan.private)]


def filters_of(plan: HostPlan) -> dict[Place, bytes]:
    """Return what each socket lets in, none for other drivers.

    HostError where there are more addresses than fit into a filter.
    """
    if plan.driver != "packet":
        return {}
    names = [[device.name for device in side.devices] for _, side in sides(plan)]
    both = set(names[PUBLIC]) & set(names[PRIVATE]) if plan.together else set()
    found = {}
    for name in names[PUBLIC]:
        # One socket of an interface answers for all that is asked there.
        answered = _answered(plan.proxies, name)
        answered += _answered(plan.private_proxies, name) if name in both else []
        beside = plan.backends if name in both else ()
        found[PUBLIC, name] = public_filter(plan.vips, answered, beside)
    for name in names[PRIVATE]:
        answered = [] if name in both else _answered(plan.private_proxies, name)
        vips, beside = ((), plan.vips) if name in both else (plan.vips, ())
        found[PRIVATE, name] = private_filter(
            plan.backends, vips, plan.sources, answered, plan.own, beside
        )
    return found


def _answered(proxies: tuple[Proxy, ...], name: str) -> list[Address]:
    return [proxy.address for proxy in proxies if proxy.dev == name]


class Links:
    """Which sockets there are is for their holder to know; this knows what they were told."""

    def __init__(self) -> None:
        """Have told nothing."""
        self._plan: HostPlan | None = None
        self._programs: dict[Place, bytes] = {}
        self._filters: dict[tuple[int, int], bytes] = {}
        self._groups: set[tuple[int, IPv6Address, int]] = set()

    def renew(self, plan: HostPlan, held: Sequence[Way]) -> list[Way]:
        """Have the sockets that are held let in what the plan says, and return those to be added.

        One of them may take the place of one that is held. Raises what `open_link` does, and
        `filters_of`, with nothing added.
        """
        if plan != self._plan:
            self._programs = filters_of(plan)
        filters, values = self._programs, _values(plan, self._programs)
        links = [way for way in held if way[0].role is Role.LINK]
        new: list[Way] = []
        try:
            new.extend(_missing_links(plan, values, links))
            self._let_in({values[place]: filters[place] for place in values}, links, new)
            new.extend(_missing_ways_out(plan, held) if filters else ())
            self._steer(plan, values, links)
        except BaseException:
            for _, fd in new:
                os.close(fd)
            raise
        self._listen(plan, [*held, *new])
        self._plan = plan
        return new

    def _steer(self, plan: HostPlan, values: dict[Place, int], held: Sequence[Way]) -> None:
        """Have the packets of each group that is there go where the plan's addresses say."""
        if plan.workers == 1 or plan == self._plan:
            return
        for (side, _), value in values.items():
            for fd in [fd for said, fd in held if said.value == value][:1]:
                steer_fanout(fd, _steering(plan, side))

    def _let_in(self, filters: dict[int, bytes], held: Sequence[Way], new: Sequence[Way]) -> None:
        """Give each socket the filter it is to have, by its value, where it has another one."""
        replaced = {said.index for said, _ in new}
        for said, fd in [*(way for way in held if way[0].index not in replaced), *new]:
            program, key = filters.get(said.value, NOTHING), (said.index, said.value)
            if (said, fd) in new or self._filters.get(key) != program:
                attach_filter(fd, program)
                self._filters[key] = program

    def _listen(self, plan: HostPlan, held: Sequence[Way]) -> None:
        """Have neighbours' questions for IPv6 addresses come in, and no others any more."""
        wanted = set(_solicited(plan))
        for side, _ in sides(plan):
            value = place_value(side, number=6)
            host = next((fd for s, fd in held if (s.role, s.value) == (Role.HOST, value)), None)
            if host is not None:
                for change, groups in (
                    (join_solicited, wanted - self._groups),
                    (leave_solicited, self._groups - wanted),
                ):
                    for _, address, ifindex in (each for each in groups if each[0] == side):
                        change(host, address, ifindex)
        self._groups = wanted


def _values(plan: HostPlan, places: Iterable[Place]) -> dict[Place, int]:
    """Return what tells the sockets of each interface that is there."""
    numbers = {place: _number(plan, place) for place in places}
    return {place: place_value(place[0], each) for place, each in numbers.items() if each}


def _number(plan: HostPlan, place: Place) -> int | None:
    """Return the number of an interface; None while there is none of its name."""
    side, name = place
    try:
        with inside(sides(plan)[side][1].netns or None):
            return socket.if_nametoindex(name)
    except OSError:
        return None


def _missing_links(plan: HostPlan, values: dict[Place, int], held: Sequence[Way]) -> Iterator[Way]:
    """Yield a new socket for each worker and interface that has none; several are a group.

    It takes the place of one whose interface is not there any more, if there is such a one.
    """
    known = {(worker_of(said.index), said.value) for said, _ in held}
    kept = {said.index for said, _ in held if said.value in values.values()}
    for (side, name), value in values.items():
        for worker in range(plan.workers):
            if (worker, value) in known:
                continue
            index = next(i for n in count() if (i := place_index(worker, n)) not in kept)
            kept.add(index)
            fd = open_link(name, sides(plan)[side][1].netns)
            yield Hold(role=Role.LINK, index=index, value=value), fd
            if plan.workers > 1:
                join_fanout(fd, _group(value), _steering(plan, side))


def _group(value: int) -> int:
    """Return the number of an interface's group, another one for each side."""
    return (GROUPS + (value << 1) + (value >> SIDE_SHIFT)) & 0xFFFF


def _steering(plan: HostPlan, side: int) -> bytes:
    return fanout_program(side, plan.workers, plan.vips, plan.sources)


def shut(plan: HostPlan) -> int:
    """Return of which IP versions nothing of the backends' own may leave, since nothing did before.

    As `closing` has it for the TUN: where a private interface forwarded nothing, and from one
    namespace to another always.
    """
    closed = [not plan.together or has_closed_private(plan, version) for version in VERSIONS]
    return SHUT_4 * closed[0] | SHUT_6 * closed[1]


def _missing_ways_out(plan: HostPlan, held: Sequence[Way]) -> Iterator[Way]:
    """Yield what a worker lacks of a socket to send by on each side, and raw ones by IP version."""
    known = {(said.index, said.value) for said, _ in held if said.role is Role.HOST}
    sending = {(said.role, said.index) for said, _ in held}
    for side, stands in sides(plan):
        for worker in range(plan.workers):
            if (OUTPUTS[side], worker) not in sending:
                value = place_value(side, number=shut(plan))
                yield Hold(role=OUTPUTS[side], index=worker, value=value), open_output(stands.netns)
        for version in VERSIONS if plan.has_ipv6 else (VERSIONS[0],):
            for worker in range(plan.workers):
                index = place_index(worker, side * len(VERSIONS) + VERSIONS.index(version))
                value = place_value(side, number=version)
                if (index, value) not in known:
                    said = Hold(role=Role.HOST, index=index, value=value)
                    yield said, open_host(version, stands.netns)


def answered_by(plan: HostPlan) -> list[tuple[int, int]]:
    """Return the addresses, as 128 bits, that natlb itself answers for, with the interfaces.

    Where interfaces of both sides have one number, in two namespaces, a question is let in by the
    filters of the right ones alone.
    """
    if plan.driver != "packet":
        return []
    return [
        (number_of(FAMILY_OF[proxy.address.version], proxy.address.packed), ifindex)
        for side, proxies in ((PUBLIC, plan.proxies), (PRIVATE, plan.private_proxies))
        for proxy in proxies
        if (ifindex := _number(plan, (side, proxy.dev))) is not None
    ]


def _solicited(plan: HostPlan) -> Iterator[tuple[int, IPv6Address, int]]:
    """Yield for which addresses, and where, neighbours ask by groups: side, address, interface."""
    if plan.driver != "packet":
        return
    for side, proxies in ((PUBLIC, plan.proxies), (PRIVATE, plan.private_proxies)):
        for proxy in proxies:
            ifindex = _number(plan, (side, proxy.dev))
            if isinstance(proxy.address, IPv6Address) and ifindex is not None:
                yield side, proxy.address, ifindex
