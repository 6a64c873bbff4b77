"""The operation that has the host drop in silence what natlb takes from the wire by itself.

A packet socket gets a copy of each packet, and the host goes on with its own: it would forward it,
or answer that there is no such host. A route of kind `blackhole` has it do neither, without a word
(Linux: route.c, ip_error(); route.c of IPv6, dst_discard()), and it stands whatever becomes of the
interfaces. The host's own processes reach nothing there: `connect` says "invalid argument".
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, ClassVar

from natlb.control.host.operation import PROTOCOL, Before, Operation, unless_gone, version_of
from natlb.netlink.values import MAIN_TABLE, Route

if TYPE_CHECKING:
    from natlb.control.host.hands import Hands
    from natlb.control.host.seen import Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class AddBlackhole(Operation):
    """A route in the table `main` on which packets to `destination` are dropped in silence."""

    kind: ClassVar[str] = "blackhole"
    destination: str

    def __str__(self) -> str:
        return f"route blackhole {self.destination}"

    def do(self, hands: Hands) -> None:
        """Add the route."""
        hands.netlink(self.netns).add_route(self._route())

    def stands(self, seen: Seen) -> bool:
        """Return whether the route is there; IPv6 shows a metric and a device with it."""
        route = self._route()
        return any(
            (each.destination, each.table, each.kind) == (route.destination, MAIN_TABLE, route.kind)
            for each in seen.routes(self.netns, version_of(route.destination))
        )

    def mend(self, hands: Hands) -> None:
        """Add the route; another one in its place is somebody else's, and KernelError."""
        self.do(hands)

    def undo(self, hands: Hands, before: Before) -> None:  # noqa: ARG002 - one signature for all
        """Delete the route."""
        with unless_gone():
            hands.netlink(self.netns).delete_route(self._route())

    def _route(self) -> Route:
        return Route(destination=ip_network(self.destination), kind="blackhole", protocol=PROTOCOL)
