"""A supervisor's world without packets: a host of values, and real processes that only pretend.

FakeHost              what was asked of the host, and pipes in the place of TUN queues
fake_control          publishes empty memfds, answers a handover, asks what it is told to
fake_nursery          the real nursery with a packet path that waits
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
from typing import TYPE_CHECKING, Any

from natlb.control import log
from natlb.control.channel import Channel, close_all
from natlb.control.directory import take_lock
from natlb.control.holdings import Holdings
from natlb.control.memory import sealed_memfd
from natlb.control.messages import (
    Alive,
    Ask,
    HandedOver,
    Hold,
    Leave,
    Listen,
    Message,
    Output,
    Processes,
    Reload,
    Serving,
    Start,
    Want,
)
from natlb.control.queues import SIDES
from natlb.control.roles import Role
from natlb.control.succession import take_lock_from
from natlb.control.supervisor import Modules, supervise
from natlb.control.supervisor_network import Found
from natlb.errors import ConfigError, HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from natlb.control.queues import Way
    from natlb.control.supervisor_network import FactWords
    from natlb.io.ports import Port

MODULES = Modules(
    control="tests.unit.control.fake_control", nursery="tests.unit.control.fake_nursery"
)


class FakeHost:
    """Keeps `Host`, and writes down in a file beside the journal what it was asked."""

    def __init__(self, journal: Path) -> None:
        """Remember the file."""
        self._journal = journal
        self._told = journal.with_name("host-log")

    def _note(self, word: str) -> None:
        with self._told.open("a") as told:
            told.write(word + "\n")

    def recover(self) -> None:
        """Undo the journal."""
        self._note("recover" + (" journal" if self._journal.exists() else ""))
        self._journal.unlink(missing_ok=True)

    def apply(self, wanted: bytes) -> tuple[bytes, list[Way]]:
        """Give a pipe for each queue, unless the impossible is wanted."""
        if wanted == b"impossible":
            raise HostError("the host cannot", fix="get another")
        self._note("apply")
        self._journal.touch()
        return b"plan", [(Hold(role=role), _queue()) for role in SIDES]

    def adopt(self, plan: bytes) -> None:
        """Take the plan."""
        self._note(f"adopt {plan.decode()}")

    def rebuild(self, lost: Role) -> list[Way]:
        """Give a new pipe."""
        self._note(f"rebuild {lost.name}")
        return [(Hold(role=lost), _queue())]

    def decided(self) -> list[FactWords]:
        """Have decided nothing."""
        return []

    def renew(self, held: list[Way]) -> list[Way]:  # noqa: ARG002
        """Have nothing to renew."""
        return []

    def watched(self) -> list[int]:
        """Have nothing to hear."""
        return []

    def heard(self) -> tuple[bool, bool]:
        """Hear nothing."""
        return False, False

    def look(self, now: float, *, everything: bool) -> Found:  # noqa: ARG002
        """Find everything as it was."""
        return Found(facts=[], lost=[], plan=None, is_whole=True)

    def watched_hops(self) -> list[int]:
        """Have none."""
        return []

    def heard_hops(self) -> bool:
        """Hear nothing."""
        return False

    def make_hops(self, generation: int) -> bytes | None:  # noqa: ARG002
        """Make none."""
        return None

    def why_no_hops(self) -> str:
        """Have no reason."""
        return ""

    def doubt_hops(self) -> None:
        """Have none to doubt."""

    def open_socket(self, family: int, kind: int) -> int:
        """Give one of this namespace."""
        self._note(f"socket {family} {kind}")
        return socket.socket(family, kind).detach()

    def undo(self) -> None:
        """Put back."""
        self._note("undo")
        self._journal.unlink(missing_ok=True)


def _queue() -> int:
    """Return an fd of which poll says nothing, as a quiet TUN's."""
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


class FakeControl:
    """Publishes, answers handovers, and counts what it was told in its own registry."""

    def __init__(self, channel: Channel) -> None:
        """Hold nothing."""
        self.channel = channel
        self.holdings = Holdings()
        self.processes: Processes | None = None

    def run(self) -> None:
        """Live until told to leave; without a supervisor, until somebody takes over."""
        while True:
            watched = [fd for fd in (self.channel.fileno(), self._handover()) if fd >= 0]
            ready, _, _ = select.select(watched, [], [])
            if self.channel.fileno() not in ready:  # what a dead supervisor said last comes first
                self._hand_over()
            elif not self._hear():
                return

    def _handover(self) -> int:
        held = self.holdings.get(Role.HANDOVER_LISTENER)
        return held.fd if held else -1

    def _hear(self) -> bool:
        received = self.channel.receive()
        if received is None:
            self.channel.close()
            return self._handover() >= 0
        message, fds = received
        match message:
            case Hold():
                self.holdings.take(message, fds.pop())
            case Start():
                self._start(message)
            case Processes():
                self.processes = message
            case Reload():
                self._say_serving(f"reloaded {message.text}")
            case Output():
                os.dup2(fds[0], 2)
            case Ask():
                self._say(Alive(patience_ms=0))
            case Leave():
                return False
        close_all(fds)
        return True

    def _start(self, said: Start) -> None:
        if said.fresh:
            self._say(Listen(serial=1, text=os.environ["FAKE_API"]))
            wanted = sealed_memfd("wanted", os.environ.get("FAKE_WANTED", "wanted").encode())
            self._say(Want(serial=2), wanted)
            for role in (Role.FLOWS, Role.COUNTERS, Role.COMMANDS, Role.EVENTS, Role.REGISTRY):
                self._hold(role, os.memfd_create(role.name))
            self._hold(Role.LOADS, os.memfd_create("loads"))
            self._hold(Role.TABLES, os.memfd_create("tables"), value=7)
        self._say_serving("taken up" if not said.fresh else "fresh")

    def _hold(self, role: Role, fd: int, value: int = 0) -> None:
        said = Hold(role=role, value=value)
        self.holdings.take(said, fd)
        self._say(said, fd)

    def _say(self, message: Message, *fds: int) -> None:
        with contextlib.suppress(OSError):  # whoever asked may be dead: the next one asks again
            self.channel.send(message, *fds)

    def _say_serving(self, words: str) -> None:
        self._say(Serving(generation=7, text=words))

    def _hand_over(self) -> None:
        listening = socket.socket(fileno=os.dup(self._handover()))
        connection, _ = listening.accept()
        self.channel.close()
        listening.close()
        self.channel = Channel(connection)
        for said, fd in self.holdings:
            self._say(said, fd)
        restarts = self.processes.restarts if self.processes else 0
        over = HandedOver(
            started_ns=5, level=20, json=0, compiled=0, pid=os.getpid(), text=str(restarts)
        )
        self._say(over)


class FakePath:
    """A packet path that waits, and tells of a queue that is readable as lost."""

    compiled = False

    def prepare(self, progress: Callable[[str], None]) -> None:
        """Say a word."""
        progress("preparing")

    def choose_by(self, pick: object) -> None:
        """Take whatever chooses."""

    def attach(
        self,
        *,
        index: int,
        ports: Sequence[Port],
        flows: int,
        counters: int,
        commands: int,
        events: int,
        loads: int,
    ) -> None:
        """Take the fds; they must be open."""
        assert index == 0
        for fd in (*(port.fd for port in ports), flows, counters, commands, events, loads):
            os.fstat(fd)
        self.flows = flows

    def load_next_hops(self, fd: int) -> None:
        """Take them; they must be open."""
        os.fstat(fd)

    def recover(self) -> None:
        """Leave a trace in the flow table."""
        os.pwrite(self.flows, b"recovered", 0)

    def load_tables(self, fd: int) -> int:
        """Return a generation: how many octets there are."""
        return os.fstat(fd).st_size or 7

    def run(self, wake: int) -> str:
        """Wait to be woken."""
        select.select([wake], [], [])
        return "wake"


def learn(octets: bytes) -> Any:
    """Return what chooses, unless the programs are broken, or never end, or ask too much."""
    if b"broken" in octets:
        raise ConfigError("mine.py:1:1: broken", fix="mend it")
    if b"endless" in octets:
        select.select([], [], [])
    if b"greedy" in octets:
        bytearray(8 << 30)
    if b"deadly" in octets:
        os.abort()
    return octets


def main() -> None:
    """Be a supervisor over fakes: `python -m tests.unit.control.fakes DIRECTORY`."""
    from pathlib import Path

    log.configure()
    directory = Path(sys.argv[1])
    with contextlib.suppress(KeyboardInterrupt):
        code = os.environ.get("FAKE_CODE", "")
        take = take_lock_from if "FAKE_REPLACE" in os.environ else take_lock
        supervise(
            take(directory, code, "test" if code else ""),
            Path("/etc/natlb.yaml"),
            FakeHost,
            MODULES,
        )


if __name__ == "__main__":
    main()
