"""What a driver that takes packets from the wire by itself cannot do, refused before it begins.

a VIP that is an address of the host     its other ports would be the host's no longer
a backend in the private namespace       its packets come by no interface
a side without an interface              likewise
an interface that is no Ethernet         natlb writes and reads Ethernet headers
a port of a bridge, a bond, a VRF        the packets are another interface's
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.netlink.values import ETHERNET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from natlb.control.host.choose import Choice
    from natlb.control.host.plan import HostPlan
    from natlb.errors import HostError
    from natlb.netlink.values import Link

BY_TUN = "datapath: {driver: tun}"


def refuse_unfit(plan: HostPlan, choice: Choice, links: Iterable[Link]) -> None:
    """Raise HostError for what this plan has and its driver cannot do; `links` are both sides'."""
    if plan.driver == "tun":
        return
    for vip in plan.host_vips:
        raise choice.refuse(f"VIP {vip} is an address of this host", BY_TUN)
    for backend in plan.local_backends:
        raise choice.refuse(f"backend {backend} is an address of the private namespace", BY_TUN)
    for name, side in (("public", plan.public), ("private", plan.private)):
        if not side.devices:
            raise choice.refuse(f"the {name} side has no interface", BY_TUN)
    for link in links:
        _refuse_link(link, choice)


def _refuse_link(link: Link, choice: Choice) -> None:
    refusal: HostError | None = None
    if link.hardware != ETHERNET or not link.mac:
        refusal = choice.refuse(f"interface {link.name} is no Ethernet", BY_TUN)
    elif link.master is not None:
        refusal = choice.refuse(
            f"interface {link.name} is a port of {link.master}", f"name {link.master} instead"
        )
    if refusal is not None:
        raise refusal
