"""What natlb left in a namespace without a journal to tell of it: found by its own marks.

The marks are the protocol number of its routes and rules and the names of its devices. Sysctls
carry none: those a journal alone can put back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.host.apply import undo
from natlb.control.host.operation import (
    PROTOCOL,
    kernels_local,
    unless_gone,
    unless_there,
)
from natlb.control.host.plan import TUNS, VERSIONS
from natlb.netlink import Netlink
from natlb.netlink.values import LOCAL_TABLE

if TYPE_CHECKING:
    from natlb.control.host.journal import Journal
    from natlb.netlink.values import Route, Rule


def cleanup(journal: Journal, netns: str = "") -> list[str]:
    """Undo what a crash left, by the journal and then by natlb's marks; return it in words.

    Only where no natlb runs: the caller holds the lock.
    """
    undone = [str(operation) for operation in undo(journal)]
    return undone + sweep(netns)


def find(netns: str = "") -> list[str]:
    """Return natlb's marks in this namespace, in words; none while nothing of it is left."""
    with Netlink(netns or None) as netlink:
        rules, routes = _marked(netlink)
        devices = [name for name in TUNS if netlink.has_link(name)]
    words = [f"device {name}" for name in devices]
    words += [_in_words(route) for route in routes]
    words += [f"rule {rule.priority} of IPv{rule.version}" for rule in rules]
    return words


def sweep(netns: str = "") -> list[str]:
    """Delete natlb's marks from this namespace and return them in words.

    Only where no natlb runs: the caller holds the lock.
    """
    found = find(netns)
    if not found:
        return []
    with Netlink(netns or None) as netlink:
        rules, routes = _marked(netlink)
        for version in {rule.version for rule in rules if rule.table == LOCAL_TABLE}:
            # Moved behind natlb's: without it the host would not know its own addresses.
            with unless_there():
                netlink.add_rule(kernels_local(version))
        for rule in rules:
            with unless_gone():
                netlink.delete_rule(rule)
        for route in routes:
            with unless_gone():
                netlink.delete_route(route)
        for name in TUNS:
            if netlink.has_link(name) and netlink.link(name).kind == "tun":
                with unless_gone():
                    netlink.delete_link(name)
    return found


def _in_words(route: Route) -> str:
    if route.kind == "blackhole":
        return f"route blackhole {route.destination}"
    return f"route {route.destination} dev {route.dev}"


def _marked(netlink: Netlink) -> tuple[list[Rule], list[Route]]:
    rules = [r for v in VERSIONS for r in netlink.rules(v) if r.protocol == PROTOCOL]
    routes = [r for v in VERSIONS for r in netlink.routes(v) if r.protocol == PROTOCOL]
    return rules, routes
