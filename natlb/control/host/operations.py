"""From one plan for the host to the next: what to do and what to take back, in order. Pure.

What leads packets into the TUN devices stands in `leading`, what keeps closed what was closed
before in `closing`; here are the devices, forwarding, answers to neighbours, and the order. The
other drivers need none of that, but `silence`.

Order: what closes comes before what opens, and a device before what needs it; back in reverse.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from natlb.control.host.closing import closing
from natlb.control.host.leading import to_private_tun, to_public_tun
from natlb.control.host.make_tun import AddIpv6, MakeTun
from natlb.control.host.operation import AddProxy, ForwardAll, Operation, SetSysctl
from natlb.control.host.plan import PRIVATE_TUN, PUBLIC_TUN, VERSIONS, HostPlan
from natlb.control.host.rules import (
    PRIVATE_ADDRESS,
    PRIVATE_ADDRESS6,
    PUBLIC_ADDRESS,
    PUBLIC_ADDRESS6,
    places,
)
from natlb.control.host.silence import silence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.control.host.plan import Side, Version
    from natlb.control.host.rules import Place
    from natlb.netlink.values import Proxy


@dataclass(frozen=True, slots=True)
class Step:
    """One step from a plan to the next: an operation done, or an earlier one undone."""

    verb: Literal["do", "undo"]
    operation: Operation


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
    versions = [version for version in VERSIONS if plan.uses(version)]
    if plan.driver != "tun":
        return list(dict.fromkeys(each for version in versions for each in silence(plan, version)))
    found: list[Operation] = []
    for place in places(plan):
        for version in versions:
            found += closing(plan, place, version)
            found += _forwarding(plan, place, version)
    found += _tuns(plan)
    for version in versions:
        found += to_public_tun(plan, version)
        found += to_private_tun(plan, version)
    found += _answering(plan.public, plan.proxies)
    found += _answering(plan.private, plan.private_proxies)
    return list(dict.fromkeys(found))


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
    made = partial(MakeTun, mtu=plan.tun_mtu, queues=plan.workers)
    yield made(netns=public, name=PUBLIC_TUN, address=PUBLIC_ADDRESS, scope="host")
    yield made(netns=private, name=PRIVATE_TUN, address=PRIVATE_ADDRESS, scope="global")
    if plan.uses(6):
        # Processes of the host call a VIP from it; apart, from what the kernel picks.
        own = PUBLIC_ADDRESS6 if plan.has_own_source(6) else None
        yield AddIpv6(netns=public, name=PUBLIC_TUN, address=own)
        yield AddIpv6(netns=private, name=PRIVATE_TUN, address=PRIVATE_ADDRESS6)


def _answering(side: Side, proxies: tuple[Proxy, ...]) -> Iterator[Operation]:
    """Yield what makes the host answer ARP and neighbour solicitations for natlb's, at once."""
    for proxy in proxies:
        family = f"ipv{proxy.address.version}"
        # Where a kernel hides it in a user namespace, the answer takes its time.
        delay = f"net/{family}/neigh/{proxy.dev}/proxy_delay"
        yield SetSysctl(netns=side.netns, key=delay, value="0", optional=True)
        if proxy.address.version == 6:
            # The kernel answers in another's place on a router's interface alone.
            if proxy.dev in side.ra_devices:
                yield _keep_ra(side.netns, proxy.dev)
            for key in ("forwarding", "proxy_ndp"):
                path = f"net/ipv6/conf/{proxy.dev}/{key}"
                yield SetSysctl(netns=side.netns, key=path, value="1")
        yield AddProxy(netns=side.netns, address=str(proxy.address), dev=proxy.dev)
