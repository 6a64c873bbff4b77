"""Which way the kernel would send a forwarded packet, as far as that is certain. Pure.

The kernel asks policy rules, then tables, then a route's next hop; natlb asks one table by the
longest prefix. So what the one table says must be what the kernel would say whatever else the
packet is, and the rest is the host's: a route of HOST, or none.

    rules      the kernel's three, in their order, and any for packets that natlb does not send
               (another `iif`); one for a destination alone leaves that to the host; with any
               other all of that IP version is the host's
    tables     `local` before `main` before `default`, each by its longest prefix
    routes     of one network the lowest metric; two that are alike are the host's to choose from
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from natlb.netlink.forwarding import LOOKUP, MAPPED, HopRoute

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from natlb.netlink.forwarding import HopRule

LOCAL, MAIN, DEFAULT = 255, 254, 253  # Linux: rtnetlink.h, RT_TABLE_*
ORDERS = ([LOCAL, MAIN, DEFAULT], [LOCAL, MAIN])  # IPv6 has no rule for `default`
NO_OPERATION = 3  # Linux: fib_rules.h, FR_ACT_NOP
ADDRESS_BITS = 128

Network = tuple[int, int]  # the number, and the length of the prefix


class Way(NamedTuple):
    """Where a network's packets go: by a link, on it or by a gateway; a `link` of 0 is the host's.

    `mtu` 0 is the link's own.
    """

    link: int = 0
    gateway: int = 0
    mtu: int = 0


BY_HOST = Way()
EVERY_IP4: Network = (MAPPED, 96)
# What no router sends by its routes alone: multicast and broadcast, and what is of one link.
NEVER: tuple[Network, ...] = ((MAPPED | 0xE000_0000, 99), (0xFF << 120, 8), (0xFE80 << 112, 10))


def doubts(rules: Iterable[HopRule], own: int, tuns: Sequence[str]) -> list[Network] | None:
    """Return the networks that rules of others may lead elsewhere; None: all of them.

    `own` is natlb's protocol: its rules let past what it sends, and what it passes on as no
    service's goes by the host. `tuns` are the devices that its packets would come in by.
    """
    order: list[int] = []
    doubted: list[Network] = []
    for rule in rules:
        if rule.asks_nothing and rule.action == LOOKUP and rule.table not in order:
            order.append(rule.table)
        elif rule.protocol == own or rule.action == NO_OPERATION or _is_for_others(rule, tuns):
            continue
        elif rule.length and rule == rule._replace(
            iif="", oif="", is_inverted=False, is_other=False
        ):
            doubted.append((rule.network, rule.length))
        else:
            return None
    return doubted if order in ORDERS else None


def _is_for_others(rule: HopRule, tuns: Sequence[str]) -> bool:
    """Return whether a rule cannot be for what natlb sends: it would come in by a TUN."""
    return not rule.is_inverted and bool(rule.oif or (rule.iif and rule.iif not in tuns))


def ways(routes: Iterable[HopRoute], doubted: Iterable[Network]) -> dict[Network, Way]:
    """Return the way of each network, the host's among them; what is in none is the host's too."""
    tables: dict[int, dict[Network, HopRoute]] = {LOCAL: {}, MAIN: {}, DEFAULT: {}}
    for route in routes:
        if route.table in tables:
            _add(tables[route.table], route)
    hosts = dict.fromkeys((*NEVER, *doubted, *tables[LOCAL]), BY_HOST)
    main = tables[MAIN]
    covered = _lengths(main)
    for place, route in tables[DEFAULT].items():
        if place not in main and not _is_within(place, covered):
            main[place] = route
    kept = _lengths(hosts)
    found = {
        place: BY_HOST if _is_within(place, kept) else Way(route.link, route.gateway, route.mtu)
        for place, route in main.items()
    }
    return found | hosts


def _add(table: dict[Network, HopRoute], route: HopRoute) -> None:
    place = (route.network, route.length)
    other = table.get(place)
    if other is None or route.metric < other.metric:
        table[place] = route
    elif route.metric == other.metric and route != other:
        table[place] = other._replace(link=0)


def _lengths(networks: Iterable[Network]) -> dict[int, set[int]]:
    """Return the networks, cut to their lengths, by length."""
    found: dict[int, set[int]] = {}
    for number, length in networks:
        found.setdefault(length, set()).add(number >> ADDRESS_BITS - length)
    return found


def _is_within(place: Network, networks: dict[int, set[int]]) -> bool:
    """Return whether a shorter or equal one of the networks holds this one."""
    number, length = place
    return any(
        each <= length and number >> ADDRESS_BITS - each in cut for each, cut in networks.items()
    )


def is_ip6(place: Network) -> bool:
    """Return whether a network is none of IPv4's, however it is written."""
    number, length = place
    return length < 96 or number >> 32 != MAPPED >> 32
