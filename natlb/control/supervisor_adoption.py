"""What a supervisor that is gone left: found with control, the keeper or a service manager, or not.

Control is asked first, since it goes on as it is. Where it is dead or hangs, the keeper has the
same fds, and where that is dead too a service manager may have them: then everybody but the workers
and the keeper is ended, and another control begins over what the old one wrote down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from natlb.control import handover
from natlb.control.holdings import Holdings
from natlb.control.process import kill_all_with
from natlb.control.roles import Role

if TYPE_CHECKING:
    from natlb.control.directory import Lock
    from natlb.control.fd_store import FdStore
    from natlb.control.handover import Adopted
    from natlb.control.messages import HandedOver

logger = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Left:
    """Who lives of an instance, what was said of it, and which places the keeper holds."""

    said: HandedOver
    control: Adopted | None = None
    keeper: Adopted | None = None
    kept: set[tuple[Role, int]] = field(default_factory=set)
    stored: int = 0  # so many fds came from the service manager's store

    def words(self) -> dict[str, int]:
        """Return who was found, for the log."""
        found = {"control": self.control, "keeper": self.keeper}
        words = {name: each.control.pid for name, each in found.items() if each is not None}
        return words | ({"stored": self.stored} if self.stored else {})

    def end_others(self, token: str, holdings: Holdings) -> None:
        """End every process of the instance but the keeper and the workers that are held."""
        spared = {self.keeper.control.pid} if self.keeper else set()
        spared |= {said.value for said, _ in holdings if said.role is Role.LIFE_CHANNEL}
        killed = kill_all_with(token, spared=frozenset(spared))
        if killed:
            logger.warning("orphans_killed", pids=killed)


def find(lock: Lock, holdings: Holdings, store: FdStore) -> Left | None:
    """Fill `holdings` with what the last holder left; None, and nothing, where all is lost."""
    if lock.previous is None:
        store.forget_passed(is_dead=True)  # of another namespace, or another directory
        return None
    control = handover.ask(lock.handover, lock.token, holdings)
    kept = Holdings()
    keeper = handover.ask(lock.keeper, lock.token, kept)
    places = {(said.role, said.index) for said, _ in kept}
    if control is None:
        kept.hand_to(holdings)
    kept.close()
    speaker = control or keeper
    if speaker is None:
        stored = store.recover(holdings)
        return None if stored is None else Left(said=stored, stored=len(holdings))
    store.forget_passed()
    return Left(said=speaker.said, control=control, keeper=keeper, kept=places)
