"""From what is wanted to a plan for this host: which interfaces are public and private.

Pure: all that it knows of the host it asks the reader for. What the host cannot do is refused
here, before anything is changed, with the name that was meant and the mend.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from natlb.control.host.plan import HostPlan, in_order
from natlb.control.host.view import LARGEST_PACKET, SMALLEST_TUN_MTU, View
from natlb.errors import HostError
from natlb.netlink.values import Address, Link, Proxy, Way

if TYPE_CHECKING:
    from natlb.control.host.plan import Wanted
    from natlb.control.host.reader import HostReader


def resolve(wanted: Wanted, reader: HostReader) -> HostPlan:
    """Return the plan for this host, or raise HostError with what stands in the way."""
    wanted = _with_plain_namespaces(wanted, reader)
    public = View(reader, wanted.public.netns)
    together = wanted.public.netns == wanted.private.netns
    private = public if together else View(reader, wanted.private.netns)
    if any(address.version == 6 for address in wanted.vips + wanted.backends):
        for view in (public, private):
            view.require_ipv6()
    for vip in wanted.vips:
        _refuse_host_address(vip, public)
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
        wanted.vips, public, inner if together else None
    )
    return HostPlan(
        public=public.side(outer, ()),
        private=private.side(inner, ways.values()),
        tun_mtu=_tun_mtu(outer + inner),
        vips=wanted.vips,
        backends=wanted.backends,
        local_backends=local,
        proxies=_proxies(wanted.vips, outer),
        has_ipv6=public.has_ipv6,
        force_forwarding=public.can_force_forwarding,
    )


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


def _refuse_host_address(vip: Address, public: View) -> None:
    """Raise HostError if the host keeps what is sent to this VIP for itself."""
    holder = public.holder_of(vip)
    if holder is None:
        return
    raise HostError(
        f"VIP {vip} is an address of this host, on {holder}{public.where}: not in this version",
        fix=f"choose another VIP, or: ip address delete {vip} dev {holder}",
    )


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


def _facing(vips: tuple[Address, ...], public: View, inner: list[Link] | None) -> list[Link]:
    """Return the public interfaces where none is named.

    For each VIP the interface whose subnet holds it, else that of the default route; where a VIP
    has neither, all that are not private. `inner` is None where the private ones stand elsewhere.
    """
    found = [public.subnet_of(vip) or public.default_of(vip) for vip in vips]
    if all(found):
        chosen = {link.name for links in found for link in links}
        return [link for link in public.devices if link.name in chosen]
    private = {link.name for link in inner or ()}
    rest = [link for link in public.devices if link.up and link.name not in private]
    if not rest and inner is not None:
        raise HostError(
            f"no interface is left to be public{public.where}",
            fix="datapath: {public: [INTERFACE]}",
        )
    return rest


def _proxies(vips: tuple[Address, ...], outer: list[Link]) -> tuple[Proxy, ...]:
    """Return for which VIPs somebody on a public interface's own subnet will ask."""
    return tuple(
        Proxy(address=vip, dev=link.name)
        for vip in vips
        for link in outer
        if link.mac and View.holds(link, vip)
    )


def _tun_mtu(links: list[Link]) -> int:
    """Return the largest of all interfaces' MTUs.

    The kernel then hands over whatever comes in: it would answer "too big" with the numbers it
    sees, natlb answers with those of the way out and before it rewrites.
    """
    return min(max([SMALLEST_TUN_MTU, *(link.mtu for link in links)]), LARGEST_PACKET)
