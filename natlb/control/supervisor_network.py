"""The host as the supervisor asks for it, and the real one behind it.

pyroute2 is loaded at the first use, not before: by then control and nursery load
their own code beside, so it costs the start nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from natlb.control.messages import Role
from natlb.errors import NatlbError

if TYPE_CHECKING:
    from pathlib import Path

    from natlb.control.host import HostPlan, Step, Tun

log = structlog.get_logger()


class Host(Protocol):
    """The host's network, set up and put back; every method may raise HostError."""

    def recover(self) -> None:
        """Undo what the journal says that a crash left."""

    def apply(self, wanted: bytes) -> tuple[bytes, dict[Role, int]]:
        """Make the host's network so; return the plan that was applied, and new queues.

        The first brings both queues; a later one none, unless a device had to be made anew.
        Where it fails, the host looks as it did before. Octets that want nothing sensible raise.
        """

    def adopt(self, plan: bytes) -> None:
        """Take this plan as applied: a supervisor that died did it."""

    def rebuild(self, lost: Role) -> dict[Role, int]:
        """Make the device of this side again, with its addresses, routes and rules."""

    def undo(self) -> None:
        """Put the host back as it was found."""


class NetworkHost:
    """Keeps `Host` by netlink, sysctls and TUN devices."""

    def __init__(self, journal: Path) -> None:
        """Write down in `journal` what is to be undone."""
        self._journal = journal
        self._plan: HostPlan | None = None

    def recover(self) -> None:
        """Undo what a crash left: what the journal says, and what bears natlb's mark."""
        from natlb.control.host import Journal, cleanup  # noqa: PLC0415 - the module says why

        undone = cleanup(Journal(self._journal))
        if undone:
            log.warning("leftovers_undone", changes=len(undone))

    def apply(self, wanted: bytes) -> tuple[bytes, dict[Role, int]]:
        """Make the host's network so; return the plan that was applied, and new queues."""
        from natlb.control.host import (  # noqa: PLC0415 - the module says why
            KernelReader,
            decode_wanted,
            encode_plan,
            operations,
            resolve,
        )

        with KernelReader() as reader:
            plan = resolve(decode_wanted(wanted), reader).remembering(self._plan)
        queues = self._make(operations(self._plan, plan))
        self._plan = plan
        self._announce(plan)
        return encode_plan(plan), queues

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

    def rebuild(self, lost: Role) -> dict[Role, int]:
        """Make the device of this side again, with what the kernel dropped along with it."""
        from natlb.control.host import PRIVATE_TUN, PUBLIC_TUN, repair  # noqa: PLC0415 - as above

        assert self._plan is not None
        name = PUBLIC_TUN if lost is Role.QUEUE_PUBLIC else PRIVATE_TUN
        return self._make(repair(self._plan, name))

    def undo(self) -> None:
        """Put the host back as it was found."""
        from natlb.control.host import Journal, undo  # noqa: PLC0415 - the module says why

        undo(Journal(self._journal))

    def _make(self, steps: list[Step]) -> dict[Role, int]:
        from natlb.control.host import (  # noqa: PLC0415 - the module says why
            PRIVATE_TUN,
            PUBLIC_TUN,
            Journal,
            apply,
        )

        made: dict[str, Tun] = apply(steps, Journal(self._journal))
        roles = {PUBLIC_TUN: Role.QUEUE_PUBLIC, PRIVATE_TUN: Role.QUEUE_PRIVATE}
        return {roles[name]: tun.fd for name, tun in made.items()}

    @staticmethod
    def _announce(plan: HostPlan) -> None:
        """Tell the neighbours where the VIPs are; else they learn it at their next question."""
        from natlb.control.host import announce  # noqa: PLC0415 - the module says why

        try:
            announce(plan)
        except NatlbError as error:
            log.warning("vips_not_announced", reason=error.message)
