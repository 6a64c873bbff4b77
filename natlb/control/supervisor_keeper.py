"""The supervisor's side of the keeper: told of all that is held, and replaced when it dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.backoff import BackOff
from natlb.control.channel import close_all
from natlb.control.child import Child, environment_of
from natlb.control.listener import handover_listener
from natlb.control.messages import (
    Alive,
    Hold,
    Message,
    Release,
)
from natlb.control.roles import Role

if TYPE_CHECKING:
    from natlb.control.handover import Adopted
    from natlb.control.supervisor import Supervisor


class KeeperKeeper:
    """The one keeper, whoever it is at the moment."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Know the supervisor; nothing is started yet."""
        self.child: Child | None = None
        self._supervisor = supervisor
        self._backoff = BackOff(supervisor.loop.now())

    def start(self) -> None:
        """Start a keeper, and give it everything that is held, and a socket to be asked at."""
        supervisor = self._supervisor
        if supervisor.stopping or self.child is not None:
            return
        self.child = Child.start(
            supervisor.loop,
            supervisor.modules.keeper,
            environment_of(supervisor.lock.token, interpreted=True),
            receiver=self._receive,
            mourner=self._mourn,
        )
        supervisor.lock.keeper.unlink(missing_ok=True)  # another may listen still, about to leave
        with handover_listener(supervisor.lock.keeper) as listening:
            self.child.send(Hold(role=Role.HANDOVER_LISTENER), listening.fileno())
        self._tell_all()

    def adopt(self, adopted: Adopted, kept: set[tuple[Role, int]]) -> None:
        """Take over a keeper that another supervisor started; it forgets what is held no more."""
        self.child = Child(
            self._supervisor.loop,
            adopted.control,
            adopted.channel,
            receiver=self._receive,
            mourner=self._mourn,
        )
        self._tell_all()
        for role, index in kept:
            if (role, index) not in self._supervisor.holdings:
                self.child.send(Release(role=role, index=index))

    def replace(self) -> None:
        """Have another take the place of one that runs other code."""
        old, self.child = self.child, None
        self.start()
        if old is not None:
            old.leave()

    def tell(self, message: Hold | Release, *fds: int) -> None:
        """Have it keep this, or let go of it; what leads to control is not its to answer at."""
        if self.child is not None and message.role is not Role.HANDOVER_LISTENER:
            self.child.send(message, *fds)

    def _tell_all(self) -> None:
        for said, fd in self._supervisor.holdings:
            self.tell(said, fd)

    def _receive(self, child: Child, message: Message, fds: list[int]) -> None:
        close_all(fds)
        if isinstance(message, Alive):
            self._supervisor.watchdog.answered(child, message)
        else:
            child.refuse(f"{type(message).__name__} is not the keeper's to say")

    def _mourn(self, child: Child, status: int | None) -> None:
        if child is not self.child:
            return  # it was asked to leave
        self.child = None
        delay = self._supervisor.count_death("keeper", child, status, self._backoff)
        self._supervisor.loop.after(delay, self.start)
