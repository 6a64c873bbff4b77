"""What the kernel forwards by, as numbers: links, routes, rules, neighbours.

A host may have many thousands of each, and they are read again at every change: octets are read
no further than it takes to tell where a packet goes, and nothing here makes an address object.
An address is 128 bits, IPv4 as ::ffff:a.b.c.d, and its prefix lengths are from 96 on.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple

from natlb.netlink.asking import ROUTE as ROUTE_PROTOCOL
from natlb.netlink.asking import Said, attributes, dump

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

MAPPED = 0xFFFF << 32  # RFC 4291, section 2.5.5.2
FAMILIES: dict[int, tuple[int, int]] = {socket.AF_INET: (MAPPED, 96), socket.AF_INET6: (0, 0)}
FAMILY_OF = {4: socket.AF_INET, 6: socket.AF_INET6}

NEW_LINK, GET_LINK = 16, 18  # Linux: rtnetlink.h, RTM_*; and so on
NEW_ROUTE, GET_ROUTE = 24, 26
NEW_NEIGHBOUR, DELETE_NEIGHBOUR, GET_NEIGHBOUR = 28, 29, 30
NEW_RULE, GET_RULE = 32, 34

LINK = struct.Struct("=BBHiII")  # Linux: rtnetlink.h, struct ifinfomsg
ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg
NEIGHBOUR = struct.Struct("=BBHiHBB")  # Linux: neighbour.h, struct ndmsg
RULE = struct.Struct("=BBBBBBBBI")  # Linux: fib_rules.h, struct fib_rule_hdr
NUMBER = struct.Struct("=I")

ETHERNET = 1  # Linux: if_arp.h, ARPHRD_ETHER
UP, LOOPBACK, POINT_TO_POINT, NO_ARP, CARRIER = 0x1, 0x8, 0x10, 0x80, 0x10000  # Linux: if.h
IFLA_ADDRESS, IFLA_NAME, IFLA_MTU, IFLA_QDISC, IFLA_MASTER = 1, 3, 4, 6, 10  # Linux: if_link.h
IFLA_LINKINFO, IFLA_FAMILIES, INFO_KIND, INET6_CONF, CONF_MTU6 = 18, 26, 1, 2, 2
IFLA_LINK, INFO_VALUES, VLAN_ID, VLAN_BITS = 5, 2, 1, 12

RTA_DST, RTA_SRC, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_METRICS = 1, 2, 4, 5, 6, 8
RTA_MULTIPATH, RTA_TABLE, RTA_VIA, RTA_ENCAP, RTA_NEXT_HOP = 9, 15, 18, 22, 30
NOT_FOLLOWED = {RTA_MULTIPATH, RTA_VIA, RTA_ENCAP, RTA_NEXT_HOP}
RTAX_MTU = 2
UNICAST, UNSURE = 1, 0x31  # RTN_UNICAST; RTNH_F_DEAD, RTNH_F_LINKDOWN and RTNH_F_UNRESOLVED
CLONED = 0x200
NEVER_ASKED = -1  # a metric before all others

NDA_DST, NDA_MAC, NDA_PROTOCOL, NDA_FLAGS = 1, 2, 12, 15
VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80  # REACHABLE STALE DELAY PROBE NOARP PERMANENT
PROXY = 0x08  # NTF_PROXY: no neighbour, but whom the host answers for
PERMANENT, MANAGED = 0x80, 0x1  # NUD_PERMANENT, NTF_EXT_MANAGED

# Linux: fib_rules.h, FRA_*: what says whom a rule is for, where it leads, and what says neither.
FRA_DST, FRA_IIF, FRA_PRIORITY, FRA_TABLE, FRA_OIF, FRA_PAD, FRA_PROTOCOL = 1, 3, 6, 15, 17, 18, 21
SILENT = {FRA_DST, FRA_IIF, FRA_PRIORITY, FRA_TABLE, FRA_OIF, FRA_PAD, FRA_PROTOCOL}
SUPPRESSED = {13, 14}  # FRA_SUPPRESS_IFGROUP and FRA_SUPPRESS_PREFIXLEN: said though nothing is
INVERTED = 2
LOOKUP = 1  # FR_ACT_TO_TBL
NONE = b"\xff" * 4


class HopLink(NamedTuple):
    """An interface, by its index. `can_send`: Ethernet, up, with a carrier, its routes its own."""

    number: int
    name: str
    mtu: int
    mtu6: int
    mac: bytes
    can_send: bool
    queueing: str  # the name of what queues what it sends
    vlan: int = 0  # of a VLAN's interface: the index of the one below, and its number: << 12 |


class HopRoute(NamedTuple):
    """A route. `link` is 0 where natlb does not follow it; `gateway` 0: it is on the link."""

    table: int
    network: int
    length: int
    metric: int
    link: int
    gateway: int
    mtu: int  # 0: the link's


class HopRule(NamedTuple):
    """A policy rule: `network` and `length` where that is all it asks; `is_other`: it asks more."""

    action: int
    table: int
    protocol: int
    iif: str
    oif: str
    network: int
    length: int
    is_inverted: bool
    is_other: bool

    @property
    def asks_nothing(self) -> bool:
        """Whether it is for every packet."""
        return not (self.iif or self.oif or self.length or self.is_inverted or self.is_other)


class HopNeighbour(NamedTuple):
    """A neighbour's entry; no `mac`: it is not resolved, or there is none any more."""

    link: int
    address: int
    mac: bytes
    is_permanent: bool = False
    is_managed: bool = False
    protocol: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """What tells it from others."""
        return self.link, self.address


class TooManyError(Exception):
    """There are more than are asked for."""


def number_of(family: int, octets: bytes) -> int:
    """Return an address as 128 bits."""
    return FAMILIES[family][0] | int.from_bytes(octets)


def read_links(netns: str | None) -> dict[int, HopLink]:
    """Return the interfaces by index."""
    request = LINK.pack(0, 0, 0, 0, 0, 0)
    found = (
        parse_link(said.body)
        for said in dump(ROUTE_PROTOCOL, GET_LINK, request, netns)
        if said.kind == NEW_LINK
    )
    return {link.number: link for link in found}


def parse_link(body: bytes) -> HopLink:
    """Return what the message says."""
    _, _, kind, index, flags, _ = LINK.unpack_from(body)
    said = attributes(body, LINK.size)
    mtu, mac = _number(said, IFLA_MTU), said.get(IFLA_ADDRESS, b"")
    origin = attributes(said.get(IFLA_LINKINFO, b""), 0)
    made = origin.get(INFO_KIND, b"").rstrip(b"\0")
    shut = flags & (LOOPBACK | POINT_TO_POINT | NO_ARP) or not flags & UP or not flags & CARRIER
    is_apart = IFLA_MASTER in said or made == b"vrf"
    return HopLink(
        number=index,
        name=_text(said, IFLA_NAME),
        mtu=mtu,
        mtu6=_mtu6(said.get(IFLA_FAMILIES, b""), mtu),
        mac=mac,
        can_send=kind == ETHERNET and not shut and not is_apart and len(mac) == 6,
        queueing=_text(said, IFLA_QDISC),
        vlan=_vlan(said, origin) if made == b"vlan" else 0,
    )


def _vlan(said: dict[int, bytes], origin: dict[int, bytes]) -> int:
    """Return below which interface a VLAN's own stands, and the VLAN's number, as one number."""
    values = attributes(origin.get(INFO_VALUES, b""), 0)
    number = int.from_bytes(values.get(VLAN_ID, b"")[:2], sys.byteorder)
    return _number(said, IFLA_LINK) << VLAN_BITS | number


def _mtu6(families: bytes, mtu: int) -> int:
    """Return the largest IPv6 packet: a router may have advertised a smaller one."""
    inner = attributes(families, 0).get(socket.AF_INET6, b"")
    values = attributes(inner, 0).get(INET6_CONF, b"")
    if len(values) < 4 * (CONF_MTU6 + 1):
        return mtu
    (said,) = struct.unpack_from("=i", values, 4 * CONF_MTU6)
    return min(mtu, said) if said > 0 else mtu


class RouteReader:
    """Reads the routes of a namespace; what it has read before it knows by its octets."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[bytes, HopRoute | None] = {}

    def read(
        self, netns: str | None, version: Literal[4, 6], most: int
    ) -> tuple[list[HopRoute], bool]:
        """Return the routes of one IP version, and whether they changed meanwhile.

        Raises TooManyError where there are more than `most`.
        """
        request = ROUTE.pack(FAMILY_OF[version], 0, 0, 0, 0, 0, 0, 0, 0)
        routes, is_torn, known = [], False, self._known
        for said in dump(ROUTE_PROTOCOL, GET_ROUTE, request, netns):
            is_torn |= said.is_torn
            if said.kind != NEW_ROUTE:
                continue
            body = said.body
            route = known[body] if body in known else self._parse(body, most)
            if route is not None:
                routes.append(route)
                if len(routes) > most:
                    raise TooManyError
        return routes, is_torn

    def _parse(self, body: bytes, most: int) -> HopRoute | None:
        if len(self._known) > 4 * most:
            self._known.clear()
        route = self._known[body] = parse_route(body)
        return route


def parse_route(body: bytes) -> HopRoute | None:
    """Return what the message says; None where it is nobody's route but a cached answer."""
    family, length, source_length, tos, table, _, _, kind, flags = ROUTE.unpack_from(body)
    if family not in FAMILIES or flags & CLONED:
        return None
    said = attributes(body, ROUTE.size)
    mapped, before = FAMILIES[family]
    metric = _number(said, RTA_PRIORITY)
    if tos or source_length:
        # For some packets to this network alone: which, an address does not tell.
        metric = NEVER_ASKED
    is_plain = kind == UNICAST and metric != NEVER_ASKED and not flags & UNSURE
    is_followed = is_plain and not NOT_FOLLOWED & said.keys()
    gateway = said.get(RTA_GATEWAY)
    metrics = attributes(said.get(RTA_METRICS, b""), 0)
    return HopRoute(
        table=_number(said, RTA_TABLE) or table,
        network=mapped | int.from_bytes(said.get(RTA_DST, b"")),
        length=before + length,
        metric=metric,
        link=_number(said, RTA_OIF) if is_followed else 0,
        gateway=number_of(family, gateway) if is_followed and gateway else 0,
        mtu=_number(metrics, RTAX_MTU),
    )


def read_rules(netns: str | None, version: Literal[4, 6]) -> list[HopRule]:
    """Return the policy rules of one IP version, in the order they are asked."""
    request = RULE.pack(FAMILY_OF[version], 0, 0, 0, 0, 0, 0, 0, 0)
    return [
        parse_rule(said.body)
        for said in dump(ROUTE_PROTOCOL, GET_RULE, request, netns)
        if said.kind == NEW_RULE
    ]


def parse_rule(body: bytes) -> HopRule:
    """Return what the message says."""
    family, length, source_length, tos, table, _, _, action, flags = RULE.unpack_from(body)
    said = attributes(body, RULE.size)
    asked = {kind for kind in said if not (kind in SUPPRESSED and said[kind] == NONE)}
    mapped, before = FAMILIES.get(family, (0, 0))
    protocol = said.get(FRA_PROTOCOL, b"\0")
    return HopRule(
        action=action,
        table=_number(said, FRA_TABLE) or table,
        protocol=protocol[0],
        iif=_text(said, FRA_IIF),
        oif=_text(said, FRA_OIF),
        network=mapped | int.from_bytes(said.get(FRA_DST, b"")),
        length=before + length if length else 0,
        is_inverted=bool(flags & INVERTED),
        is_other=bool(tos or source_length or asked - SILENT),
    )


def read_neighbours(netns: str | None) -> Iterator[HopNeighbour]:
    """Yield the entries of both IP versions."""
    for family in FAMILIES:
        request = NEIGHBOUR.pack(family, 0, 0, 0, 0, 0, 0)
        for said in dump(ROUTE_PROTOCOL, GET_NEIGHBOUR, request, netns):
            found = parse_neighbour(said)
            if found is not None:
                yield found


def parse_neighbour(said: Said) -> HopNeighbour | None:
    """Return what the message says; None where it is about no neighbour on Ethernet."""
    if said.kind not in (NEW_NEIGHBOUR, DELETE_NEIGHBOUR) or len(said.body) < NEIGHBOUR.size:
        return None
    family, _, _, link, state, flags, _ = NEIGHBOUR.unpack_from(said.body)
    if family not in FAMILIES or flags & PROXY:
        return None
    found = attributes(said.body, NEIGHBOUR.size)
    mac, protocol = found.get(NDA_MAC, b""), found.get(NDA_PROTOCOL, b"\0")
    is_valid = said.kind == NEW_NEIGHBOUR and bool(state & VALID) and len(mac) == 6
    return HopNeighbour(
        link=link,
        address=number_of(family, found.get(NDA_DST, b"")),
        mac=mac if is_valid else b"",
        is_permanent=bool(state & PERMANENT),
        is_managed=bool(_number(found, NDA_FLAGS) & MANAGED),
        protocol=protocol[0],
    )


def _number(said: dict[int, bytes], kind: int) -> int:
    value = said.get(kind)
    return NUMBER.unpack(value)[0] if value is not None and len(value) == NUMBER.size else 0


def _text(said: dict[int, bytes], kind: int) -> str:
    return said.get(kind, b"").rstrip(b"\0").decode(errors="replace")
