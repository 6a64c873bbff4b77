"""A netlink session in one network namespace: what natlb asks of pyroute2, in its own words.

Synchronous. pyroute2 runs an event loop of its own inside, so a session must not be opened where
an asyncio loop is running: from there, go through `asyncio.to_thread`. One thread uses a session.
Whatever the kernel refuses is raised as KernelError (with the errno) or DeniedError, saying what
was asked for and in which namespace.
"""

from __future__ import annotations

import errno
import socket
from contextlib import contextmanager
from difflib import get_close_matches
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING, Any, Literal, Self

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.fibmsg import FR_ACT_NAMES

from natlb.errors import HostError
from natlb.netlink import messages
from natlb.netlink.namespace import inside, refuse
from natlb.netlink.values import (
    Address,
    Interface,
    KernelError,
    Link,
    Proxy,
    Route,
    Rule,
    Way,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

AddressScope = Literal["global", "link", "host"]
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
SCOPES = {"global": 0, "link": 253, "host": 254}  # Linux: rtnetlink.h, RT_SCOPE_*
NTF_PROXY = 8  # Linux: neighbour.h


class Netlink:
    """A session in the namespace `netns`, or in this thread's own; a context manager."""

    def __init__(self, netns: str | None = None) -> None:
        """Open the session; the socket stays in that namespace whatever the thread does later."""
        self.netns = netns
        self._where = f" in network namespace {netns}" if netns else ""
        with inside(netns):
            self._route = IPRoute(groups=0, ext_ack=True, strict_check=True)

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close the session."""
        self.close()

    def close(self) -> None:
        """Close the session's sockets."""
        self._route.close()

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Turn the kernel's refusal within the block into an exception of natlb's."""
        try:
            yield
        except NetlinkError as error:
            detail = str(error.args[1]) if len(error.args) > 1 else ""
            if error.code == errno.EACCES:  # the answer of a `prohibit` route, not a missing right
                raise KernelError(f"cannot {what}{self._where}", error.code, detail) from error
            raise refuse(f"cannot {what}{self._where}", error.code, detail) from error
        except OSError as error:
            raise refuse(f"cannot {what}{self._where}", error.errno or 0) from error

    def links(self) -> list[Link]:
        """Return all interfaces with their addresses, in the order of their indexes."""
        with self._asking("list interfaces"):
            found = list(self._route.get_links())
            addresses = list(self._route.get_addr())
        names = {message["index"]: message.get("IFLA_IFNAME") for message in found}
        held: dict[int, list[Interface]] = {index: [] for index in names}
        for message in addresses:
            held.setdefault(message["index"], []).append(messages.read_interface_address(message))
        return [
            messages.read_link(message, names, tuple(held[message["index"]])) for message in found
        ]

    def link(self, name: str) -> Link:
        """Return the interface called `name`; HostError with the nearest name if there is none."""
        links = {link.name: link for link in self.links()}
        if name in links:
            return links[name]
        near = get_close_matches(name, links, 1, 0.5)
        fix = f"did you mean {near[0]}?" if near else f"there are: {', '.join(links)}"
        raise HostError(f"no interface {name!r}{self._where}", fix=fix)

    def has_link(self, name: str) -> bool:
        """Return whether there is an interface called `name`."""
        return bool(self._find(name))

    def add_veth(self, name: str, peer: str, *, peer_netns: str | None = None) -> None:
        """Make a pair of veth devices, `name` here and `peer` in `peer_netns` (None: here too)."""
        end: dict[str, Any] = {"ifname": peer}
        with self._asking(f"make veth pair {name}, {peer}"):
            if peer_netns is not None:
                end["net_ns_fd"] = peer_netns
            self._route.link("add", ifname=name, kind="veth", peer=end)

    def add_bridge(self, name: str) -> None:
        """Make a bridge device."""
        with self._asking(f"make bridge {name}"):
            self._route.link("add", ifname=name, kind="bridge")

    def delete_link(self, name: str) -> None:
        """Delete an interface; a veth's other end goes with it."""
        self._set_link(f"delete interface {name}", name, "del")

    def set_up(self, name: str) -> None:
        """Bring an interface up."""
        self._set_link(f"bring {name} up", name, "set", state="up")

    def set_down(self, name: str) -> None:
        """Take an interface down; the kernel drops its routes."""
        self._set_link(f"take {name} down", name, "set", state="down")

    def set_mtu(self, name: str, mtu: int) -> None:
        """Set the largest IP packet, in octets, that an interface sends."""
        self._set_link(f"set the MTU of {name} to {mtu}", name, "set", mtu=mtu)

    def set_txqueuelen(self, name: str, packets: int) -> None:
        """Set how many packets wait in an interface's queue."""
        self._set_link(f"set the queue of {name} to {packets}", name, "set", txqlen=packets)

    def set_mac(self, name: str, mac: str) -> None:
        """Set an interface's hardware address."""
        self._set_link(f"set the hardware address of {name}", name, "set", address=mac)

    def set_master(self, name: str, bridge: str) -> None:
        """Plug an interface into a bridge."""
        master = self._index(bridge)
        self._set_link(f"plug {name} into {bridge}", name, "set", master=master)

    def move(self, name: str, netns: str) -> None:
        """Move an interface to another namespace; it arrives down and without addresses."""
        self._set_link(f"move {name} to namespace {netns}", name, "set", net_ns_fd=netns)

    def _set_link(self, what: str, name: str, verb: str, **values: str | int) -> None:
        index = self._index(name)
        with self._asking(what):
            self._route.link(verb, index=index, **values)

    def _find(self, name: str) -> list[int]:
        with self._asking(f"look for interface {name}"):
            return list(self._route.link_lookup(ifname=name))

    def _index(self, name: str) -> int:
        found = self._find(name)
        if not found:
            raise KernelError(f"no interface {name}{self._where}", errno.ENODEV)
        return found[0]

    def add_address(
        self, name: str, address: Interface | str, *, scope: AddressScope = "global"
    ) -> None:
        """Give an interface an address with its prefix, `10.0.0.1/24`.

        `scope` is IPv4's alone: one of `host` is never picked as the source of a packet. IPv6
        without duplicate detection: the address can be used at once.
        """
        self._address("add", name, ip_interface(address), scope)

    def delete_address(self, name: str, address: Interface | str) -> None:
        """Take an address with its prefix from an interface."""
        self._address("del", name, ip_interface(address), "global")

    def _address(self, verb: str, name: str, address: Interface, scope: AddressScope) -> None:
        index = self._index(name)
        values: dict[str, Any] = {
            "index": index,
            "family": FAMILIES[address.version],
            "address": str(address.ip),
            "prefixlen": address.network.prefixlen,
        }
        if address.version == 6:
            values["flags"] = 2  # Linux: if_addr.h, IFA_F_NODAD
        elif verb == "add":
            values["scope"] = SCOPES[scope]
        with self._asking(f"{verb} address {address} of {name}"):
            self._route.addr(verb, **values)

    def routes(
        self, version: Literal[4, 6], *, table: int | None = None, protocol: int | None = None
    ) -> list[Route]:
        """Return the routes of one IP version; of one table, or those that one protocol made.

        The kernel chooses, so that a few of a million cost little.
        """
        asked = {"table": table, "proto": protocol}
        only = {key: value for key, value in asked.items() if value is not None}
        with self._asking("list routes"):
            # With a `dump_filter` of our own the request alone chooses (pyroute2 0.9.7).
            found = list(
                self._route.route(
                    "dump", family=FAMILIES[version], dump_filter=lambda _: True, **only
                )
            )
        names = self.names()
        return [messages.read_route(message, version, names) for message in found]

    def add_route(self, route: Route) -> None:
        """Add a route; KernelError with EEXIST if its place is taken."""
        self._change_route("add", route)

    def replace_route(self, route: Route) -> None:
        """Add a route, or put it in the place of the one with its destination and metric."""
        self._change_route("replace", route)

    def delete_route(self, route: Route) -> None:
        """Delete a route; KernelError with ESRCH if there is none."""
        self._change_route("del", route)

    def route_to(
        self,
        address: Address | str,
        *,
        source: Address | None = None,
        iif: str | None = None,
        names: dict[int, str] | None = None,
    ) -> Way:
        """Return how the kernel would send to `address`: its own packet, or one come in by `iif`.

        `names` are those of the interfaces, where they are known: to ask for them takes longer.
        No route is a KernelError: ENETUNREACH, EHOSTUNREACH, EACCES (prohibit), EINVAL (blackhole).
        """
        destination = ip_address(address)
        values: dict[str, Any] = {"dst": str(destination), "family": FAMILIES[destination.version]}
        if source is not None:
            values["src"] = str(source)
        if iif is not None:
            values["iif"] = self._index(iif)
        with self._asking(f"find a route to {address}"):
            answer = self._route.route("get", **values)
        return messages.read_way(answer[0], self.names() if names is None else names)

    def _change_route(self, verb: str, route: Route) -> None:
        values: dict[str, Any] = {
            "family": FAMILIES[route.destination.version],
            "dst": str(route.destination.network_address),
            "dst_len": route.destination.prefixlen,
            "table": route.table,
            "type": route.kind,
            "proto": route.protocol,
        }
        if route.destination.prefixlen == 0:
            del values["dst"]
        if route.dev is not None:
            values["oif"] = self._index(route.dev)
            if route.via is None and route.destination.version == 4:
                values["scope"] = "link"
        if route.via is not None:
            values["gateway"] = str(route.via)
        if route.source is not None:
            values["prefsrc"] = str(route.source)
        if route.metric is not None:
            values["priority"] = route.metric
        with self._asking(f"{verb} {_words(route)}"):
            self._route.route(verb, **values)

    def rules(self, version: Literal[4, 6]) -> list[Rule]:
        """Return the policy rules of one IP version, in the order they are asked."""
        with self._asking("list rules"):
            found = list(self._route.get_rules(family=FAMILIES[version]))
        return [messages.read_rule(message, version) for message in found]

    def add_rule(self, rule: Rule) -> None:
        """Add a policy rule."""
        self._change_rule("add", rule)

    def delete_rule(self, rule: Rule) -> None:
        """Delete a policy rule; KernelError with ENOENT if there is none like it."""
        self._change_rule("del", rule)

    def _change_rule(self, verb: str, rule: Rule) -> None:
        action = messages.LOOKUP if rule.action == "lookup" else f"FR_ACT_{rule.action.upper()}"
        values: dict[str, Any] = {
            "family": FAMILIES[rule.version],
            "priority": rule.priority,
            "action": FR_ACT_NAMES[action],
            "table": rule.table,
            "iifname": rule.iif,
            "oifname": rule.oif,
            "ip_proto": rule.ip_protocol,
            "dport_range": None if rule.ports is None else f"{rule.ports[0]}:{rule.ports[1]}",
            "suppress_prefixlen": rule.suppress_prefix_length,
            "goto": rule.goto,
            "flags": messages.FIB_RULE_INVERT if rule.inverted else None,
            "protocol": rule.protocol,
        }
        for side, network in (("src", rule.source), ("dst", rule.destination)):
            if network is not None:
                values[side] = str(network.network_address)
                values[f"{side}_len"] = network.prefixlen
        asked = {key: value for key, value in values.items() if value is not None}
        with self._asking(f"{verb} rule {rule.priority}"):
            self._route.rule(verb, **asked)

    def proxies(self, version: Literal[4, 6]) -> list[Proxy]:
        """Return the addresses that the kernel answers for in others' place."""
        with self._asking("list neighbour proxies"):
            # With a `dump_filter` of our own `flags` reach the kernel (pyroute2 0.9.7).
            found = list(
                self._route.neigh(
                    "dump",
                    family=FAMILIES[version],
                    flags=NTF_PROXY,
                    state=0,
                    dump_filter=lambda _: True,
                )
            )
        names = self.names()
        return [
            Proxy(address=ip_address(message.get("NDA_DST")), dev=names[message["ifindex"]])
            for message in found
        ]

    def add_proxy(self, proxy: Proxy) -> None:
        """Have the kernel answer for an address on an interface (IPv6: with `proxy_ndp` on)."""
        self._change_proxy("add", proxy)

    def delete_proxy(self, proxy: Proxy) -> None:
        """Have the kernel answer no longer; KernelError with ENOENT if it did not."""
        self._change_proxy("del", proxy)

    def _change_proxy(self, verb: str, proxy: Proxy) -> None:
        index = self._index(proxy.dev)
        with self._asking(f"{verb} neighbour proxy {proxy.address} on {proxy.dev}"):
            self._route.neigh(
                verb,
                family=FAMILIES[proxy.address.version],
                dst=str(proxy.address),
                ifindex=index,
                flags=NTF_PROXY,
            )

    def names(self) -> dict[int, str]:
        """Return the names of the interfaces by their indexes."""
        with self._asking("list interfaces"):
            found = list(self._route.get_links())
        return {message["index"]: message.get("IFLA_IFNAME") for message in found}


def _words(route: Route) -> str:
    parts = ["route", str(route.destination)]
    if route.kind != "unicast":
        parts.append(route.kind)
    if route.via is not None:
        parts.append(f"via {route.via}")
    if route.dev is not None:
        parts.append(f"dev {route.dev}")
    return " ".join([*parts, f"table {route.table}"])
