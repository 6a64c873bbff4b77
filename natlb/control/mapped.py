"""The workers' memory and control's own counts: made once, mapped by whoever comes after."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from natlb.control.messages import Hold
from natlb.control.roles import Role
from natlb.control.tally import Tally, create_tally
from natlb.core.layout import EPOCH
from natlb.core.memory import SECRET_BYTES, Kind
from natlb.io.shared import attach, create, create_flows

if TYPE_CHECKING:
    from natlb.control.holdings import Holdings
    from natlb.control.link import SupervisorLink
    from natlb.core.commands import Commands
    from natlb.core.counters import Counters
    from natlb.core.events import Events
    from natlb.core.flow_table import FlowTable

WORKER = 0  # the number of the one worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A worker's table, counters and events, the ring of commands to it, and control's counts."""

    flows: FlowTable
    counters: Counters
    commands: Commands
    events: Events
    tally: Tally

    def now_ms(self) -> int:
        """Return the time as the flow table counts it."""
        boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return (boot - int(self.flows.meta[EPOCH])) // 1_000_000


def make_memory(link: SupervisorLink, max_flows: int) -> None:
    """Make a worker's memory and control's counts, and have them held."""
    epoch = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    flows = create_flows(max_flows, secrets.token_bytes(SECRET_BYTES), epoch)
    link.hold(Hold(role=Role.FLOWS, index=WORKER), flows)
    link.hold(Hold(role=Role.COUNTERS, index=WORKER), create(Kind.COUNTERS))
    link.hold(Hold(role=Role.COMMANDS, index=WORKER), create(Kind.COMMANDS))
    link.hold(Hold(role=Role.EVENTS, index=WORKER), create(Kind.EVENTS))
    link.hold(Hold(role=Role.TALLY), create_tally())


def map_memory(holdings: Holdings) -> Mapped:
    """Return the memory that is held. Raises ValueError where it is of another layout.

    Counters are the worker's to write, but for those of numbers that nobody has (`start_counts`).
    """
    kinds = {
        Role.FLOWS: Kind.FLOWS,
        Role.COUNTERS: Kind.COUNTERS,
        Role.COMMANDS: Kind.COMMANDS,
        Role.EVENTS: Kind.EVENTS,
    }
    found = {
        role: attach(kind, _fd(holdings, role), writable=role is not Role.FLOWS)
        for role, kind in kinds.items()
    }
    return Mapped(
        flows=found[Role.FLOWS],
        counters=found[Role.COUNTERS],
        commands=found[Role.COMMANDS],
        events=found[Role.EVENTS],
        tally=Tally(_fd(holdings, Role.TALLY)),
    )


def _fd(holdings: Holdings, role: Role) -> int:
    held = holdings.get(role, WORKER)
    if held is None:
        raise ValueError(f"no {role.name} is held")
    return held.fd
