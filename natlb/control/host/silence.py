"""What keeps the host from the packets that natlb takes from the wire by itself. Pure.

For the drivers `packet` and `xdp`, in place of the TUN devices and all that leads into them:

    route  blackhole VIP                    in the namespaces of both sides
    route  blackhole SOURCE                 full NAT's, in the private one
    100    iif PRIVATE from BACKENDS blackhole
    102    iif PRIVATE ipproto icmp blackhole      routers' errors about what natlb sent: they quote
                                                   private addresses, so natlb translates them

The host neither answers nor forwards these, so it need not forward at all: its sysctls are left
as they are. Neighbours' questions for a VIP are natlb's to answer too: the kernel has no proxy
entry for what it has no way to.

A backend's packets to the host's own addresses stay the host's, since the table `local` is asked
before (answers to health checks are such); natlb's filters leave them out.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from natlb.control.host.blackhole import AddBlackhole
from natlb.control.host.operation import AddRule
from natlb.control.host.rules import BACKENDS, ICMP, VIPS, merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.control.host.operation import Operation
    from natlb.control.host.plan import HostPlan, Version


def silence(plan: HostPlan, version: Version) -> Iterator[Operation]:
    """Yield what has the host drop natlb's packets of one IP version without a word."""
    for netns in dict.fromkeys((plan.public.netns, plan.private.netns)):
        own = plan.vips + (plan.sources if netns == plan.private.netns else ())
        for address in own:
            if address.version == version:
                yield AddBlackhole(netns=netns, destination=str(ip_network(address)))
    netns = plan.private.netns

    def drop(priority: int, **words: Any) -> AddRule:
        return AddRule(netns=netns, version=version, priority=priority, action="blackhole", **words)

    for prefix in merged(plan.backends, version):
        for device in plan.private.devices:
            yield drop(BACKENDS, iif=device.name, source=prefix)
    for device in plan.private.devices:
        yield drop(VIPS, iif=device.name, ip_protocol=ICMP[version])
