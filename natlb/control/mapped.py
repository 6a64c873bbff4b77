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
from natlb.core.memory import SECRET_BYTES, Kind, load_items
from natlb.io.shared import attach, create, create_flows

if TYPE_CHECKING:
    from natlb.control.holdings import Holdings
    from natlb.control.link import SupervisorLink
    from natlb.core.commands import Commands
    from natlb.core.counters import Counters
    from natlb.core.events import Events
    from natlb.core.flow_table import FlowTable

KINDS = {
    Role.FLOWS: Kind.FLOWS,
    Role.COUNTERS: Kind.COUNTERS,
    Role.COMMANDS: Kind.COMMANDS,
    Role.EVENTS: Kind.EVENTS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """The workers' tables, counters, events and rings of commands, by number; control's counts."""

    flows: list[FlowTable]
    counters: list[Counters]
    commands: list[Commands]
    events: list[Events]
    tally: Tally

    def now_ms(self) -> int:
        """Return the time as the flow tables count it, all from one epoch."""
        boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return (boot - int(self.flows[0].meta[EPOCH])) // 1_000_000


def make_memory(link: SupervisorLink, max_flows: int, workers: int) -> None:
    """Make the memory of so many workers and control's counts, and have them held.

    Each worker has its share of the flows, rounded up. Each table has a secret of its own.
    """
    epoch = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    for index in range(workers):
        secret = secrets.token_bytes(SECRET_BYTES)
        share = -(-max_flows // workers)
        flows = create_flows(share, secret, epoch, worker=index, workers=workers)
        link.hold(Hold(role=Role.FLOWS, index=index), flows)
        for role in (Role.COUNTERS, Role.COMMANDS, Role.EVENTS):
            link.hold(Hold(role=role, index=index), create(KINDS[role]))
    link.hold(Hold(role=Role.LOADS), create(Kind.LOADS, **load_items(workers)))
    link.hold(Hold(role=Role.TALLY), create_tally())


def map_memory(holdings: Holdings) -> Mapped:
    """Return the memory that is held. Raises ValueError where it is of another layout.

    Counters are the workers' to write, but for those of numbers that nobody has (`start_counts`).
    """
    numbers = [said.index for said, _ in holdings if said.role is Role.FLOWS]
    if not numbers or numbers != list(range(len(numbers))):
        raise ValueError(f"flow tables {numbers} are held")
    found = {
        role: [
            attach(kind, _fd(holdings, role, index), writable=role is not Role.FLOWS)
            for index in numbers
        ]
        for role, kind in KINDS.items()
    }
    return Mapped(
        flows=found[Role.FLOWS],
        counters=found[Role.COUNTERS],
        commands=found[Role.COMMANDS],
        events=found[Role.EVENTS],
        tally=Tally(_fd(holdings, Role.TALLY)),
    )


def _fd(holdings: Holdings, role: Role, index: int = 0) -> int:
    held = holdings.get(role, index)
    if held is None:
        raise ValueError(f"no {role.name} of number {index} is held")
    return held.fd
