"""What the host's network must look like for natlb: worked out by `resolve`, applied by `apply`.

    Wanted     what the configuration says: VIPs, backends, addresses of full NAT, the ports that
               services listen on, sides by name or to be found
    HostPlan   what it comes to on this host: interfaces, MTUs, addresses, and what was found
               before natlb changed anything (`open4`, `open6`, `ra_devices`)

Laws
    Both are plain values; `layout` writes them as octets and reads them back.
    What was found before stays: a later plan takes it over from the first (`remembering`), since
    what it would read itself is natlb's own doing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Literal

from natlb.errors import HostError

if TYPE_CHECKING:
    from natlb.control.config.values import Config, DriverName, Listen, OutputName
    from natlb.control.config.values import Side as ConfiguredSide
    from natlb.netlink.values import Address, Network, Proxy

Driver = Literal["tun", "packet", "xdp"]
Output = Literal["route", "direct"]
Version = Literal[4, 6]
VERSIONS: tuple[Version, Version] = (4, 6)

PUBLIC_TUN, PRIVATE_TUN = "natlb-pub", "natlb-prv"
TUNS = (PUBLIC_TUN, PRIVATE_TUN)
DUMMY_ADDRESS = IPv4Address("192.0.0.8")  # RFC 7600: the source of errors of who has no address
OWN_ADDRESS6 = IPv6Address("fd6e:6174:6c62::7")  # RFC 4193; "natlb" in hexadecimal
PROTOCOLS = {"tcp": 6, "udp": 17}  # IANA


@dataclass(frozen=True, slots=True, kw_only=True)
class SideWanted:
    """One side as configured; empty: natlb's own namespace, interfaces to be found."""

    netns: str = ""
    interfaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Neighbouring ports of a VIP that services listen on, from `first` to `last`."""

    address: Address
    protocol: int
    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """All that the host's network has to do with in a configuration.

    `driver` and `output` may be `auto`; each of the `workers` gets ways in and out of its own.
    """

    driver: DriverName = "auto"
    output: OutputName = "auto"
    workers: int = 1
    public: SideWanted = field(default_factory=SideWanted)
    private: SideWanted = field(default_factory=SideWanted)
    vips: tuple[Address, ...]
    backends: tuple[Address, ...]
    sources: tuple[Address, ...] = ()
    listens: tuple[Ports, ...] = ()

    @classmethod
    def of(cls, config: Config) -> Wanted:
        """Return what this configuration wants."""
        services = config.services.values()
        listens = {listen for service in services for listen in service.listen}
        backends = {backend.address for service in services for backend in service.backends}
        return cls(
            driver=config.datapath.driver,
            output=config.datapath.output,
            workers=config.datapath.workers,
            public=_side_wanted(config.datapath.public),
            private=_side_wanted(config.datapath.private),
            vips=in_order({listen.address for listen in listens}),
            backends=in_order(backends),
            sources=in_order(set(config.datapath.source)),
            listens=port_ranges(listens),
        )

    def as_running(self, plan: HostPlan | None) -> Wanted:
        """Return this with the driver of the plan in force, which cannot change any more."""
        return self if plan is None else replace(self, driver=plan.driver)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An interface of a side. `open4`, `open6`: what came in by it was forwarded before natlb."""

    name: str
    mtu: int
    open4: bool
    open6: bool

    def is_open(self, version: Version) -> bool:
        """Return whether packets of this IP version were forwarded before natlb."""
        return self.open4 if version == 4 else self.open6


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side as found. `netns` is empty for natlb's own namespace.

    `way_mtu` is the largest packet that every way out of this side takes; `address4` and
    `address6` are the host's own on this side, the source of natlb's own ICMP errors.
    `ra_devices` have IPv6 from router advertisements, which they would lose when they forward.
    `hosts` are all addresses that a process of the host may call a VIP from, where its backend's
    answer would not pass natlb but reach that process as it is; and VIPs shared with the host.
    """

    netns: str
    devices: tuple[Device, ...]
    way_mtu: int
    address4: IPv4Address | None
    address6: IPv6Address | None
    ra_devices: tuple[str, ...] = ()
    hosts: tuple[Address, ...] = ()

    def error_source(self, version: Version) -> Address | None:
        """Return the address that natlb's own errors come from; None: IPv6 has no dummy."""
        return (self.address4 or DUMMY_ADDRESS) if version == 4 else self.address6


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Who may speak neighbour discovery on an interface."""

    dev: str
    network: Network


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """What the host's network must look like.

    `local_backends` are addresses of the private namespace itself; `proxies` the VIPs that lie in
    a public interface's subnet, `private_proxies` the VIPs and sources in a private one's.
    `host_vips` are VIPs that are addresses of the host, of which it keeps all but the ports of
    `services`; IPv6 ones have `neighbours` there. `force_forwarding`: this kernel can forward IPv6
    by interface. `output` is of `driver` tun: the others always send by themselves. `own` is of the
    others: addresses of the private namespace, whose packets are not natlb's whoever sends them.
    """

    driver: Driver = "tun"
    output: Output = "route"
    workers: int = 1
    public: Side
    private: Side
    tun_mtu: int
    vips: tuple[Address, ...]
    backends: tuple[Address, ...]
    local_backends: tuple[Address, ...] = ()
    proxies: tuple[Proxy, ...] = ()
    sources: tuple[Address, ...] = ()
    private_proxies: tuple[Proxy, ...] = ()
    host_vips: tuple[Address, ...] = ()
    services: tuple[Ports, ...] = ()
    neighbours: tuple[Neighbours, ...] = ()
    own: tuple[Address, ...] = ()
    has_ipv6: bool
    force_forwarding: bool

    @property
    def together(self) -> bool:
        """Whether both sides stand in one namespace."""
        return self.public.netns == self.private.netns

    def has_own_source(self, version: Version) -> bool:
        """Return whether the host's own processes call VIPs from an address of natlb-pub.

        Where answers to the host's addresses do not pass natlb, or where one of them is a VIP.
        """
        return self.together or any(vip.version == version for vip in self.host_vips)

    def uses(self, version: Version) -> bool:
        """Return whether a VIP, a backend or a source is of this IP version."""
        named = self.vips + self.backends + self.sources
        return any(address.version == version for address in named)

    def remembering(self, old: HostPlan | None) -> HostPlan:
        """Return this plan with what `old` found before natlb changed it.

        HostError where the sides moved: a device that forwards cannot change its namespace.
        """
        if old is None:
            return self
        for new_side, old_side in ((self.public, old.public), (self.private, old.private)):
            if new_side.netns != old_side.netns:
                raise HostError(
                    f"a side moved from namespace {old_side.netns!r} to {new_side.netns!r}",
                    fix="restart natlb",
                )
        return replace(
            self,
            driver=old.driver,
            output=old.output,
            workers=old.workers,
            public=_remember(self.public, old.public),
            private=_remember(self.private, old.private),
            tun_mtu=old.tun_mtu,
        )


def in_order(addresses: set[Address]) -> tuple[Address, ...]:
    """Return addresses in an order that is the same each time: IPv4 first, then by number."""
    return tuple(sorted(addresses, key=lambda address: (address.version, int(address))))


def port_ranges(listens: set[Listen]) -> tuple[Ports, ...]:
    """Return what is listened on, neighbouring ports as one: each costs the host a rule."""
    found: list[Ports] = []
    for listen in sorted(listens, key=_listen_order):
        protocol, first = PROTOCOLS[listen.protocol], listen.port
        one = Ports(address=listen.address, protocol=protocol, first=first, last=listen.last)
        before = found[-1] if found else one
        if before == replace(one, first=before.first, last=first - 1):
            one = replace(one, first=found.pop().first)
        found.append(one)
    return tuple(found)


def _listen_order(listen: Listen) -> tuple[int, int, str, int]:
    return listen.address.version, int(listen.address), listen.protocol, listen.port


def _side_wanted(side: ConfiguredSide | None) -> SideWanted:
    if side is None:
        return SideWanted()
    if isinstance(side, tuple):
        return SideWanted(interfaces=side)
    return SideWanted(netns=side.netns)


def _remember(new: Side, old: Side) -> Side:
    known = {device.name: device for device in old.devices}
    found = (known.get(device.name, device) for device in new.devices)
    devices = tuple(
        replace(device, mtu=now.mtu) for device, now in zip(found, new.devices, strict=True)
    )
    return replace(new, devices=devices, ra_devices=old.ra_devices)
