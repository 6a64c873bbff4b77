"""The supervisor's side of policies of the user's own: learned in a nursery before they serve.

    learn     another nursery is started, loads what the first one has, compiles the programs and
              tries them; control hears whether that went well, and nothing has changed so far
    serve     control has tables that name them: that nursery takes the other's place, and the
              worker is asked to leave; the next one, forked at once, knows the programs

Packets wait in the queues meanwhile, for as long as a fork takes. Before any worker was forked
there is nothing to replace: the one nursery learns what the first one is to know.

Whoever learns has a time for it, and the memory and processor that `nursery` allows. A nursery that
hung over what is in force, or died over it again and again, is followed by one that does not try.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import structlog

from natlb.control.channel import close_all
from natlb.control.child import Child, environment_of
from natlb.control.failure import error_from, error_text
from natlb.control.memory import digest_of, read_sealed
from natlb.control.messages import (
    Done,
    Failed,
    Hold,
    Learned,
    Message,
    Note,
    Prepared,
    Refused,
)
from natlb.control.roles import Role
from natlb.control.supervisor_control import read_failure
from natlb.errors import ConfigError, NatlbError

if TYPE_CHECKING:
    from natlb.control.supervisor import Supervisor

SECONDS_TO_END = 1.0
SECONDS_TO_LEARN = 120.0  # once the packet path is loaded
SECONDS_TO_LOAD = 720.0  # and to learn; a cold cache alone takes minutes on a slow machine
MOST_DEATHS = 3  # over the same programs, and they are why
DIED = "the nursery died over the policy"

logger = structlog.get_logger()


class ProgramKeeper:
    """The nursery that learns, until it takes the other's place."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Know the supervisor; nothing is to be learned yet."""
        self._supervisor = supervisor
        self._learner: Child | None = None
        self._prepared: Prepared | None = None
        self._serial: int | None = None  # of the request that is not answered yet
        self._wanted = 0  # the digest of what it asks for
        self._is_learned = False
        self._lessons: dict[Child, int] = {}  # the digest that a nursery is at, or will be
        self._deaths: Counter[int] = Counter()  # of nurseries over a digest

    def learn(self, serial: int, memfd: int) -> None:
        """Have a nursery learn these programs, and answer control when it has."""
        octets = read_sealed(memfd)
        self._refuse(ConfigError("another reload came between"))
        self.drop()
        self._serial, self._wanted = serial, digest_of(octets)
        workers = self._supervisor.workers
        if workers.nursery is not None and not workers.used:
            self._teach(workers.nursery, self._wanted, memfd)
            return
        self._learner = Child.start(
            self._supervisor.loop,
            self._supervisor.modules.nursery,
            environment_of(self._supervisor.lock.token),
            receiver=self._hear,
            mourner=self._mourn,
        )
        self._teach(self._learner, self._wanted, memfd)

    def begin(self, nursery: Child) -> None:
        """Have a new nursery learn what is in force, if that can be learned."""
        held = self._supervisor.holdings.get(Role.PROGRAMS)
        if held is None:
            return
        if self._deaths[held.value] < MOST_DEATHS:
            self._teach(nursery, held.value, held.fd)
        else:
            self._supervisor.workers.taught = held.value  # as what was refused: others serve

    def is_at_lesson(self, nursery: Child) -> bool:
        """Return whether a nursery is learning, or will: it has a time for that."""
        return nursery in self._lessons

    def _teach(self, nursery: Child, digest: int, memfd: int) -> None:
        """Have a nursery learn the programs in a memfd, in a limited time."""
        workers = self._supervisor.workers
        is_loaded = nursery is workers.nursery and workers.prepared
        self._lessons[nursery] = digest
        nursery.send(Hold(role=Role.PROGRAMS, value=digest), memfd)
        self._allow(nursery, SECONDS_TO_LEARN if is_loaded else SECONDS_TO_LOAD)

    def loaded(self, nursery: Child) -> None:
        """Have a nursery that has loaded the packet path learn in the time for that."""
        self._allow(nursery, SECONDS_TO_LEARN)

    def _allow(self, nursery: Child, seconds: float) -> None:
        """End a nursery that has not learned what it is at within so long."""
        digest = self._lessons.get(nursery)
        if digest is not None:
            self._supervisor.loop.after(seconds, lambda: self._expect(nursery, digest, seconds))

    def _expect(self, nursery: Child, digest: int, seconds: float) -> None:
        if self._lessons.get(nursery) != digest:
            return
        error = ConfigError(f"the policy does not compile within {seconds:g} s")
        self._give_up(digest, error)
        if nursery is self._learner:
            self.drop()
        else:
            self._deaths[digest] = MOST_DEATHS
            nursery.kill()

    def _give_up(self, digest: int, error: NatlbError) -> None:
        """Tell whoever waits for these programs why they will not be learned."""
        if digest == self._wanted and self._serial is not None:
            self._refuse(error)
        else:
            logger.error("policy_not_learned", reason=error.message)

    def nursery_died(self, nursery: Child) -> None:
        """Count a death over programs, and do not wait for them."""
        digest = self._lessons.pop(nursery, None)
        if digest is not None:
            self._deaths[digest] += 1
            self._give_up(digest, NatlbError(DIED))

    def serve(self) -> None:
        """Have workers know the programs that control holds now."""
        held = self._supervisor.holdings.get(Role.PROGRAMS)
        workers = self._supervisor.workers
        if held is None or workers.taught == held.value:
            return
        if self._learner is not None and self._is_learned and self._wanted == held.value:
            learner, self._learner = self._learner, None
            assert self._prepared is not None
            workers.replace_nursery(learner, self._prepared, held.value)
        elif workers.nursery is not None:
            self._teach(workers.nursery, held.value, held.fd)

    def learned(self, nursery: Child, said: Learned, fds: list[int]) -> None:
        """Answer control: a nursery has learned programs, or says why not."""
        known = error_from(said.exit_code, read_sealed(fds[0]).decode(errors="replace"))
        if self._lessons.get(nursery) == said.value:
            del self._lessons[nursery]
        if said.exit_code:
            self._give_up(said.value, known)
            if nursery is self._learner:
                self.drop()
            return
        if said.value != self._wanted or self._serial is None:
            return
        self._is_learned = True
        serial, self._serial = self._serial, None
        self._supervisor.control.tell(Done(serial=serial))

    def forget(self) -> None:
        """Give up what control asked for: it says so, or is gone, and another asks anew."""
        self._serial = None
        self.drop()

    def drop(self) -> None:
        """End a nursery whose programs nobody asked for in the end."""
        learner, self._learner = self._learner, None
        self._prepared, self._is_learned = None, False
        if learner is not None:
            self._lessons.pop(learner, None)
            learner.kill()

    def end(self) -> None:
        """End with the supervisor: what learns keeps nothing."""
        learner = self._learner
        self.drop()
        if learner is not None:
            learner.await_end(SECONDS_TO_END)

    def _refuse(self, error: NatlbError) -> None:
        serial, self._serial = self._serial, None
        if serial is not None:
            refused = Refused(serial=serial, exit_code=error.exit_code, text=error_text(error))
            self._supervisor.control.tell(refused)

    def _hear(self, child: Child, message: Message, fds: list[int]) -> None:
        try:
            match message:
                case Prepared():
                    self._prepared = message
                    self.loaded(child)
                case Learned() if child is self._learner:
                    self.learned(child, message, fds)
                case Failed():
                    self._refuse(read_failure(message, fds))
                case Note() | Learned():
                    pass
                case _:
                    child.refuse(f"{type(message).__name__} is not its to say")
        finally:
            close_all(fds)

    def _mourn(self, child: Child, _status: int | None) -> None:
        if child is self._learner:
            self._learner = None
            self._lessons.pop(child, None)
            self._refuse(NatlbError(DIED))
            self.drop()
