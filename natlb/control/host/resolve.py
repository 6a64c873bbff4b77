"""From what is wanted to a plan for this host: which interfaces are public and private.

Pure: all that it knows of the host it asks the reader for. What the host cannot do is refused
here, before anything is changed, with the name that was meant and the mend.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from natlb.control.host.choose import choose
from natlb.control.host.packet import refuse_unfit
from natlb.control.host.plan import DUMMY_ADDRESS, OWN_ADDRESS6, HostPlan, in_order
from natlb.control.host.view import LARGEST_PACKET, SMALLEST_TUN_MTU, View
from natlb.errors import HostError
from natlb.netlink.values import Address, Link, Proxy, Way

if TYPE_CHECKING:
    from natlb.control.host.plan import Wanted
    from natlb.control.host.reader import HostReader


def resolve(wanted: Wanted, reader: HostReader, now: HostPlan | None = None) -> HostPlan:
    """Return the plan for this host, or raise HostError with what stands in the way.

    With the plan in force, `now`, no interface becomes public just because the one that was is
    down for a moment: where none holds a VIP or leads to its clients, those of `now` stay.
    """
    wanted = _with_plain_namespaces(wanted, reader)
    choice = choose(wanted, reader)
    public = View(reader, wanted.public.netns)
    together = wanted.public.netns == wanted.private.netns
    private = public if together else View(reader, wanted.private.netns)
    if any(each.version == 6 for each in wanted.vips + wanted.backends + wanted.sources):
        for view in (public, private):
            view.require_ipv6()
    held = _held(wanted.vips, public)
    _refuse_sources(wanted, private)
    ways = {backend: private.way_to(backend) for backend in wanted.backends}
    local = in_order({backend for backend, way in ways.items() if way.kind == "local"})
    if together and local:
        raise HostError(
            f"backend {local[0]} is an address of this host{private.where}",
            fix="a backend is another host, or another network namespace",
        )
    inner = private.named(wanted.private.interfaces) or private.through(ways.values())
    _refuse_strays(ways, inner, private)
    outer = public.named(wanted.public.interfaces) or _facing(
        wanted.vips, public, inner if together else None, now
    )
    free = tuple(vip for vip in wanted.vips if vip not in held)
    among = [link for link in inner if not (together and link in outer)]
    hosts = _hosts(public, wanted) if together else held
    plan = HostPlan(
        driver=choice.driver,
        workers=wanted.workers,
        public=replace(public.side(outer, ()), hosts=hosts),
        private=private.side(inner, ways.values()),
        tun_mtu=_tun_mtu(outer + inner),
        vips=wanted.vips,
        backends=wanted.backends,
        local_backends=local,
        proxies=_proxies(free, outer),
        sources=wanted.sources,
        private_proxies=_proxies(free, among) + _proxies(wanted.sources, inner),
        host_vips=held,
        services=tuple(ports for ports in wanted.listens if ports.address in held),
        neighbours=tuple(each for vip in held for each in public.neighbours(vip)),
        own=() if choice.driver == "tun" else private.own,
        has_ipv6=public.has_ipv6,
        force_forwarding=public.can_force_forwarding,
    )
    refuse_unfit(plan, choice, outer + inner)
    return plan


def _with_plain_namespaces(wanted: Wanted, reader: HostReader) -> Wanted:
    """Return what is wanted with one name for one namespace: natlb's own is the empty one."""
    names = {reader.identity(""): ""}
    public = names.setdefault(reader.identity(wanted.public.netns), wanted.public.netns)
    private = names.setdefault(reader.identity(wanted.private.netns), wanted.private.netns)
    return replace(
        wanted,
        public=replace(wanted.public, netns=public),
        private=replace(wanted.private, netns=private),
    )


def _held(vips: tuple[Address, ...], public: View) -> tuple[Address, ...]:
    """Return the VIPs that are addresses of the host, which is to keep what no service wants."""
    for vip in vips:
        public.refuse_group(vip, "VIP")
    held = tuple(vip for vip in vips if public.holder_of(vip) is not None)
    for vip in held:
        public.refuse_moved_local(vip)
    return held


def _refuse_sources(wanted: Wanted, private: View) -> None:
    """Raise HostError for an address of full NAT that somebody has already."""
    for source in wanted.sources:
        private.refuse_group(source, "source")
        holder = private.holder_of(source)
        owner = f"an address of this host, on {holder}{private.where}" if holder else None
        if source in wanted.vips:
            owner = "a VIP"
        elif source in wanted.backends:
            owner = "a backend's address"
        if owner is not None:
            raise HostError(
                f"datapath.source {source} is {owner}: its ports are not natlb's to choose from",
                fix="choose for datapath.source an address that nobody has",
            )


def _hosts(public: View, wanted: Wanted) -> tuple[Address, ...]:
    """Return what a process of the host may call a VIP from, natlb's own devices' included."""
    own: tuple[Address, ...] = (DUMMY_ADDRESS, OWN_ADDRESS6)
    versions = {vip.version for vip in wanted.vips}
    return tuple(each for each in public.addresses + own if each.version in versions)


def _refuse_strays(ways: dict[Address, Way], inner: list[Link], private: View) -> None:
    """Raise HostError if a backend is reached by an interface that was not named as private."""
    names = [link.name for link in inner]
    for backend, way in ways.items():
        if way.kind != "local" and way.interface not in names:
            raise HostError(
                f"backend {backend} is reached by {way.interface}{private.where}, "
                f"and datapath.private names {', '.join(names)}",
                fix=f"add {way.interface} to datapath.private",
            )


def _facing(
    vips: tuple[Address, ...], public: View, inner: list[Link] | None, now: HostPlan | None
) -> list[Link]:
    """Return the public interfaces where none is named.

    For each VIP the interface whose subnet holds it, else that of the default route; where a VIP
    has neither, those of the plan in force, or all that are not private. `inner` is None where the
    private ones stand elsewhere.
    """
    found = [public.subnet_of(vip) or public.default_of(vip) for vip in vips]
    if all(found):
        chosen = {link.name for links in found for link in links}
        return [link for link in public.devices if link.name in chosen]
    if now is not None:
        return public.named(tuple(device.name for device in now.public.devices))
    private = {link.name for link in inner or ()}
    rest = [link for link in public.devices if link.up and link.name not in private]
    if not rest and inner is not None:
        raise HostError(
            f"no interface is left to be public{public.where}",
            fix="datapath: {public: [INTERFACE]}",
        )
    return rest


def _proxies(addresses: tuple[Address, ...], links: list[Link]) -> tuple[Proxy, ...]:
    """Return for which addresses somebody on an interface's own subnet will ask."""
    return tuple(
        Proxy(address=address, dev=link.name)
        for address in addresses
        for link in links
        if link.mac and View.holds(link, address)
    )


def _tun_mtu(links: list[Link]) -> int:
    """Return the largest of all interfaces' MTUs.

    The kernel then hands over whatever comes in: it would answer "too big" with the numbers it
    sees, natlb answers with those of the way out and before it rewrites.
    """
    return min(max([SMALLEST_TUN_MTU, *(link.mtu for link in links)]), LARGEST_PACKET)
