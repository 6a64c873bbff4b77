"""What `resolve` and `doctor` read of the host: a protocol, and the kernel behind it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Protocol

from natlb.control.host.sessions import Sessions
from natlb.control.host.tun import why_no_tun
from natlb.netlink import KernelError, default_routes, identity, read_sysctl

if TYPE_CHECKING:
    from natlb.control.host.plan import Version
    from natlb.errors import NatlbError
    from natlb.netlink.values import Address, Link, Rule, Way

NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)


class HostReader(Protocol):
    """Reads a network namespace by its name; the empty name is natlb's own."""

    def identity(self, netns: str) -> int:
        """Return the number that tells namespaces apart, whatever their names."""

    def links(self, netns: str) -> list[Link]:
        """Return the interfaces."""

    def way(self, netns: str, address: Address) -> Way | None:
        """Return how the kernel would send to this address; None where it would not."""

    def default_devices(self, netns: str, version: Version) -> list[str]:
        """Return the interfaces of the default routes of the table `main`, the best one first."""

    def rules(self, netns: str, version: Version) -> list[Rule]:
        """Return the policy rules, in the order they are asked."""

    def sysctl(self, netns: str, key: str) -> str | None:
        """Return the value under /proc/sys; None where this kernel has no such key."""

    def tun(self) -> NatlbError | None:
        """Return why /dev/net/tun cannot be opened, or None."""


class KernelReader(Sessions):
    """Reads the kernel by netlink, one session a namespace; a context manager."""

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__()
        self._names: dict[str, dict[int, str]] = {}

    def identity(self, netns: str) -> int:
        """Return the inode number of the namespace."""
        return identity(netns or None)

    def links(self, netns: str) -> list[Link]:
        """Return the interfaces."""
        return self.netlink(netns).links()

    def way(self, netns: str, address: Address) -> Way | None:
        """Return the kernel's answer to a route look-up."""
        if netns not in self._names:
            self._names[netns] = self.netlink(netns).names()
        try:
            return self.netlink(netns).route_to(address, names=self._names[netns])
        except KernelError as error:
            if error.errno in NO_WAY:
                return None
            raise

    def default_devices(self, netns: str, version: Version) -> list[str]:
        """Return the interfaces of the default routes; one by several next hops has none."""
        found = sorted(default_routes(version, netns or None), key=lambda each: each.metric)
        names = self.netlink(netns).names() if found else {}
        return [names.get(each.device or 0, "") for each in found]

    def rules(self, netns: str, version: Version) -> list[Rule]:
        """Return the policy rules."""
        return self.netlink(netns).rules(version)

    def sysctl(self, netns: str, key: str) -> str | None:
        """Return a value under /proc/sys."""
        return read_sysctl(key, netns=netns or None)

    def tun(self) -> NatlbError | None:
        """Return why /dev/net/tun cannot be opened, having tried."""
        return why_no_tun()
