"""What of natlb's own stands on the host, each thing read once: what `Operation.stands` asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from natlb.control.host.operation import PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.control.host.hands import Hands
    from natlb.control.host.plan import Version
    from natlb.netlink.values import Link, Proxy, Route, Rule

Thing = TypeVar("Thing")


class Seen:
    """The host at one moment; of its routes those that are natlb's, however many it has."""

    def __init__(self, hands: Hands) -> None:
        """Read by these hands, when something is asked for."""
        self._hands = hands
        self._read: dict[tuple[str, str, int], object] = {}

    def links(self, netns: str) -> dict[str, Link]:
        """Return the interfaces by name."""
        netlink = self._hands.netlink(netns)
        return self._once("links", netns, 0, lambda: {each.name: each for each in netlink.links()})

    def rules(self, netns: str, version: Version) -> frozenset[Rule]:
        """Return the policy rules."""
        netlink = self._hands.netlink(netns)
        return self._once("rules", netns, version, lambda: frozenset(netlink.rules(version)))

    def routes(self, netns: str, version: Version) -> list[Route]:
        """Return natlb's routes."""
        netlink = self._hands.netlink(netns)
        return self._once(
            "routes", netns, version, lambda: netlink.routes(version, protocol=PROTOCOL)
        )

    def proxies(self, netns: str, version: Version) -> frozenset[Proxy]:
        """Return what the kernel answers for in others' place."""
        netlink = self._hands.netlink(netns)
        return self._once("proxies", netns, version, lambda: frozenset(netlink.proxies(version)))

    def sysctl(self, netns: str, key: str) -> str | None:
        """Return the value of a sysctl; None where there is no such."""
        return self._hands.read(netns, key)

    def _once(self, what: str, netns: str, version: int, read: Callable[[], Thing]) -> Thing:
        key = (what, netns, version)
        if key not in self._read:
            self._read[key] = read()
        return self._read[key]  # type: ignore[return-value]  # of the type that is read under it
