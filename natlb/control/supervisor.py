"""The supervisor: holds what must outlive the others, starts them, watches them, replaces them.

    start     lock, then adopt what lives or clear away what does not; control and nursery
              load their code side by side; control sends a plan for the host and tables; ready
    stay      a dead worker's place is taken by one forked at once, a dead control's by a new one;
              what others change of natlb's network is made again
    stop      everybody leaves, the host is put back, the directory is removed

It parses no packet and no request. It has the rights; the others have none.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from natlb.control import limits, log, privileges
from natlb.control.backoff import BackOff
from natlb.control.code import code_identity, state_version
from natlb.control.coding import encode
from natlb.control.directory import Lock, own_directory, take_lock
from natlb.control.doors import UNIX_DOORS
from natlb.control.fd_store import FdStore, take_passed_fds
from natlb.control.holdings import Holdings
from natlb.control.listener import handover_listener
from natlb.control.loop import Loop
from natlb.control.memory import read_sealed, sealed_memfd
from natlb.control.messages import (
    HandedOver,
    Hold,
    Logging,
    Release,
)
from natlb.control.notify import Notifier
from natlb.control.process import kill_all_with
from natlb.control.roles import Role
from natlb.control.succession import require_readable_state, take_lock_from
from natlb.control.supervisor_adoption import Left, find
from natlb.control.supervisor_control import ControlKeeper, open_file
from natlb.control.supervisor_hops import HopKeeper
from natlb.control.supervisor_keeper import KeeperKeeper
from natlb.control.supervisor_network import NetworkHost
from natlb.control.supervisor_programs import ProgramKeeper
from natlb.control.supervisor_watch import HostWatch
from natlb.control.supervisor_watchdog import Watchdog
from natlb.control.supervisor_workers import WorkerKeeper
from natlb.errors import NatlbError

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.control.child import Child
    from natlb.control.supervisor_network import Host

SECONDS_TO_LEAVE = 3.0
SECONDS_A_LOOK = 0.5
MOST_FILES = 4096  # of 64 workers alone over 500 are held, and as many of their ways
EARLY_DEATHS = 3  # so many before the first packet, and the cause is not chance

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    """What is run as control, as nursery and as keeper."""

    control: str = "natlb.cli.control_process"
    nursery: str = "natlb.control.nursery"
    keeper: str = "natlb.control.keeper"


class Supervisor:
    """One running instance, as its supervisor keeps it."""

    def __init__(
        self, lock: Lock, host: Host, config_path: str, modules: Modules, loop: Loop
    ) -> None:
        """Own the instance's directory; nothing is started yet."""
        self.lock = lock
        self.host = host
        self.config_path = config_path
        self.modules = modules
        self.loop = loop
        self.started_ns = self.begun_ns = time.monotonic_ns()
        self.holdings = Holdings()
        self.control = ControlKeeper(self)
        self.workers = WorkerKeeper(self)
        self.programs = ProgramKeeper(self)
        self.watch = HostWatch(self)
        self.hops = HopKeeper(self)
        self.keeper = KeeperKeeper(self)
        self.watchdog = Watchdog(self)
        self.notifier = Notifier.take_from(os.environ)
        self.store = FdStore(self.notifier, lock.state, take_passed_fds(os.environ))
        self.logging = Logging(level=logging.INFO, json=0)
        self.stopping = False
        self.is_aside = False  # a successor asked us to be gone
        self.is_adopted = False  # others live who are not ours to end for a failure of ours
        self._ready = False
        self._faults = BackOff(loop.now())
        self._failure: NatlbError | None = None
        self._told: dict[str, str] = {}

    def begin(self) -> None:
        """Adopt the instance that a dead supervisor left, or start a new one."""
        self.loop.on_signals(
            {
                signal.SIGTERM: self.loop.stop,
                signal.SIGINT: self.loop.stop,
                signal.SIGHUP: self._reload,
                signal.SIGUSR2: self._step_aside,
            }
        )
        left = find(self.lock, self.holdings, self.store)
        if left is not None:
            self._adopt(left)
        else:
            self._start_anew()
        self.loop.after(SECONDS_A_LOOK, self._look)
        self.watchdog.begin()
        if self.notifier.watchdog_seconds:
            self._say_alive()

    def _say_alive(self) -> None:
        """Say so twice as often as the service manager asks for."""
        self.notifier.alive()
        self.loop.after(self.notifier.watchdog_seconds / 2, self._say_alive)

    def _reload(self) -> None:
        if self._ready:
            self.notifier.reloading()
        self.control.reload()

    def _step_aside(self) -> None:
        logger.info("stepped_aside", pid=os.getpid())
        self.is_aside = True
        self.loop.stop()

    def _start_anew(self) -> None:
        killed = kill_all_with(self.lock.token)
        if killed:
            logger.warning("orphans_killed", pids=killed)
        self._listen_for_successors()
        self.control.start()
        self.keeper.start()
        self.workers.start_nursery()
        self.host.recover()

    def _listen_for_successors(self) -> None:
        listening = handover_listener(self.lock.handover)
        self.holdings.take(Hold(role=Role.HANDOVER_LISTENER), listening.detach())

    def _adopt(self, left: Left) -> None:
        """Go on with what others left: with their control, or with one of our own."""
        self.is_adopted = True
        said, control = left.said, left.control
        self.started_ns = said.started_ns
        self.workers.restore(said.restarts)
        self.workers.compiled = bool(said.compiled)
        self.log_as(Logging(level=said.level, json=said.json))
        logger.info("instance_adopted", **left.words())
        if control is None:
            left.end_others(self.lock.token, self.holdings)
            self._listen_for_successors()
        plan = self.holdings.get(Role.HOST_PLAN)
        if plan is not None:
            self.host.adopt(read_sealed(plan.fd))
            self.watch.follow()
            self.hops.follow()
        if left.keeper is None:
            self.keeper.start()
        else:
            self.keeper.adopt(left.keeper, left.kept)
        if control is None:
            self.control.take_up()
        else:
            self.control.adopt(control.control, control.channel)
        self.workers.adopt()
        self.workers.announce()
        self.workers.start_nursery()
        if self.lock.previous is not None and self.lock.previous.code != self.lock.code:
            self._renew(self.lock.previous.code)

    def _renew(self, before: str) -> None:
        """Have our code take the place of another version's, one process after the other.

        The keeper at once, the worker when a nursery has loaded the code, control with it: where
        the code does not load, those who were adopted go on.
        """
        logger.info("upgrade_begun", before=before or "unknown", now=self.lock.code)
        self.keeper.replace()
        self.workers.renew()

    def hold(self, said: Hold, fd: int) -> None:
        """Hold this fd, and let control hold it too."""
        self.keep(said, fd)
        self.control.tell(said, fd)

    def keep(self, said: Hold, fd: int) -> None:
        """Hold this fd, and let whoever could hand it over after our death hold it too."""
        self.holdings.take(said, fd)
        self.keeper.tell(said, fd)
        self.store.follow(self.holdings)

    def release(self, said: Release) -> None:
        """Hold it no longer, and let nobody else."""
        self.holdings.release(said.role, said.index)
        self.keeper.tell(said)
        self.control.tell(said)
        self.store.follow(self.holdings)

    def log_as(self, said: Logging) -> None:
        """Log as control says, and have a successor know it."""
        self.logging = said
        log.configure(said.level, json=bool(said.json))
        self.keep_standing()

    def keep_standing(self) -> None:
        """Have the keeper know what a successor needs besides what is held."""
        now = HandedOver(
            started_ns=self.started_ns,
            level=self.logging.level,
            json=self.logging.json,
            compiled=int(self.workers.compiled),
            pid=os.getpid(),
            text=" ".join(map(str, self.workers.restarts)),
        )
        self.keep(Hold(role=Role.STANDING), sealed_memfd("standing", encode(now)))

    def consider_ready(self) -> None:
        """Say once that packets are forwarded, when they are and the API answers."""
        serving = self.control.serving
        if self._ready or not self.workers.forwarding or serving is None:
            return
        self._ready = True
        self.notifier.ready()
        seconds = (time.monotonic_ns() - self.begun_ns) / 1e9
        engine = "compiled" if self.workers.compiled else "interpreted"
        log.say(f"ready {serving.text}, {engine}, generation {serving.generation}, {seconds:.1f} s")

    def child_failed(self, name: str, error: NatlbError) -> None:
        """Stop where a child cannot begin; later on, report what is new and go on."""
        if not self._ready and not self.is_adopted:
            self._fail(error)
        elif self._told.get(name) != error.message:
            self._told[name] = error.message
            logger.error("child_failed", child=name, reason=error.message)

    def _fail(self, error: NatlbError) -> None:
        self._failure = self._failure or error
        self.loop.stop()

    def count_death(self, name: str, child: Child, status: int | None, backoff: BackOff) -> float:
        """Report a child's death and return the seconds to wait before the next one is started.

        Before the first packet the next one is not tried for ever.
        """
        delay = backoff.died(self.loop.now())
        if self.stopping or self._failure is not None:
            return delay
        if backoff.worth_a_line:
            words = {} if status is None else {"status": status}
            logger.warning("child_died", child=name, pid=child.pid, deaths=backoff.deaths, **words)
        if not self._ready and not self.is_adopted and backoff.deaths >= EARLY_DEATHS:
            why = f"the {name} died {backoff.deaths} times before it could begin"
            self._fail(NatlbError(why))
        return delay

    def _look(self) -> None:
        log.tell_suppressed()
        self.workers.check_queues()
        self.notifier.repeat()
        self.store.follow(self.holdings)
        self.loop.after(SECONDS_A_LOOK, self._look)

    def serve(self) -> None:
        """Keep the instance until a signal or a failure ends it; raises what ended it."""
        while True:
            try:
                self.loop.run()
                break
            except Exception as error:
                if not self._ready and not self.is_adopted:
                    raise
                # A bug of ours stops no forwarding; and what recurs at once does not spin.
                delay = self._faults.died(self.loop.now())
                if self._faults.worth_a_line:
                    logger.exception("internal_error", reason=str(error))
                time.sleep(delay)
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """Have everybody leave, put the host back, and leave no file."""
        self.stopping = True
        self.notifier.stopping()
        self.programs.end()
        self.workers.forget_unborn()
        workers = self.workers
        others = (workers.nursery, self.control.child, self.keeper.child)
        living = [*workers.living, *(child for child in others if child is not None)]
        for child in living:
            child.leave()
        if self.workers.nursery is not None:
            self.workers.nursery.kill()  # it may be loading code still, and keeps nothing
        deadline = self.loop.now() + SECONDS_TO_LEAVE
        for child in living:
            child.await_end(max(0.0, deadline - self.loop.now()))
        try:
            self.host.undo()
        finally:
            self._remove_sockets()
            self.store.clear()
            self.notifier.close()
            self.holdings.close()
            self.lock.remove()
            self.lock.release()

    def leave_alone(self) -> None:
        """Be gone as if killed: the others go on, and the next supervisor adopts them."""
        self.programs.end()
        self.notifier.close()
        self.holdings.close()
        self.lock.release()

    def _remove_sockets(self) -> None:
        for door in UNIX_DOORS:
            held = self.holdings.get(Role.API_LISTENER, door)
            if held is None:
                continue
            with socket.socket(fileno=os.dup(held.fd)) as listening, contextlib.suppress(OSError):
                Path(listening.getsockname()).unlink()


def run(config_path: Path, *, replace: bool = False, cpus: tuple[int, ...] = ()) -> int:
    """Be the supervisor of this namespace until told to stop; return the exit code.

    `replace`: where another supervisor lives, in its place. `cpus` are for workers, in turn. Raises
    NatlbError for what ended it otherwise.
    """
    log.configure()
    limits.allow_files(MOST_FILES)
    effective = privileges.effective_capabilities()
    privileges.require_capabilities(f"natlb run -c {config_path}", effective)
    os.close(open_file(config_path))  # before anything living is taken over for its sake
    directory = own_directory()
    require_readable_state(directory)
    if replace:
        lock = take_lock_from(directory, code_identity(), state_version())
    else:
        lock = take_lock(directory, code_identity(), state_version())
    return supervise(lock, config_path, NetworkHost, Modules(), cpus)


def supervise(
    lock: Lock,
    config_path: Path,
    host: Callable[[Path], Host],
    modules: Modules,
    cpus: tuple[int, ...] = (),
) -> int:
    """Keep an instance in the directory that is locked; `host` is made of the journal's path."""
    supervisor = Supervisor(lock, host(lock.journal), str(config_path.absolute()), modules, Loop())
    supervisor.workers.cpus = cpus
    try:
        supervisor.begin()
        supervisor.serve()
    except BaseException:
        supervisor.leave_alone() if supervisor.is_adopted else supervisor.end()
        raise
    if supervisor.is_aside:
        supervisor.leave_alone()
    else:
        supervisor.end()
    return 0
