"""All of pyroute2 that natlb uses, for control and lab: namespaces, links, routes, rules, proxies.

    with Netlink(netns="left") as left:
        left.add_veth("a", "b", peer_netns="right")

`namespace` makes and enters namespaces and needs no netlink, `values` are the nouns, `session` is
the conversation with the kernel, `events` what it says unasked.
"""

from natlb.netlink.defaults import default_routes
from natlb.netlink.events import Change, Events
from natlb.netlink.firewall import dropping_chains
from natlb.netlink.namespace import (
    call_inside,
    create_namespace,
    delete_namespace,
    identity,
    inside,
    namespaces,
    read_sysctl,
    sysctl_names,
    write_sysctl,
)
from natlb.netlink.session import Netlink
from natlb.netlink.values import (
    BOOT_PROTOCOL,
    LOCAL_TABLE,
    MAIN_TABLE,
    Address,
    Interface,
    KernelError,
    Link,
    Network,
    Proxy,
    Route,
    Rule,
    Way,
)

__all__ = [
    "BOOT_PROTOCOL",
    "LOCAL_TABLE",
    "MAIN_TABLE",
    "Address",
    "Change",
    "Events",
    "Interface",
    "KernelError",
    "Link",
    "Netlink",
    "Network",
    "Proxy",
    "Route",
    "Rule",
    "Way",
    "call_inside",
    "create_namespace",
    "default_routes",
    "delete_namespace",
    "dropping_chains",
    "identity",
    "inside",
    "namespaces",
    "read_sysctl",
    "sysctl_names",
    "write_sysctl",
]
