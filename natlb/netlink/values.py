"""What netlink reads and writes, as frozen values: links, routes, rules, ways, neighbour proxies.

A value says what is meant in words and address objects; numbers of the kernel's protocol stay in
`session`. Equal values mean the same thing to the kernel, so a list of them read before a change
and one read after it can be compared.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Literal

from natlb.errors import HostError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Interface = IPv4Interface | IPv6Interface
RouteKind = Literal[
    "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit"
]
RuleAction = Literal["lookup", "goto", "nop", "blackhole", "unreachable", "prohibit"]

LOCAL_TABLE = 255  # Linux: rtnetlink.h, RT_TABLE_LOCAL
MAIN_TABLE = 254  # Linux: rtnetlink.h, RT_TABLE_MAIN
ETHERNET = 1  # Linux: if_arp.h, ARPHRD_ETHER
BOOT_PROTOCOL = 3  # Linux: rtnetlink.h, RTPROT_BOOT: what `ip route add` writes


class KernelError(HostError):
    """The kernel refused a request; `errno` is its reason."""

    def __init__(self, what: str, errno: int, detail: str = "", *, fix: str | None = None) -> None:
        """Say what was asked for, where, and why the kernel would not."""
        super().__init__(f"{what}: {detail or os.strerror(errno)}", fix=fix)
        self.errno = errno


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One network interface; `carrier` is false where the cable, or the other end, is down.

    `hardware` says what its frames are: ETHERNET, or another number of the kernel's.
    """

    name: str
    index: int
    kind: str
    mtu: int
    up: bool
    carrier: bool
    mac: str
    txqueuelen: int
    master: str | None
    addresses: tuple[Interface, ...]
    hardware: int = ETHERNET


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route. `destination` of prefix length 0 is the default route of its IP version."""

    destination: Network
    via: Address | None = None
    dev: str | None = None
    table: int = MAIN_TABLE
    kind: RouteKind = "unicast"
    metric: int | None = None
    source: Address | None = None
    protocol: int = BOOT_PROTOCOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One policy rule; what is None matches everything. Low priorities are asked first.

    `ports` are the first and last destination port. `inverted`: it holds for what it does not
    match. `goto` is the priority to go on from.
    """

    version: Literal[4, 6]
    priority: int
    action: RuleAction = "lookup"
    table: int | None = None
    iif: str | None = None
    oif: str | None = None
    source: Network | None = None
    destination: Network | None = None
    ip_protocol: int | None = None
    ports: tuple[int, int] | None = None
    suppress_prefix_length: int | None = None
    goto: int | None = None
    inverted: bool = False
    protocol: int = BOOT_PROTOCOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the kernel would send a packet: its answer to a route look-up."""

    interface: str | None
    gateway: Address | None
    source: Address | None
    kind: RouteKind
    mtu: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An address that the kernel answers ARP or neighbour solicitations for, on `dev`."""

    address: Address
    dev: str
