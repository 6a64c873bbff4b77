"""The supervisor's watchdog: asks every child whether it lives, and ends the one that hangs.

Its end is what replaces it: a hung child is treated like one that died. `pulse` says what counts as
silence, and why a host that stood still kills nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from natlb.control.messages import Alive, Ask, Told
from natlb.control.pulse import Limits, Pulse, Usage, usage_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from natlb.control.child import Child
    from natlb.control.supervisor import Supervisor

SECONDS_A_LOOK = 0.25
LIMITS = {
    "worker": Limits(idle=2.0, busy=2.0),  # noticed within 3 s: packets wait meanwhile
    "control": Limits(idle=5.0, busy=60.0),  # it compiles tables and reads what users wrote
    "nursery": Limits(idle=30.0, busy=900.0),  # it compiles the packet path, or waits for a disk
    "keeper": Limits(idle=10.0, busy=60.0),
}

logger = structlog.get_logger()


class Watchdog:
    """The pulse of each child."""

    def __init__(self, supervisor: Supervisor, usage: Callable[[int], Usage] = usage_of) -> None:
        """Look at nobody yet."""
        self._supervisor = supervisor
        self._usage = usage
        self._pulses: dict[Child, Pulse] = {}

    def begin(self) -> None:
        """Look again and again."""
        self._supervisor.loop.after(SECONDS_A_LOOK, self._look)

    def answered(self, child: Child, said: Alive) -> None:
        """Take a child's word that it lives."""
        if child in self._pulses:
            self._pulses[child].answered(said.patience_ms / 1000)

    def _pulse(self, child: Child, name: str) -> Pulse:
        if child not in self._pulses:
            self._pulses[child] = Pulse(LIMITS[name], self._supervisor.loop.now())
        return self._pulses[child]

    def _children(self) -> Iterator[tuple[str, Child]]:
        """Yield who is watched; a nursery at a lesson has a time for that, and is not asked."""
        supervisor = self._supervisor
        workers = supervisor.workers
        for worker in workers.living:
            yield "worker", worker
        if supervisor.control.child is not None:
            yield "control", supervisor.control.child
        if workers.nursery is not None and not supervisor.programs.is_at_lesson(workers.nursery):
            yield "nursery", workers.nursery
        if supervisor.keeper.child is not None:
            yield "keeper", supervisor.keeper.child

    def _look(self) -> None:
        self._supervisor.loop.after(SECONDS_A_LOOK, self._look)
        children = {child: name for name, child in self._children()}
        self._pulses = {child: self._pulse(child, name) for child, name in children.items()}
        for child, name in children.items():
            self._look_at(child, name)

    def _look_at(self, child: Child, name: str) -> None:
        pulse, now, usage = self._pulses[child], self._supervisor.loop.now(), self._usage(child.pid)
        if pulse.wants_question():
            pulse.ask(now, usage)
            child.send(Ask())
        elif pulse.is_hung(now, usage):
            seconds = round(pulse.silence, 1)
            event = f"{name}_hung"
            logger.warning(event, pid=child.pid, seconds=seconds, action="kill")
            words = {"pid": str(child.pid), "seconds": str(seconds)}
            self._supervisor.control.tell(Told.of(event, "warning", words))
            pulse.answered(0)
            child.kill()
