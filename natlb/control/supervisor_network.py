"""The host as the supervisor asks for it, and the real one behind it.

pyroute2 is loaded at the first use, not before: by then control and nursery load
their own code beside, so it costs the start nothing.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from natlb.control.messages import Hold
from natlb.control.roles import Role
from natlb.errors import NatlbError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from natlb.control.host import HopFollower, HostPlan, Links, Steering, Step, Tun, Upkeep, Wanted
    from natlb.control.queues import Way
    from natlb.netlink import Events

log = structlog.get_logger()


FactWords = tuple[str, str, dict[str, str]]
"""A past fact's kind, its level, and its fields."""


class Host(Protocol):
    """The host's network, set up and put back; every method may raise HostError."""

    def recover(self) -> None:
        """Undo what the journal says that a crash left."""

    def apply(self, wanted: bytes) -> tuple[bytes, list[Way]]:
        """Make the host's network so; return the plan that was applied, and new ways in and out.

        The first brings all; a later one none, unless a device had to be made anew.
        Where it fails, the host looks as it did before. Octets that want nothing sensible raise.
        """

    def decided(self) -> list[FactWords]:
        """Return what was decided since this was asked last: the driver, and why it is that."""

    def adopt(self, plan: bytes) -> None:
        """Take this plan as applied: a supervisor that died did it."""

    def rebuild(self, lost: Role) -> list[Way]:
        """Make the device of this side again, with its addresses, routes and rules."""

    def renew(self, held: list[Way]) -> list[Way]:
        """Have the sockets that are held let in what the plan says; return those to be added.

        One of these may take the place of one that is held. TUN devices of several queues
        steer by the plan.
        """

    def watched(self) -> list[int]:
        """Return the fds that are readable when the host may have changed."""

    def heard(self) -> tuple[bool, bool]:
        """Hear all that was said; return whether to look at natlb's own, and at everything."""

    def look(self, now: float, *, everything: bool) -> Found:
        """Make again what is missing; with `everything`, follow what changed on the host too."""

    def watched_hops(self) -> list[int]:
        """Return the fds that are readable when next hops may be others; none where none are."""

    def heard_hops(self) -> bool:
        """Hear all that was said; return whether next hops may be others."""

    def make_hops(self, generation: int) -> bytes | None:
        """Return the next hops as octets; None where they are none, or those of the last time."""

    def why_no_hops(self) -> str:
        """Return why the host routes what natlb would send by itself; empty where it does not."""

    def doubt_hops(self) -> None:
        """Have everything read again for the next `make_hops`."""

    def open_socket(self, family: int, kind: int) -> int:
        """Return the fd of a new socket in the private side's namespace."""

    def undo(self) -> None:
        """Put the host back as it was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a look at the host found: facts to tell, sides that lost their device, a new plan.

    `is_whole` is False while something of natlb's own is missing: packets do not get through.
    """

    facts: list[FactWords]
    lost: list[Role]
    plan: bytes | None
    is_whole: bool


class NetworkHost:
    """Keeps `Host` by netlink, sysctls and TUN devices."""

    def __init__(self, journal: Path) -> None:
        """Write down in `journal` what is to be undone."""
        self._journal = journal
        self._plan: HostPlan | None = None
        self._wanted: Wanted | None = None
        self._upkeep: Upkeep | None = None
        self._ears: dict[str, tuple[int, Events]] = {}
        self._links: Links | None = None
        self._hops: HopFollower | None = None
        self._decided: list[FactWords] = []
        self._steering: Steering | None = None

    def recover(self) -> None:
        """Undo what a crash left: what the journal says, and what bears natlb's mark."""
        from natlb.control.host import Journal, cleanup  # noqa: PLC0415 - the module says why

        undone = cleanup(Journal(self._journal))
        if undone:
            log.warning("leftovers_undone", changes=len(undone))

    def apply(self, wanted: bytes) -> tuple[bytes, list[Way]]:
        """Make the host's network so; return the plan that was applied, and new ways."""
        from natlb.control.host import (  # noqa: PLC0415 - the module says why
            KernelReader,
            choose,
            decode_wanted,
            encode_plan,
            filters_of,
            operations,
            programs_of,
            resolve,
        )

        hoped = decode_wanted(wanted)
        if self._wanted is None and self._plan is not None and _is_about(hoped, self._plan):
            self._wanted = hoped  # what the adopted plan came of, though it may not work now
        with KernelReader() as reader:
            plan = resolve(hoped.as_running(self._plan), reader).remembering(self._plan)
            if self._plan is None:
                words = {"driver": plan.driver, "reason": choose(hoped, reader).reason}
                self._decided.append(("driver_chosen", "info", words))
        filters_of(plan)  # what does not fit is refused before anything is changed
        with programs_of(plan) as programs:
            ways = self._make(operations(self._plan, plan), programs)
        self._plan, self._wanted = plan, hoped
        self._announce(plan)
        return encode_plan(plan), ways

    def decided(self) -> list[FactWords]:
        """Return which driver was chosen, and why, the first time after that."""
        decided, self._decided = self._decided, []
        return decided

    def adopt(self, plan: bytes) -> None:
        """Take this plan as applied; what its predecessor began beyond it is taken back.

        It may have died over the next plan: then the journal says more than the plan asks for.
        """
        from natlb.control.host import (  # noqa: PLC0415 - the module says why
            Journal,
            Step,
            apply,
            decode_plan,
        )
        from natlb.control.host.operations import complete  # noqa: PLC0415 - as above

        self._plan = decode_plan(plan)
        journal, wanted = Journal(self._journal), complete(self._plan)
        strays = [each.operation for each in journal.entries() if each.operation not in wanted]
        apply([Step("undo", each) for each in reversed(strays)], journal)

    def rebuild(self, lost: Role) -> list[Way]:
        """Make the device of this side again, with what the kernel dropped along with it."""
        from natlb.control.host import (  # noqa: PLC0415 - as above
            PRIVATE_TUN,
            PUBLIC_TUN,
            programs_of,
            repair,
        )

        assert self._plan is not None
        name = PUBLIC_TUN if lost is Role.QUEUE_PUBLIC else PRIVATE_TUN
        with programs_of(self._plan) as programs:
            return self._make(repair(self._plan, name), programs)

    def renew(self, held: list[Way]) -> list[Way]:
        """Have the sockets that are held let in what the plan says; return those to be added."""
        from natlb.control.host import Links, Steering  # noqa: PLC0415 - the module says why

        if self._plan is None:
            return []
        self._steering = self._steering or Steering()
        self._steering.renew(self._plan, held)
        self._links = self._links or Links()
        return self._links.renew(self._plan, held)

    def watched(self) -> list[int]:
        """Return a netlink socket for each namespace of the plan, once there is one."""
        from natlb.netlink import Events, identity, namespaces  # noqa: PLC0415 - as above

        plan, known = self._plan, namespaces()
        names = {plan.public.netns, plan.private.netns} if plan is not None else set()
        # A name may be given to another namespace while natlb runs.
        there = {name: identity(name or None) for name in names if not name or name in known}
        for name, (number, events) in list(self._ears.items()):
            if there.get(name) != number:
                events.close()
                del self._ears[name]
        for name, number in there.items():
            if name not in self._ears:
                self._ears[name] = (number, Events(name or None))
        return [events.fileno() for _, events in self._ears.values()]

    def heard(self) -> tuple[bool, bool]:
        """Hear the kernel; return whether to look at natlb's own, and at everything."""
        from natlb.control.host import Concern, Need  # noqa: PLC0415 - as above

        assert self._plan is not None
        concern = Concern(self._plan.vips + self._plan.backends + self._plan.sources)
        need = max((concern.need(events.read()) for _, events in self._ears.values()), default=0)
        return need >= Need.STANDING, need >= Need.EVERYTHING

    def look(self, now: float, *, everything: bool) -> Found:
        """Make again what is missing; with `everything`, follow what changed on the host too."""
        from natlb.control.host import Journal, Upkeep, encode_plan  # noqa: PLC0415 - as above

        assert self._plan is not None
        self._upkeep = self._upkeep or Upkeep(Journal(self._journal))
        outcome = self._upkeep.stand(self._plan, now)
        facts, is_announced, plan = outcome.facts, outcome.is_announced, None
        if everything and self._wanted is not None and not outcome.lost:
            followed = self._upkeep.follow(self._plan, self._wanted)
            facts, plan = facts + followed.facts, followed.plan
            self._plan = plan or self._plan
            is_announced &= followed.is_announced
        if not is_announced:
            self._announce(self._plan)
        return Found(
            facts=[(fact.kind, fact.level, fact.fields) for fact in facts],
            lost=[role_of(name) for name in outcome.lost],
            plan=None if plan is None else encode_plan(plan),
            is_whole=outcome.is_whole,
        )

    def watched_hops(self) -> list[int]:
        """Return a netlink socket for each namespace, where natlb sends by itself."""
        from natlb.control.host import HopFollower  # noqa: PLC0415 - the module says why

        plan = self._plan
        if plan is None or plan.driver == "tun":
            return []
        self._hops = self._hops or HopFollower(plan.public.netns, plan.private.netns)
        return self._hops.watched()

    def heard_hops(self) -> bool:
        """Hear the kernel; return whether next hops may be others."""
        return self._hops is not None and self._hops.hear()

    def make_hops(self, generation: int) -> bytes | None:
        """Return next hops, and whom natlb answers for, where they differ from the last."""
        from natlb.control.host import answered_by  # noqa: PLC0415 - the module says why

        if self._plan is None or self._hops is None:
            return None
        return self._hops.make(generation, is_open=True, answered=answered_by(self._plan))

    def why_no_hops(self) -> str:
        """Return why the host routes everything, where it does."""
        return "" if self._hops is None else self._hops.problem

    def doubt_hops(self) -> None:
        """Have everything read again."""
        if self._hops is not None:
            self._hops.doubt()

    def open_socket(self, family: int, kind: int) -> int:
        """Return the fd of a new socket in the private side's namespace.

        By its name, as all else there is done: made anew under that name, it is the one meant.
        """
        from natlb.netlink import inside  # noqa: PLC0415 - the module says why

        if self._plan is None:
            raise UnavailableError("the host's network is not set up yet")
        with inside(self._plan.private.netns or None):
            return socket.socket(family, kind).detach()

    def undo(self) -> None:
        """Put the host back as it was found."""
        from natlb.control.host import Journal, undo  # noqa: PLC0415 - the module says why

        for _, events in self._ears.values():
            events.close()
        self._ears.clear()
        if self._hops is not None:
            self._hops.close()
        undo(Journal(self._journal))

    def _make(self, steps: list[Step], steering: Mapping[str, int]) -> list[Way]:
        from natlb.control.host import Journal, apply  # noqa: PLC0415 - the module says why

        made: dict[str, Tun] = apply(steps, Journal(self._journal), steering)
        return [
            (Hold(role=role_of(name), index=index), fd)
            for name, tun in made.items()
            for index, fd in enumerate(tun.fds)
        ]

    @staticmethod
    def _announce(plan: HostPlan) -> None:
        """Tell the neighbours where the VIPs are; else they learn it at their next question."""
        from natlb.control.host import announce  # noqa: PLC0415 - the module says why

        try:
            announce(plan)
        except NatlbError as error:
            log.warning("vips_not_announced", reason=error.message)


def role_of(tun: str) -> Role:
    """Return which queue the device of this name has."""
    from natlb.control.host import PUBLIC_TUN  # noqa: PLC0415 - the module says why

    return Role.QUEUE_PUBLIC if tun == PUBLIC_TUN else Role.QUEUE_PRIVATE


def _is_about(wanted: Wanted, plan: HostPlan) -> bool:
    """Return whether this plan may have come of what is wanted."""
    return (wanted.vips, wanted.backends, wanted.sources) == (
        plan.vips,
        plan.backends,
        plan.sources,
    )
