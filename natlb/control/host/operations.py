"""From one plan for the host to the next: what to do and what to take back, in order. Pure.

One namespace, both sides in it (the numbers are priorities of policy rules):

    route  VIP dev natlb-pub                          what is sent to a VIP
    100    iif PRIVATE from BACKENDS lookup T         what backends send; T: default dev natlb-prv
    101    iif lo from TUN'S OWN ipproto icmp lookup T    the kernel's errors about what natlb wrote

What was not forwarded before natlb stays unrouted, though interfaces forward now:

    102    to VIP lookup main
    103    iif TUN from BACKENDS prohibit             a backend's packet that is no service's
    104    iif INTERFACE prohibit

With a namespace for each side, the public one has the route and the private one the rules; nothing
went from one to the other before, so 103 stands in the public one always, and is silent there.
Where the private one has no route to the clients, the reverse path check finds T by a rule behind
all others.

The kernel's errors are known by their source: `icmp_errors_use_inbound_ifaddr` gives those about
packets out of natlb-prv its address. They quote private addresses, so natlb translates them.

Order: what closes comes before what opens, and a device before what needs it; back in reverse.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import TYPE_CHECKING, Any, Literal

from natlb.control.host.make_tun import AddIpv6, MakeTun
from natlb.control.host.operation import (
    AddProxy,
    AddRoute,
    AddRule,
    ForwardAll,
    Operation,
    SetSysctl,
)
from natlb.control.host.plan import (
    DUMMY_ADDRESS,
    PRIVATE_TUN,
    PUBLIC_TUN,
    VERSIONS,
    Device,
    HostPlan,
)
from natlb.netlink.values import MAIN_TABLE, Address

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from natlb.control.host.plan import Version

TABLE = 6285  # "natl" on a telephone's keys; a table number nobody else is likely to use
BACKENDS, ERRORS, VIPS, STRAYS, CLOSED, OPEN = range(100, 106)
LAST = 32_768  # behind `main` and `default`, 32766 and 32767

PUBLIC_ADDRESS = f"{DUMMY_ADDRESS}/32"
PRIVATE_ADDRESS = "192.0.0.11/32"  # RFC 6890's block for protocols, not assigned: on no wire
PRIVATE_ADDRESS6 = "fd6e:6174:6c62::8/128"  # RFC 4193; "natlb" in hexadecimal
ERROR_SOURCE: dict[Version, str] = {4: PRIVATE_ADDRESS, 6: PRIVATE_ADDRESS6}
ICMP: dict[Version, int] = {4: 1, 6: 58}
EVERYTHING: dict[Version, str] = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True, slots=True)
class Step:
    """One step from a plan to the next: an operation done, or an earlier one undone."""

    verb: Literal["do", "undo"]
    operation: Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One namespace of a plan, with what of the two sides stands in it."""

    netns: str
    devices: tuple[Device, ...]
    ra_devices: tuple[str, ...]
    is_public: bool
    is_private: bool

    def closed(self, version: Version) -> list[str]:
        """Return the devices that forwarded nothing before natlb."""
        return [device.name for device in self.devices if not device.is_open(version)]


def operations(old: HostPlan | None, new: HostPlan) -> list[Step]:
    """Return the steps that lead from `old` (None: nothing done) to `new`.

    What is new is done first and what is no longer wanted undone then, so that no packet that
    both plans carry falls between them. `new` must remember `old` (HostPlan.remembering).
    """
    wanted = complete(new)
    done = complete(old) if old is not None else []
    added = [Step("do", each) for each in wanted if each not in done]
    removed = [Step("undo", each) for each in reversed(done) if each not in wanted]
    return added + removed


def repair(plan: HostPlan, tun: str) -> list[Step]:
    """Return the steps that bring back a deleted TUN, and what the kernel dropped with it."""
    return [Step("do", each) for each in complete(plan) if each.device == tun]


def complete(plan: HostPlan) -> list[Operation]:
    """Return all operations of a plan, in order, each once."""
    places = _places(plan)
    versions = [version for version in VERSIONS if plan.uses(version)]
    found: list[Operation] = []
    for place in places:
        for version in versions:
            found += _closing(plan, place, version)
            found += _forwarding(plan, place, version)
    found += _tuns(plan)
    for version in versions:
        found += _to_public_tun(plan, version)
        found += _to_private_tun(plan, version)
    found += _answering(plan)
    return list(dict.fromkeys(found))


def merged(addresses: Iterable[Address], version: Version) -> list[str]:
    """Return prefixes that cover exactly these addresses of one IP version, as few as can be."""
    listed = list(addresses)
    if version == 4:
        hosts = [IPv4Network(address) for address in listed if address.version == 4]
        return [str(network) for network in collapse_addresses(hosts)]
    return [
        str(network)
        for network in collapse_addresses(
            IPv6Network(address) for address in listed if address.version == 6
        )
    ]


def _places(plan: HostPlan) -> list[Place]:
    public, private = plan.public, plan.private
    if plan.together:
        return [
            Place(
                netns=public.netns,
                devices=tuple(dict.fromkeys(public.devices + private.devices)),
                ra_devices=public.ra_devices,
                is_public=True,
                is_private=True,
            )
        ]
    return [
        Place(
            netns=side.netns,
            devices=side.devices,
            ra_devices=side.ra_devices,
            is_public=side is public,
            is_private=side is private,
        )
        for side in (public, private)
    ]


def _closing(plan: HostPlan, place: Place, version: Version) -> Iterator[Operation]:
    """Yield the rules that keep unrouted what was not routed before."""
    closed = place.closed(version)

    def rule(priority: int, **words: Any) -> AddRule:
        return AddRule(netns=place.netns, version=version, priority=priority, **words)

    if closed and place.is_public:
        for vip in merged(plan.vips, version):
            yield rule(VIPS, destination=vip, table=MAIN_TABLE)
    # An error to a private address, sent in the public namespace, would go out to the public.
    refusal = "prohibit" if place.is_private else "blackhole"
    for tun, source in _strays(plan, place, version):
        yield rule(STRAYS, iif=tun, source=source, action=refusal)
    if not closed:
        return
    if version == 4 or plan.force_forwarding:
        for device in closed:
            yield rule(CLOSED, iif=device, action="prohibit")
        return
    # All interfaces will forward, those to come as well: only natlb's own are let past.
    yield rule(OPEN, action="nop")
    for tun in _tuns_in(place):
        yield rule(VIPS, iif=tun, action="goto", goto=OPEN)
    yield rule(CLOSED, iif="lo", inverted=True, action="prohibit")


def _tuns_in(place: Place) -> list[str]:
    return [PUBLIC_TUN] * place.is_public + [PRIVATE_TUN] * place.is_private


def _strays(plan: HostPlan, place: Place, version: Version) -> Iterator[tuple[str, str]]:
    """Yield by which TUN and from which prefix a packet of no service's must not go on.

    natlb hands it back untouched; before natlb, a closed device would have dropped it, and
    nothing led from one namespace to the other. A local backend's packets always went out.
    """
    private_closed = any(not device.is_open(version) for device in plan.private.devices)
    apart = not plan.together
    if place.is_public and (apart or private_closed):
        yield from ((PUBLIC_TUN, source) for source in merged(plan.backends, version))
    if place.is_private and private_closed:
        remote = [each for each in plan.backends if each not in plan.local_backends]
        yield from ((PRIVATE_TUN, source) for source in merged(remote, version))


def _forwarding(plan: HostPlan, place: Place, version: Version) -> Iterator[Operation]:
    """Yield what makes the devices forward."""
    closed = place.closed(version)
    if version == 4 or plan.force_forwarding:
        key = "ipv4/conf/{}/forwarding" if version == 4 else "ipv6/conf/{}/force_forwarding"
        for device in closed:
            yield SetSysctl(netns=place.netns, key=f"net/{key.format(device)}", value="1")
    elif closed:
        for device in place.ra_devices:
            yield _keep_ra(place.netns, device)
        yield ForwardAll(netns=place.netns)


def _keep_ra(netns: str, device: str) -> SetSysctl:
    """Return what lets a device hear router advertisements though it forwards."""
    return SetSysctl(netns=netns, key=f"net/ipv6/conf/{device}/accept_ra", value="2")


def _tuns(plan: HostPlan) -> Iterator[Operation]:
    public, private = plan.public.netns, plan.private.netns
    # Of scope `host`: a client on the host itself calls from an address that answers reach.
    mtu = plan.tun_mtu
    yield MakeTun(netns=public, name=PUBLIC_TUN, mtu=mtu, address=PUBLIC_ADDRESS, scope="host")
    yield MakeTun(netns=private, name=PRIVATE_TUN, mtu=mtu, address=PRIVATE_ADDRESS, scope="global")
    if plan.uses(6):
        yield AddIpv6(netns=public, name=PUBLIC_TUN, address=None)
        yield AddIpv6(netns=private, name=PRIVATE_TUN, address=PRIVATE_ADDRESS6)


def _to_public_tun(plan: HostPlan, version: Version) -> Iterator[Operation]:
    for vip in plan.vips:
        if vip.version == version:
            yield AddRoute(
                netns=plan.public.netns,
                destination=str(ip_network(vip)),
                dev=PUBLIC_TUN,
                table=MAIN_TABLE,
            )


def _to_private_tun(plan: HostPlan, version: Version) -> Iterator[Operation]:
    """Yield what brings to natlb-prv what backends send, and errors about what left it."""
    netns = plan.private.netns
    if not any(backend.version == version for backend in plan.backends):
        return

    def to_table(priority: int, iif: str, source: str, **words: Any) -> AddRule:
        return AddRule(
            netns=netns,
            version=version,
            priority=priority,
            iif=iif,
            source=source,
            table=TABLE,
            **words,
        )

    yield AddRoute(netns=netns, destination=EVERYTHING[version], dev=PRIVATE_TUN, table=TABLE)
    if version == 4:
        yield SetSysctl(netns=netns, key="net/ipv4/icmp_errors_use_inbound_ifaddr", value="1")
    yield to_table(ERRORS, "lo", ERROR_SOURCE[version], ip_protocol=ICMP[version])
    prefixes = merged(plan.backends, version)
    for device in plan.private.devices:
        for prefix in prefixes:
            yield to_table(BACKENDS, device.name, prefix)
    for prefix in merged(plan.local_backends, version):
        yield to_table(BACKENDS, "lo", prefix)
    if not plan.together:
        for prefix in prefixes:
            yield to_table(LAST, "lo", prefix)


def _answering(plan: HostPlan) -> Iterator[Operation]:
    """Yield what makes the host answer ARP and neighbour solicitations for a VIP, at once."""
    netns = plan.public.netns
    for proxy in plan.proxies:
        family = f"ipv{proxy.address.version}"
        # Where a kernel hides it in a user namespace, the answer takes its time.
        delay = f"net/{family}/neigh/{proxy.dev}/proxy_delay"
        yield SetSysctl(netns=netns, key=delay, value="0", optional=True)
        if proxy.address.version == 6:
            # The kernel answers in another's place on a router's interface alone.
            if proxy.dev in plan.public.ra_devices:
                yield _keep_ra(netns, proxy.dev)
            for key in ("forwarding", "proxy_ndp"):
                yield SetSysctl(netns=netns, key=f"net/ipv6/conf/{proxy.dev}/{key}", value="1")
        yield AddProxy(netns=netns, address=str(proxy.address), dev=proxy.dev)
