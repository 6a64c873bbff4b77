"""Which worker's queue of a TUN device a packet goes into: programs, renewed as the plan changes.

The device asks a program for each packet (`natlb.bpf.steering`). It knows the VIPs and the
addresses of full NAT, so another plan may need another one; the kernel puts it in the place of the
old one at once. What a new plan adds is used by workers only after that: no packet of it is early.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from natlb.bpf.attach import attach_tun_steering
from natlb.bpf.steering import tun_program
from natlb.control.host.plan import PRIVATE_TUN, PUBLIC_TUN
from natlb.control.roles import Role

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from natlb.control.host.plan import HostPlan
    from natlb.control.queues import Way
    from natlb.netlink.values import Address

    Key = tuple[int, tuple[Address, ...], tuple[Address, ...]]

TUN_OF = {Role.QUEUE_PUBLIC: PUBLIC_TUN, Role.QUEUE_PRIVATE: PRIVATE_TUN}


def is_steered(plan: HostPlan) -> bool:
    """Return whether a plan has TUN devices of several queues."""
    return plan.driver == "tun" and plan.workers > 1


@contextmanager
def programs_of(plan: HostPlan) -> Iterator[Mapping[str, int]]:
    """Yield the programs of a plan, by device; none where one worker gets everything.

    They are closed afterwards: a device keeps its own. NatlbError where the kernel refuses one, as
    it does without CAP_BPF, or where there are more addresses than fit.
    """
    loaded: dict[str, int] = {}
    try:
        for side, name in enumerate((PUBLIC_TUN, PRIVATE_TUN) if is_steered(plan) else ()):
            loaded[name] = tun_program(side, plan.workers, plan.vips, plan.sources)
        yield loaded
    finally:
        for fd in loaded.values():
            os.close(fd)


class Steering:
    """Which addresses the devices' programs know."""

    def __init__(self) -> None:
        """Know of none."""
        self._known: Key | None = None

    def renew(self, plan: HostPlan, held: Sequence[Way]) -> None:
        """Have the devices whose queues are held steer by this plan, if they do not yet."""
        key = plan.workers, plan.vips, plan.sources
        firsts = {said.role: fd for said, fd in held if said.role in TUN_OF and not said.index}
        if key == self._known or not firsts or not is_steered(plan):
            return
        with programs_of(plan) as programs:
            for role, fd in firsts.items():
                attach_tun_steering(fd, programs[TUN_OF[role]])
        self._known = key
