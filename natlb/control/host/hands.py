"""The hands on the kernel that operations work with: netlink sessions, sysctls, TUN queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.host.sessions import Sessions
from natlb.netlink import namespaces, read_sysctl, sysctl_names, write_sysctl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from natlb.control.host.tun import Tun


class Hands(Sessions):
    """One session for each namespace, opened when it is first needed; a context manager.

    `queues` are the TUN queues that were opened meanwhile, by device. Whoever takes them from
    here owns them; the others are closed at the end.
    """

    def __init__(self, steering: Mapping[str, int] | None = None) -> None:
        """Open nothing yet; `steering` are programs for devices of several queues, by name."""
        super().__init__()
        self.queues: dict[str, Tun] = {}
        self.steering = steering or {}

    def exists(self, netns: str) -> bool:
        """Return whether there still is such a namespace."""
        return not netns or netns in namespaces()

    def read(self, netns: str, key: str) -> str | None:
        """Return the value of a sysctl; None where there is no such."""
        return read_sysctl(key, netns=netns or None)

    def write(self, netns: str, key: str, value: str) -> None:
        """Set a sysctl, where it is another: what is right already may be read-only."""
        if self.read(netns, key) != value:
            write_sysctl(key, value, netns=netns or None)

    def names(self, netns: str, key: str) -> list[str]:
        """Return the names in a directory of sysctls."""
        return sysctl_names(key, netns=netns or None)
