"""One network namespace as `resolve` sees it: its interfaces, its routes, what it forwards."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from natlb.control.host.plan import TUNS, Device, Neighbours, Side
from natlb.control.host.rules import LOCAL
from natlb.errors import HostError
from natlb.netlink.values import LOCAL_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from natlb.control.host.plan import Version
    from natlb.control.host.reader import HostReader
    from natlb.netlink.values import Address, Link, Way

USUAL_MTU = 1500  # of a side without an interface, whose hosts are in the namespace itself
SMALLEST_TUN_MTU = 1500
LARGEST_PACKET = 65_535  # of IPv4, and of a TUN device: Linux, tun.c, tun_net_init()
LINK_LOCAL = IPv6Network("fe80::/10")
LINK_LOCAL_SUBNET = IPv6Network("fe80::/64")  # as every interface has it
FORWARDING6 = "net/ipv6/conf/all/forwarding"
FORCE_FORWARDING6 = "net/ipv6/conf/all/force_forwarding"  # since Linux 6.17


class View:
    """What the reader shows of a namespace; each thing is read once."""

    def __init__(self, reader: HostReader, netns: str) -> None:
        """Look at the namespace of this name; the empty one is natlb's own."""
        self._reader = reader
        self._netns = netns
        self._defaults: dict[Version, list[str]] = {}
        self.where = f" in network namespace {netns}" if netns else ""

    @cached_property
    def links(self) -> list[Link]:
        """All interfaces but natlb's own."""
        return [link for link in self._reader.links(self._netns) if link.name not in TUNS]

    @property
    def devices(self) -> list[Link]:
        """All interfaces that lead somewhere: neither loopback nor natlb's own."""
        return [link for link in self.links if link.name != "lo"]

    @cached_property
    def has_ipv6(self) -> bool:
        """Whether this kernel has IPv6."""
        return self._sysctl(FORWARDING6) is not None

    @cached_property
    def can_force_forwarding(self) -> bool:
        """Whether this kernel forwards IPv6 by interface."""
        return self._sysctl(FORCE_FORWARDING6) is not None

    def require_ipv6(self) -> None:
        """Raise HostError where there is no IPv6."""
        if not self.has_ipv6:
            raise HostError(
                f"the configuration has IPv6 addresses, and there is no IPv6{self.where}",
                fix="boot without ipv6.disable=1, or use IPv4 addresses alone",
            )

    def named(self, names: tuple[str, ...]) -> list[Link]:
        """Return the interfaces of these names, which must be there and up."""
        known = {link.name: link for link in self.devices}
        for name in names:
            if name not in known:
                raise HostError(
                    f"no interface {name!r}{self.where}", fix=_nearest(name, list(known))
                )
            if not known[name].up:
                raise HostError(
                    f"interface {name} is down{self.where}", fix=f"ip link set {name} up"
                )
        return [known[name] for name in dict.fromkeys(names)]

    def through(self, ways: Iterable[Way]) -> list[Link]:
        """Return the interfaces that these ways leave by."""
        names = {way.interface for way in ways}
        return [link for link in self.devices if link.name in names]

    def way_to(self, backend: Address) -> Way:
        """Return how packets get to a backend, or raise HostError."""
        way = self._reader.way(self._netns, backend)
        if way is None or way.kind not in ("unicast", "local") or way.interface in TUNS:
            raise HostError(
                f"no route to backend {backend}{self.where}",
                fix=f"ip route add {backend} via GATEWAY",
            )
        return way

    def holder_of(self, vip: Address) -> str | None:
        """Return the interface by which the host takes packets to this address for its own."""
        for link in self.links:
            if any(address.ip == vip for address in link.addresses):
                return link.name
        way = self._reader.way(self._netns, vip)
        return (way.interface or "lo") if way is not None and way.kind == "local" else None

    def refuse_group(self, address: Address, what: str) -> None:
        """Raise HostError for an address that is not one host's: a subnet's, or anycast."""
        way = self._reader.way(self._netns, address)
        if way is not None and way.kind in ("broadcast", "anycast", "multicast"):
            raise HostError(
                f"{what} {address} is a {way.kind} address{self.where}",
                fix=f"choose another {what}",
            )

    def refuse_moved_local(self, vip: Address) -> None:
        """Raise HostError where the table `local` is not asked as the kernel has it: first.

        Services of a VIP that is an address of the host need rules before it, and natlb moves no
        rule that somebody else has put in its place.
        """
        version: Version = 4 if vip.version == 4 else 6
        found = [
            rule.priority
            for rule in self._reader.rules(self._netns, version)
            if rule.table == LOCAL_TABLE and (rule.iif, rule.source) == (None, None)
        ]
        if found[:1] not in ([0], [LOCAL]):
            raise HostError(
                f"VIP {vip} is an address of this host, and the IPv{version} rule "
                f"`lookup local` is not where the kernel puts it{self.where}",
                fix=f"ip -{version} rule add priority 0 lookup local protocol kernel",
            )

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses that this namespace's processes may send from, to another host."""
        held = (address.ip for link in self.links for address in link.addresses)
        return tuple(
            dict.fromkeys(each for each in held if not (each.is_link_local or each.is_loopback))
        )

    @property
    def own(self) -> tuple[Address, ...]:
        """All addresses of this namespace but loopback's: what is sent to them is the host's."""
        held = (address.ip for link in self.links for address in link.addresses)
        return tuple(dict.fromkeys(each for each in held if not each.is_loopback))

    def neighbours(self, vip: Address) -> Iterator[Neighbours]:
        """Yield who speaks neighbour discovery with an IPv6 address of the host."""
        for link in self.devices:
            if vip.version == 6 and any(address.ip == vip for address in link.addresses):
                networks = {each.network for each in link.addresses if each.version == 6}
                for network in sorted({LINK_LOCAL} | networks - {LINK_LOCAL_SUBNET}, key=str):
                    yield Neighbours(dev=link.name, network=network)

    @staticmethod
    def holds(link: Link, vip: Address) -> bool:
        """Return whether a subnet of this interface holds the VIP."""
        return any(
            vip in address.network
            for address in link.addresses
            if address.version == vip.version and address.network.num_addresses > 1
        )

    def subnet_of(self, vip: Address) -> list[Link]:
        """Return the interfaces whose subnet holds the VIP."""
        return [link for link in self.devices if self.holds(link, vip)]

    def default_of(self, vip: Address) -> list[Link]:
        """Return the interface of the default route of the VIP's IP version, in a list."""
        version: Version = 4 if vip.version == 4 else 6
        if version not in self._defaults:
            self._defaults[version] = self._reader.default_devices(self._netns, version)
        names = self._defaults[version]
        return [link for link in self.devices if link.name in names[:1]]

    def side(self, links: list[Link], ways: Iterable[Way]) -> Side:
        """Return the side that these interfaces and these ways out make."""
        addresses = [
            address.ip
            for link in links
            for address in link.addresses
            if not address.ip.is_link_local and not address.ip.is_loopback
        ]
        mtus = [link.mtu for link in links] + [way.mtu for way in ways if way.mtu]
        return Side(
            netns=self._netns,
            devices=tuple(self._device(link) for link in links),
            way_mtu=min([*mtus, LARGEST_PACKET]) if mtus else USUAL_MTU,
            address4=next((each for each in addresses if isinstance(each, IPv4Address)), None),
            address6=next((each for each in addresses if isinstance(each, IPv6Address)), None),
            ra_devices=self._ra_devices(),
        )

    def _device(self, link: Link) -> Device:
        forced = self._sysctl(f"net/ipv6/conf/{link.name}/force_forwarding")
        return Device(
            name=link.name,
            mtu=min(link.mtu, LARGEST_PACKET),
            open4=self._sysctl(f"net/ipv4/conf/{link.name}/forwarding") == "1",
            open6="1" in (self._sysctl(FORWARDING6), forced),
        )

    def _ra_devices(self) -> tuple[str, ...]:
        """Return whose router advertisements are heard: not those of a router's interface."""
        return tuple(
            name
            for name in ("default", *(link.name for link in self.devices))
            if self._sysctl(f"net/ipv6/conf/{name}/accept_ra") == "1"
            and self._sysctl(f"net/ipv6/conf/{name}/forwarding") == "0"
        )

    def _sysctl(self, key: str) -> str | None:
        return self._reader.sysctl(self._netns, key)


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known) or 'none'}"
