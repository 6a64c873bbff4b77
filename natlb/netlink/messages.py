"""Netlink messages of the kernel read into values.

pyroute2 is not typed; a message is read by `get("ATTRIBUTE")`, None where the kernel sent none,
and by `["field"]`, always there.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, Literal

from pyroute2.netlink.rtnl import rt_type
from pyroute2.netlink.rtnl.fibmsg import FR_ACT_VALUES

from natlb.netlink.values import Address, Interface, Link, Network, Route, Rule, Way

Message = Any

EVERY_ADDRESS = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
IFF_UP, IFF_LOWER_UP = 0x1, 0x10000  # Linux: if.h
FIB_RULE_INVERT = 2  # Linux: fib_rules.h
LOOKUP = "FR_ACT_TO_TBL"


def read_interface_address(message: Message) -> Interface:
    """Return the address with its prefix."""
    # A peer's address stands in IFA_ADDRESS, one's own then in IFA_LOCAL.
    own = message.get("IFA_LOCAL") or message.get("IFA_ADDRESS")
    return ip_interface(f"{own}/{message['prefixlen']}")


def read_link(message: Message, names: dict[int, str], addresses: tuple[Interface, ...]) -> Link:
    """Return the interface; `names` tells the name of its master."""
    kind = message.get(("linkinfo", "kind"))
    return Link(
        name=message.get("IFLA_IFNAME"),
        index=message["index"],
        kind=kind or "",
        mtu=message.get("IFLA_MTU"),
        up=bool(message["flags"] & IFF_UP),
        carrier=bool(message["flags"] & IFF_LOWER_UP),
        mac=message.get("IFLA_ADDRESS") or "",
        txqueuelen=message.get("IFLA_TXQLEN") or 0,
        master=names.get(message.get("IFLA_MASTER")),
        addresses=addresses,
        hardware=message["ifi_type"],
    )


def _network(address: str | None, length: int, version: Literal[4, 6]) -> Network:
    return EVERY_ADDRESS[version] if address is None else ip_network(f"{address}/{length}")


def _ports(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    return int(first), int(last)


def _address(text: str | None) -> Address | None:
    return None if text is None else ip_address(text)


def read_route(message: Message, version: Literal[4, 6], names: dict[int, str]) -> Route:
    """Return the route; a route by several next hops shows none of them."""
    return Route(
        destination=_network(message.get("RTA_DST"), message["dst_len"], version),
        via=_address(message.get("RTA_GATEWAY")),
        dev=names.get(message.get("RTA_OIF")),
        table=message.get("RTA_TABLE") or message["table"],
        kind=rt_type[message["type"]],
        metric=message.get("RTA_PRIORITY"),
        source=_address(message.get("RTA_PREFSRC")),
        protocol=message["proto"],
    )


def read_way(message: Message, names: dict[int, str]) -> Way:
    """Return the answer to a route look-up."""
    metrics = message.get("RTA_METRICS")
    return Way(
        interface=names.get(message.get("RTA_OIF")),
        gateway=_address(message.get("RTA_GATEWAY")),
        source=_address(message.get("RTA_PREFSRC")),
        kind=rt_type[message["type"]],
        mtu=metrics.get("RTAX_MTU") if metrics else None,
    )


def read_rule(message: Message, version: Literal[4, 6]) -> Rule:
    """Return the policy rule."""
    action = FR_ACT_VALUES[message["action"]]
    source, destination = message.get("FRA_SRC"), message.get("FRA_DST")
    suppressed = message.get("FRA_SUPPRESS_PREFIXLEN")
    ports = message.get("FRA_DPORT_RANGE")
    return Rule(
        version=version,
        priority=message.get("FRA_PRIORITY") or 0,
        action="lookup" if action == LOOKUP else action.removeprefix("FR_ACT_").lower(),
        table=message.get("FRA_TABLE") or None,
        iif=message.get("FRA_IIFNAME"),
        oif=message.get("FRA_OIFNAME"),
        source=None if source is None else _network(source, message["src_len"], version),
        destination=(
            None if destination is None else _network(destination, message["dst_len"], version)
        ),
        ip_protocol=message.get("FRA_IP_PROTO"),
        ports=None if ports is None else _ports(ports),
        suppress_prefix_length=None if suppressed in (None, 0xFFFFFFFF) else suppressed,
        goto=message.get("FRA_GOTO"),
        inverted=bool(message["flags"] & FIB_RULE_INVERT),
        protocol=message.get("FRA_PROTOCOL") or 0,
    )
