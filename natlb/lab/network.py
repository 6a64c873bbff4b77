"""The network of a lab: its namespaces, wires, bridges, addresses and routes, made from a topology.

Every veth pair is made with its ends where they belong: nothing ever stands in the namespace of
the caller, so nothing can be left there.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from natlb.errors import BusyError
from natlb.netlink import (
    Netlink,
    Route,
    create_namespace,
    delete_namespace,
    inside,
    namespaces,
    write_sysctl,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from natlb.lab.topology import Host, Topology

# An address is tried out (duplicate address detection) for a second or two before it can be used,
# and until then a router cannot ask for its neighbours; nothing else is in these networks.
# A new namespace has its IPv4 settings from the host (Linux: ip-sysctl, devconf_inherit_init_net),
# and a host with containers forwards.
EVERY_HOST = {"net/ipv6/conf/default/accept_dad": "0", "net/ipv4/ip_forward": "0"}
ROUTER = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv6/conf/all/forwarding": "1",
}


def check_free(wanted: Iterable[str]) -> None:
    """Raise BusyError if a namespace of one of these names is there: it is not this lab's."""
    taken = sorted(set(wanted) & set(namespaces()))
    if taken:
        raise BusyError(
            f"network namespaces of these names exist and are no lab's: {', '.join(taken)}",
            fix="ip netns delete NAME, or another name for the lab",
        )


def build_network(topology: Topology, netns: Mapping[str, str]) -> None:
    """Make all namespaces of the topology, wired, up and routed; `netns` names them by host."""
    for name, host in topology.hosts.items():
        _make_host(netns[name], host)
    with ExitStack() as stack:
        sessions = {name: stack.enter_context(Netlink(netns[name])) for name in topology.hosts}
        for left, right in topology.links:
            peer = netns[right.host]
            sessions[left.host].add_veth(left.interface, right.interface, peer_netns=peer)
        for name, host in topology.hosts.items():
            _set_up_host(sessions[name], host, _interfaces(topology, name))
        for name, host in topology.hosts.items():
            for prefix, gateway in host.routes:
                sessions[name].add_route(Route(destination=prefix, via=gateway))


def remove_namespaces(names: Iterable[str]) -> list[str]:
    """Delete those of the namespaces that are there, and return their names."""
    there = set(namespaces())
    removed = [name for name in names if name in there]
    for name in removed:
        delete_namespace(name)
    return removed


def _make_host(netns: str, host: Host) -> None:
    create_namespace(netns)
    with inside(netns):
        for key, value in (EVERY_HOST | (ROUTER if host.forward else {})).items():
            write_sysctl(key, value)


def _interfaces(topology: Topology, host: str) -> list[str]:
    """Return the interfaces that links make in a host."""
    ends = (end for link in topology.links for end in link)
    return [end.interface for end in ends if end.host == host]


def _set_up_host(session: Netlink, host: Host, interfaces: list[str]) -> None:
    for bridge, ports in host.bridges.items():
        session.add_bridge(bridge)
        for port in ports:
            session.set_master(port, bridge)
    for interface, addresses in host.addresses.items():
        for address in addresses:
            session.add_address(interface, address)
    for interface in ("lo", *interfaces, *host.bridges):
        session.set_up(interface)
