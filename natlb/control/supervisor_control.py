"""The supervisor's side of control: started, heard, and started again with all it needs.

What control asks for is checked as if a stranger asked, since it parses requests: it can say which
addresses are wanted, a place for the API's sockets, a file to read, a socket to check backends by,
and replace the memory that is its own to make; nothing else.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from natlb.control.backoff import BackOff
from natlb.control.channel import close_all
from natlb.control.child import Child, environment_of
from natlb.control.doors import TCP, UNIX_DOORS, DoorNumber, door_path
from natlb.control.failure import error_from, error_text, explain
from natlb.control.listener import api_listener, tcp_listener
from natlb.control.memory import read_sealed, sealed_memfd
from natlb.control.messages import (
    Alive,
    Done,
    Failed,
    File,
    Hold,
    Learn,
    Listen,
    Logging,
    Message,
    OpenSocket,
    Output,
    ReadFile,
    Refused,
    Reload,
    Serving,
    Start,
    Summary,
    Unlearn,
    Want,
)
from natlb.control.roles import Role
from natlb.errors import ConfigError, DeniedError, NatlbError

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.control.channel import Channel
    from natlb.control.process import Process
    from natlb.control.supervisor import Supervisor

CONTROLS_OWN = {
    *(Role.FLOWS, Role.COUNTERS, Role.COMMANDS, Role.EVENTS),
    *(Role.TABLES, Role.REGISTRY, Role.PROGRAMS),
    Role.EVENT_LOG,
    Role.TALLY,
    Role.LOADS,
}

SECONDS_A_START = 2.0  # about what a start of control takes of a processor
SOCKETS_OF_CHECKS = {
    (family, kind)
    for family in (socket.AF_INET, socket.AF_INET6)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
}

STANDARD_ERROR = 2

logger = structlog.get_logger()


class ControlKeeper:
    """The one control process, whoever it is at the moment."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Know the supervisor; nothing is started yet."""
        self.child: Child | None = None
        self.serving: Serving | None = None
        self._supervisor = supervisor
        self._backoff = BackOff(supervisor.loop.now(), seconds_a_token=SECONDS_A_START)
        self._reload_at_first = False
        self._is_leaving = False

    def start(self) -> None:
        """Start control, and give it everything that is held."""
        supervisor = self._supervisor
        self.child = Child.start(
            supervisor.loop,
            supervisor.modules.control,
            environment_of(supervisor.lock.token, interpreted=True),
            receiver=self._receive,
            mourner=self._mourn,
        )
        for said, fd in supervisor.holdings:
            self.child.send(said, fd)
        fresh = int((Role.TABLES, 0) not in supervisor.holdings)
        path = supervisor.config_path
        self.child.send(Start(fresh=fresh, started_ns=supervisor.started_ns, text=path))
        supervisor.workers.announce()

    def adopt(self, process: Process, channel: Channel) -> None:
        """Take over a control that another supervisor started."""
        self.child = Child(
            self._supervisor.loop,
            process,
            channel,
            receiver=self._receive,
            mourner=self._mourn,
        )
        self.tell(Output(), STANDARD_ERROR)  # its log follows who supervises it
        self._supervisor.workers.announce()
        self.tell(Reload(text=self._supervisor.config_path))

    def replace(self) -> None:
        """Have another take this one's place: its code is another. Requests wait meanwhile."""
        if self.child is not None and self.child.process.child is None:  # not started by us
            self._is_leaving, self._reload_at_first = True, True
            self.child.leave()

    def take_up(self) -> None:
        """Start a control over what another left; it reads the configuration once it serves."""
        self._reload_at_first = True
        self.start()

    def tell(self, message: Message, *fds: int) -> None:
        """Say this to control, if there is one."""
        if self.child is not None:
            self.child.send(message, *fds)

    def reload(self) -> None:
        """Have the configuration read again."""
        self.tell(Reload(text=""))

    def _mourn(self, child: Child, status: int | None) -> None:
        self.child = None
        self._supervisor.programs.forget()
        was_leaving, self._is_leaving = self._is_leaving, False
        if was_leaving and not self._supervisor.stopping:
            self.start()
            return
        delay = self._supervisor.count_death("control", child, status, self._backoff)
        if not self._supervisor.stopping:
            self._supervisor.loop.after(delay, self.start)

    def _receive(self, child: Child, message: Message, fds: list[int]) -> None:  # noqa: C901, PLR0912 - one line a kind
        """Do what control says; an fd that nobody took is closed."""
        try:
            match message:
                case Hold() if message.role in CONTROLS_OWN:
                    self._supervisor.keep(message, fds.pop())
                    self._supervisor.programs.serve()
                    self._supervisor.workers.consider()
                case Learn():
                    self._learn(message.serial, fds[0])
                case Unlearn():
                    self._supervisor.programs.forget()
                case Want():
                    self._fulfil(message.serial, lambda: self._apply(fds))
                case Listen():
                    self._fulfil(message.serial, lambda: self._listen(message.text))
                case ReadFile():
                    self._read_file(message)
                case OpenSocket():
                    self._open_socket(message)
                case Serving():
                    self._serves(message)
                case Alive():
                    self._supervisor.watchdog.answered(child, message)
                case Summary():
                    self._supervisor.notifier.status(message.text)
                case Logging():
                    self._supervisor.log_as(message)
                case Failed():
                    self._supervisor.child_failed("control", read_failure(message, fds))
                case _:
                    child.refuse(f"{type(message).__name__} is not control's to say")
        finally:
            close_all(fds)

    def _serves(self, said: Serving) -> None:
        self.serving = said
        self._supervisor.consider_ready()
        self._supervisor.notifier.reloaded()
        if self._reload_at_first:
            self._reload_at_first = False
            self.tell(Reload(text=self._supervisor.config_path))

    def _fulfil(self, serial: int, work: Callable[[], None]) -> None:
        """Do what was asked and say so, or say why not."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever control asked for, the rest goes on
            self._refuse(serial, error)
        else:
            self.tell(Done(serial=serial))

    def _refuse(self, serial: int, error: Exception) -> None:
        known = explain(error)
        refused = Refused(serial=serial, exit_code=known.exit_code, text=error_text(known))
        self.tell(refused)

    def _apply(self, fds: list[int]) -> None:
        plan, ways = self._supervisor.host.apply(read_sealed(fds[0]))
        self._supervisor.hold(Hold(role=Role.HOST_PLAN), sealed_memfd("plan", plan))
        self._supervisor.workers.take_ways(ways)
        self._supervisor.watch.renew_ways()
        for kind, level, words in self._supervisor.host.decided():
            self._supervisor.watch.tell(kind, level, words)
        self._supervisor.watch.follow()

    def _listen(self, place: str) -> None:
        """Open the doors of the API: the one by TCP, or those that are files, beside each other."""
        if place.startswith(TCP):
            host, _, port = place.removeprefix(TCP).rpartition(":")
            self._open(DoorNumber.TCP, tcp_listener(host.strip("[]"), int(port)))
            return
        for door in UNIX_DOORS:
            path = door_path(Path(place), door)
            self._supervisor.lock.lead_to(path, door)
            self._open(door, api_listener(path, door))

    def _open(self, door: DoorNumber, listening: socket.socket) -> None:
        self._supervisor.hold(Hold(role=Role.API_LISTENER, index=door), listening.detach())

    def _learn(self, serial: int, memfd: int) -> None:
        try:
            self._supervisor.programs.learn(serial, memfd)
        except Exception as error:  # noqa: BLE001 - whatever control sent, the rest goes on
            self._refuse(serial, error)

    def _read_file(self, asked: ReadFile) -> None:
        try:
            fd = open_file(Path(asked.text))
        except ConfigError as error:
            self._refuse(asked.serial, error)
            return
        self.tell(File(serial=asked.serial), fd)
        os.close(fd)

    def _open_socket(self, asked: OpenSocket) -> None:
        """Make a socket where the backends are."""
        try:
            require_socket_of_checks(asked.family, asked.type)
            fd = self._supervisor.host.open_socket(asked.family, asked.type)
        except Exception as error:  # noqa: BLE001 - whatever control asked for, the rest goes on
            self._refuse(asked.serial, error)
            return
        self.tell(File(serial=asked.serial), fd)
        os.close(fd)


def require_socket_of_checks(family: int, kind: int) -> None:
    """Return where checks use such sockets; raw and packet sockets, say, are a right."""
    if (family, kind) not in SOCKETS_OF_CHECKS:
        raise DeniedError(f"no check needs a socket of family {family}, type {kind}")


def open_file(path: Path) -> int:
    """Return an ordinary file, open for reading. Raises ConfigError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ConfigError(f"cannot read {path}: not a file")
    return fd


def read_failure(message: Failed, fds: list[int]) -> NatlbError:
    """Return the error that a child met."""
    try:
        text = read_sealed(fds[0]).decode(errors="replace")
    except ValueError as error:
        text = f"a child failed and left no word: {error}"
    return error_from(message.exit_code, text)
