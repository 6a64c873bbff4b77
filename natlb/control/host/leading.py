"""What brings the right packets into natlb's TUN devices: routes and policy rules. Pure.

Into natlb-pub:

    route  VIP dev natlb-pub                         what is sent to a VIP
    default dev natlb-pub in table 6286              for VIPs that are addresses of the host:
    90     iif TUN lookup local                      what natlb gives back is the host's
    91     iif INTERFACE from NEIGHBOURS to VIP ipproto ipv6-icmp lookup local
    92     iif PRIVATE to VIP ipproto P dport PORTS lookup 6285      and ipproto icmp
    93     to VIP ipproto P dport PORTS lookup 6286                  and ipproto icmp
    94     lookup local                              moved here from 0

Into natlb-prv, by table 6285 with its default route:

    100    iif PRIVATE from BACKENDS                 what backends send
    100    iif PRIVATE, lo to SOURCES                answers of full NAT; the kernel's errors
    100    iif PRIVATE to VIP                        hairpin: known by the side it comes in by
    101    iif lo from TUN'S OWN ipproto icmp        the kernel's errors about what natlb wrote
    102    iif PRIVATE ipproto icmp                  errors of routers before the backends

An interface that is public as well has no hairpin but its backends' (92: from BACKENDS); there
`101 iif INTERFACE to VIP lookup main` keeps ICMP to a VIP public.

Neighbour discovery is unicast in part, to the very address that is a VIP, and must not leave the
interface: what neighbours say by ICMPv6 stays the host's (91).

With a namespace for each side the private one has no route to the VIPs, and perhaps none to the
clients: the host's own packets to VIPs, and the reverse path check, find table 6285 as well. What
natlb passes on goes nowhere then, so where the private one forwarded before, 102 is asked last.

The kernel's errors are known by their source: `icmp_errors_use_inbound_ifaddr` gives those about
packets out of natlb-prv its address. They quote private addresses, so natlb translates them.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from natlb.control.host.operation import AddRoute, AddRule, MoveLocal, Operation, SetSysctl
from natlb.control.host.plan import DUMMY_ADDRESS, OWN_ADDRESS6, PRIVATE_TUN, PUBLIC_TUN
from natlb.control.host.rules import (
    BACKENDS,
    ERROR_SOURCE,
    ERRORS,
    EVERYTHING,
    GIVEN_BACK,
    ICMP,
    LAST,
    LOCAL,
    NEIGHBOURS,
    SHARED,
    SHARED_HAIRPIN,
    SHARED_TABLE,
    TABLE,
    VIPS,
    has_closed_private,
    merged,
    routed_vips,
)
from natlb.netlink.values import LOCAL_TABLE, MAIN_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.control.host.plan import HostPlan, Version
    from natlb.netlink.values import Address


def to_public_tun(plan: HostPlan, version: Version) -> Iterator[Operation]:
    """Yield what brings to natlb-pub what is sent to VIPs."""
    netns, source = plan.public.netns, _own_source(plan, version)
    for vip in routed_vips(plan):
        if vip.version == version:
            yield AddRoute(
                netns=netns,
                destination=str(ip_network(vip)),
                dev=PUBLIC_TUN,
                table=MAIN_TABLE,
                source=source,
            )
    shared = [vip for vip in plan.host_vips if vip.version == version]
    if shared:
        yield AddRoute(
            netns=netns,
            destination=EVERYTHING[version],
            dev=PUBLIC_TUN,
            table=SHARED_TABLE,
            source=source,
        )
        yield from _shared(plan, version, shared)
        yield MoveLocal(netns=netns, version=version, priority=LOCAL)


def _own_source(plan: HostPlan, version: Version) -> str | None:
    """Return the address that processes of the host call a VIP from unless they choose one."""
    if not plan.has_own_source(version):
        return None  # any will do: answers to all of them pass natlb
    return str(DUMMY_ADDRESS if version == 4 else OWN_ADDRESS6)


def _shared(plan: HostPlan, version: Version, vips: list[Address]) -> Iterator[Operation]:
    """Yield the rules that part what is a service's from what is the host's, of one address."""

    def rule(priority: int, table: int, **words: Any) -> AddRule:
        netns = plan.public.netns
        return AddRule(netns=netns, version=version, priority=priority, table=table, **words)

    for tun in (PUBLIC_TUN, PRIVATE_TUN) if plan.together else (PUBLIC_TUN,):
        yield rule(GIVEN_BACK, LOCAL_TABLE, iif=tun)
    for each in plan.neighbours if version == 6 else ():
        source = str(each.network)
        for vip in merged(vips, 6):
            yield rule(
                NEIGHBOURS,
                LOCAL_TABLE,
                iif=each.dev,
                source=source,
                destination=vip,
                ip_protocol=ICMP[6],
            )
    for words in _of_services(plan, version, vips):
        for device in _inner(plan) if plan.together else ():
            yield rule(SHARED_HAIRPIN, TABLE, iif=device, **words)
        for device in _on_both_sides(plan):
            for prefix in merged(plan.backends, version):
                yield rule(SHARED_HAIRPIN, TABLE, iif=device, source=prefix, **words)
        yield rule(SHARED, SHARED_TABLE, **words)


def _of_services(
    plan: HostPlan, version: Version, vips: list[Address]
) -> Iterator[dict[str, str | int]]:
    """Yield what is natlb's of VIPs that are addresses of the host, in the words of a rule."""
    for vip in merged(vips, version):
        yield {"destination": vip, "ip_protocol": ICMP[version]}
    for each in plan.services:
        if each.address.version == version:
            vip = str(ip_network(each.address))
            yield {"destination": vip, "ip_protocol": each.protocol, "ports": str(each)}


def to_private_tun(plan: HostPlan, version: Version) -> Iterator[Operation]:
    """Yield what brings to natlb-prv what is answered, what turns round, and errors about it."""
    netns = plan.private.netns
    yield AddRoute(netns=netns, destination=EVERYTHING[version], dev=PRIVATE_TUN, table=TABLE)
    if version == 4:
        yield SetSysctl(netns=netns, key="net/ipv4/icmp_errors_use_inbound_ifaddr", value="1")
    for priority, words in (
        *_answers(plan, version),
        *_hairpin(plan, version),
        *_errors(plan, version),
    ):
        yield AddRule(netns=netns, version=version, priority=priority, **{"table": TABLE, **words})


Words = tuple[int, dict[str, Any]]
"""The priority of a rule, and its other fields."""


def _answers(plan: HostPlan, version: Version) -> Iterator[Words]:
    devices = [device.name for device in plan.private.devices]
    for prefix in merged(plan.backends, version):
        for device in devices:
            yield BACKENDS, {"iif": device, "source": prefix}
        if not plan.together:
            yield LAST, {"iif": "lo", "source": prefix}
    for prefix in merged(plan.local_backends, version):
        yield BACKENDS, {"iif": "lo", "source": prefix}
    for prefix in merged(plan.sources, version):
        for device in [*devices, "lo"]:
            yield BACKENDS, {"iif": device, "destination": prefix}


def _hairpin(plan: HostPlan, version: Version) -> Iterator[Words]:
    """Yield what tells by its side a packet to a VIP that comes from the private network."""
    for vip in merged(routed_vips(plan) if plan.together else plan.vips, version):
        for device in _inner(plan) if plan.together else [*_inner(plan), "lo"]:
            yield BACKENDS, {"iif": device, "destination": vip}
        for device in _on_both_sides(plan):
            yield ERRORS, {"iif": device, "destination": vip, "table": MAIN_TABLE}


def _errors(plan: HostPlan, version: Version) -> Iterator[Words]:
    """Yield what brings errors about what left by natlb-prv: the kernel's, and routers'."""
    own = ERROR_SOURCE[version]
    yield ERRORS, {"iif": "lo", "source": own, "ip_protocol": ICMP[version]}
    nowhere_to_pass = not plan.together and not has_closed_private(plan, version)
    for device in plan.private.devices:
        priority = LAST if nowhere_to_pass else VIPS
        yield priority, {"iif": device.name, "ip_protocol": ICMP[version]}


def _on_both_sides(plan: HostPlan) -> list[str]:
    """Return the interfaces that are public and private: a gateway with one arm has one."""
    if not plan.together:
        return []
    public = [device.name for device in plan.public.devices]
    return [device.name for device in plan.private.devices if device.name in public]


def _inner(plan: HostPlan) -> list[str]:
    """Return the interfaces that are private alone."""
    both = _on_both_sides(plan)
    return [device.name for device in plan.private.devices if device.name not in both]
