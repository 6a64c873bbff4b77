"""What keeps unrouted what was not routed before natlb, though interfaces forward now. Pure.

    102    to VIP lookup main
    102    iif natlb-pub from VIP, or natlb's own address goto 106
    103    iif natlb-pub prohibit                     what natlb passes on as no service's
    103    iif natlb-prv from BACKENDS prohibit
    105    iif INTERFACE prohibit
    106    nop

Where IPv6 can only be forwarded by all interfaces, those to come as well: `105 not iif lo
prohibit`, and natlb's devices are let past by `104 iif TUN goto 106`.

With a namespace for each side nothing went from one to the other before, so 103 stands in the
public one always. It is silent there: an error to a private address would go out to the public.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.control.host.operation import AddRule
from natlb.control.host.plan import PRIVATE_TUN, PUBLIC_TUN
from natlb.control.host.rules import (
    CLOSED,
    OPEN,
    PASSED,
    STRAYS,
    VIPS,
    has_closed_private,
    merged,
    routed_vips,
)
from natlb.netlink.values import MAIN_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.control.host.operation import Operation
    from natlb.control.host.plan import HostPlan, Version
    from natlb.control.host.rules import Place


def closing(plan: HostPlan, place: Place, version: Version) -> Iterator[Operation]:
    """Yield the rules that keep unrouted what was not routed before."""
    closed = place.closed(version)
    by_all = bool(closed) and version == 6 and not plan.force_forwarding

    def rule(priority: int, words: dict[str, Any]) -> AddRule:
        return AddRule(netns=place.netns, version=version, priority=priority, **words)

    if closed and place.is_public:
        for vip in merged(routed_vips(plan), version):
            yield rule(VIPS, {"destination": vip, "table": MAIN_TABLE})
    passed = list(_passed(plan, place, version))
    if passed or by_all:
        yield rule(OPEN, {"action": "nop"})
    for priority, words in (*passed, *_strays(plan, place, version)):
        yield rule(priority, words)
    if by_all:
        for tun in place.tuns:
            yield rule(PASSED, {"iif": tun, "action": "goto", "goto": OPEN})
        yield rule(CLOSED, {"iif": "lo", "inverted": True, "action": "prohibit"})
        return
    for device in closed:
        yield rule(CLOSED, {"iif": device, "action": "prohibit"})


Words = tuple[int, dict[str, Any]]
"""The priority of a rule, and its other fields."""


def _passed(plan: HostPlan, place: Place, version: Version) -> Iterator[Words]:
    """Yield what keeps in what natlb-prv brought and natlb hands back by natlb-pub."""
    if not place.is_public or (plan.together and not has_closed_private(plan, version)):
        return
    for source in _let_out(plan, version):
        yield VIPS, {"iif": PUBLIC_TUN, "source": source, "action": "goto", "goto": OPEN}
    # An error to a private address, sent in the public namespace, would go out to the public.
    refusal = "prohibit" if place.is_private else "blackhole"
    yield STRAYS, {"iif": PUBLIC_TUN, "action": refusal}


def _strays(plan: HostPlan, place: Place, version: Version) -> Iterator[Words]:
    """Yield what keeps in a backend's packets; a local one's always went out."""
    if place.is_private and has_closed_private(plan, version):
        remote = [each for each in plan.backends if each not in plan.local_backends]
        for source in merged(remote, version):
            yield STRAYS, {"iif": PRIVATE_TUN, "source": source, "action": "prohibit"}


def _let_out(plan: HostPlan, version: Version) -> list[str]:
    """Return the sources of what natlb itself sends to clients."""
    own = plan.public.error_source(version)
    return merged([*plan.vips, *([] if own is None else [own])], version)
