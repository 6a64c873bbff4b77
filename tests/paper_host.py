"""A host on paper: what `resolve` and `doctor` would read of one, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv6Network, ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

from natlb.control.host.operation import AddRule, Operation, kernels_local
from natlb.control.host.plan import Device, HostPlan, Neighbours, Ports, Side, SideWanted, Wanted
from natlb.errors import NatlbError
from natlb.netlink.values import Link, Route, Rule, Way

if TYPE_CHECKING:
    from collections.abc import Iterable

    from natlb.control.config.values import DriverName
    from natlb.control.host.plan import Version
    from natlb.netlink.values import Address


def link(name: str, *addresses: str, mtu: int = 1500, up: bool = True, mac: str = "02::") -> Link:
    """Return an interface with these addresses."""
    return Link(
        name=name,
        index=abs(hash(name)) % 1000,
        kind="",
        mtu=mtu,
        up=up,
        carrier=up,
        mac=mac,
        txqueuelen=1000,
        master=None,
        addresses=tuple(ip_interface(address) for address in addresses),
    )


def default_route(dev: str, via: str, metric: int | None = None) -> Route:
    """Return a default route."""
    gateway = ip_address(via)
    everything = ip_network("0.0.0.0/0" if gateway.version == 4 else "::/0")
    return Route(destination=everything, via=gateway, dev=dev, metric=metric)


@dataclass
class PaperNamespace:
    """One namespace: a gateway with two interfaces, unless told otherwise."""

    links: list[Link] = field(
        default_factory=lambda: [
            link("lo", "127.0.0.1/8", "::1/128", mtu=65536, mac=""),
            link("eth0", "198.51.100.1/24", "2001:db8:1::1/64", "fe80::1/64"),
            link("eth1", "10.77.0.1/24", "fd77::1/64", "fe80::2/64"),
        ]
    )
    routes: list[Route] = field(
        default_factory=lambda: [
            default_route("eth0", "198.51.100.254"),
            default_route("eth0", "2001:db8:1::fe"),
        ]
    )
    ways: dict[str, Way] = field(default_factory=dict)
    sysctls: dict[str, str] = field(
        default_factory=lambda: {
            "net/ipv6/conf/all/forwarding": "0",
            "net/ipv6/conf/all/force_forwarding": "0",
        }
    )
    rules: list[Rule] = field(
        default_factory=lambda: [kernels_local(4), kernels_local(6)],
    )
    number: int = 1


def way(interface: str | None, kind: str = "unicast", mtu: int | None = None) -> Way:
    """Return an answer to a route look-up."""
    return Way(interface=interface, gateway=None, source=None, kind=kind, mtu=mtu)  # type: ignore[arg-type]


class PaperHost:
    """A `HostReader` of namespaces on paper; the empty name is natlb's own."""

    def __init__(self, **named: PaperNamespace) -> None:
        """Have natlb's own namespace as it usually is, and these beside it."""
        self.namespaces = {"": PaperNamespace()}
        self.no_tun: NatlbError | None = None
        for number, (name, namespace) in enumerate(named.items(), 2):
            self.namespaces[name] = replace(namespace, number=number)

    @property
    def own(self) -> PaperNamespace:
        """The namespace that natlb runs in."""
        return self.namespaces[""]

    def identity(self, netns: str) -> int:
        """Return the namespace's number."""
        return self.namespaces[netns].number

    def links(self, netns: str) -> list[Link]:
        """Return the interfaces."""
        return self.namespaces[netns].links

    def way(self, netns: str, address: Address) -> Way | None:
        """Return what was set down, or what addresses and default routes say."""
        namespace = self.namespaces[netns]
        if str(address) in namespace.ways:
            return namespace.ways[str(address)]
        for each in namespace.links:
            if any(address in held.network for held in each.addresses):
                return way(each.name)
        found = [r for r in namespace.routes if r.destination.version == address.version]
        return way(found[0].dev) if found else None

    def default_devices(self, netns: str, version: Version) -> list[str]:
        """Return the interfaces of the default routes, the best one first."""
        found = [
            each
            for each in self.namespaces[netns].routes
            if (each.destination.version, each.destination.prefixlen) == (version, 0)
            and each.kind == "unicast"
        ]
        return [each.dev or "" for each in sorted(found, key=lambda each: each.metric or 0)]

    def rules(self, netns: str, version: Version) -> list[Rule]:
        """Return the policy rules of one IP version."""
        return [rule for rule in self.namespaces[netns].rules if rule.version == version]

    def sysctl(self, netns: str, key: str) -> str | None:
        """Return what was set down, or None."""
        return self.namespaces[netns].sysctls.get(key)

    def tun(self) -> NatlbError | None:
        """Return the reason."""
        return self.no_tun


def wanted(
    vips: str = "203.0.113.10",
    backends: str = "10.77.0.11 10.77.0.12",
    *,
    public: SideWanted | None = None,
    private: SideWanted | None = None,
    sources: str = "",
    listens: tuple[Ports, ...] = (),
    driver: DriverName = "auto",
) -> Wanted:
    """Return a wish, its addresses written with spaces between."""
    return Wanted(
        driver=driver,
        public=public or SideWanted(),
        private=private or SideWanted(),
        vips=tuple(ip_address(each) for each in vips.split()),
        backends=tuple(ip_address(each) for each in backends.split()),
        sources=tuple(ip_address(each) for each in sources.split()),
        listens=listens,
    )


def host_plan(vips: str = "203.0.113.10", backends: str = "10.77.0.11 10.77.0.12") -> HostPlan:
    """Return a plan for one namespace with eth0 and eth1, nothing forwarded before."""

    def side(name: str, address4: str, address6: str) -> Side:
        return Side(
            netns="",
            devices=(Device(name=name, mtu=1500, open4=False, open6=False),),
            way_mtu=1500,
            address4=ip_address(address4),  # type: ignore[arg-type]
            address6=ip_address(address6),  # type: ignore[arg-type]
            ra_devices=("default", name),
        )

    return HostPlan(
        public=side("eth0", "198.51.100.1", "2001:db8:1::1"),
        private=side("eth1", "10.77.0.1", "fd77::1"),
        tun_mtu=1500,
        vips=tuple(ip_address(each) for each in vips.split()),
        backends=tuple(ip_address(each) for each in backends.split()),
        has_ipv6=True,
        force_forwarding=True,
    )


def opened(plan: HostPlan) -> HostPlan:
    """Return the plan of a host that forwarded everything before."""

    def side(of: Side) -> Side:
        devices = tuple(replace(each, open4=True, open6=True) for each in of.devices)
        return replace(of, devices=devices)

    return replace(plan, public=side(plan.public), private=side(plan.private))


def sharing() -> HostPlan:
    """Return the plan of a host whose own addresses are the VIPs: with a web server's ports."""
    plan = host_plan("198.51.100.1 2001:db8:1::1", "10.77.0.11 fd77::11")
    return replace(
        plan,
        host_vips=plan.vips,
        services=tuple(Ports(address=vip, protocol=6, first=80, last=81) for vip in plan.vips),
        neighbours=(Neighbours(dev="eth0", network=IPv6Network("2001:db8:1::/64")),),
    )


def rules_of(operations: Iterable[Operation], netns: str | None = None) -> list[str]:
    """Return the rules among these, as `ip rule` might print them."""
    return [
        words_of(each)
        for each in operations
        if isinstance(each, AddRule) and netns in (None, each.netns)
    ]


def words_of(rule: AddRule) -> str:
    """Return a rule as `ip rule` might print it."""
    parts = [str(rule.priority), "not" if rule.inverted else ""]
    for word, value in (("iif", rule.iif), ("from", rule.source), ("to", rule.destination)):
        parts.append(f"{word} {value}" if value else "")
    parts.append(f"proto {rule.ip_protocol}" if rule.ip_protocol else "")
    parts.append(f"dport {rule.ports}" if rule.ports else "")
    parts.append(f"{rule.action} {rule.table or rule.goto or ''}")
    return " ".join(part for part in parts if part).strip()


def apart(plan: HostPlan) -> HostPlan:
    """Return the plan with a namespace for each side, `left` and `right`."""
    return replace(
        plan,
        public=replace(plan.public, netns="left"),
        private=replace(plan.private, netns="right"),
    )


@dataclass
class PaperProbe:
    """A `Probe` of a host on paper, on which nothing is wrong unless told otherwise."""

    python: tuple[int, int, int] = (3, 11, 7)
    release: str = "6.18.1"
    uid: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(
        default_factory=lambda: {
            "/proc/sys/net/ipv4/ip_forward": "0\n",
            "/proc/sys/net/ipv6/conf/all/forwarding": "0\n",
        }
    )
    mask: int = (1 << 41) - 1
    installed: tuple[str, ...] = ("numba",)
    no_tun: NatlbError | None = None
    no_packet: NatlbError | None = None
    no_xdp: NatlbError | None = None
    has_memfd: bool = True
    may_execute: bool = True
    read_only: bool = False
    marks: list[str] | NatlbError = field(default_factory=list)
    chains: list[str] | None = field(default_factory=list)

    def text(self, path: str) -> str | None:
        """Return what was set down."""
        return self.files.get(path)

    def is_read_only(self, path: str) -> bool:
        """Return what was set down."""
        return self.read_only and path.startswith("/proc/sys")

    def capabilities(self) -> int:
        """Return the mask."""
        return self.mask

    def is_installed(self, module: str) -> bool:
        """Return whether it was set down."""
        return module in self.installed

    def tun(self) -> NatlbError | None:
        """Return the reason."""
        return self.no_tun

    def packet(self) -> NatlbError | None:
        """Return the reason."""
        return self.no_packet

    def xdp(self) -> NatlbError | None:
        """Return the reason."""
        return self.no_xdp

    def memfd(self) -> bool:
        """Return what was set down."""
        return self.has_memfd

    def executable_memory(self) -> bool:
        """Return what was set down."""
        return self.may_execute

    def leftovers(self) -> list[str]:
        """Return the marks, or refuse to."""
        if isinstance(self.marks, NatlbError):
            raise self.marks
        return self.marks

    def dropping_chains(self) -> list[str] | None:
        """Return the chains."""
        return self.chains
