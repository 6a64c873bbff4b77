"""The service manager's fd store: what is held there outlives every process of natlb.

    name    natlb-STATE-ROLE-INDEX-VALUE-STAMP-SERIAL    hexadecimal from VALUE on

A holding is stored under a name that says all that its `Hold` would. The manager gives the fds back
to the next supervisor, numbered from 3 on (sd_listen_fds(3)); who lives is asked first, since that
one goes on as it is, and the store serves when nobody answers.

Laws
    Nothing but a whole set of this very layout is believed: with anything else the store is
    emptied, and the instance begins anew. Nobody lives who could be in its way.
    What replaces another is stored before that is removed, so a death between the two costs
    nothing; of two the later serial counts.
    The manager stores an open file once. So a duplicate of what is stored is not stored again,
    and a queue, whose device alone says nothing of its identity, is removed before it is replaced.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from natlb.control.coding import MessageError, decode
from natlb.control.memory import read_sealed
from natlb.control.messages import (
    HandedOver,
    Hold,
)
from natlb.control.roles import Role

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from natlb.control.holdings import Holding, Holdings
    from natlb.control.notify import Notifier

FIRST_FD = 3  # sd_listen_fds(3)
MOST_FDS = 1024
WORDS = 7
NEEDED = (
    *(Role.LOADS, Role.TABLES, Role.REGISTRY),
    *(Role.API_LISTENER, Role.HOST_PLAN, Role.STANDING),
)
NEEDED_OF_EACH = (  # worker
    *(Role.QUEUE_PUBLIC, Role.QUEUE_PRIVATE),
    *(Role.FLOWS, Role.COUNTERS, Role.COMMANDS, Role.EVENTS),
)
NOT_STORED = {Role.HANDOVER_LISTENER}  # it would look as if somebody listened there

Place = tuple[Role, int]

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A stored fd by its name: what it is, of which layout, and which of two is the later."""

    said: Hold
    state: str
    serial: int

    @property
    def name(self) -> str:
        """The name in the store."""
        said = self.said
        number = f"{said.role:d}-{said.index}-{said.value:x}-{said.stamp:x}-{self.serial:x}"
        return f"natlb-{self.state}-{number}"

    @classmethod
    def parse(cls, name: str) -> Stored | None:
        """Return what has this name; None where it is no name of natlb's."""
        words = name.split("-")
        if len(words) != WORDS or words[0] != "natlb":
            return None
        try:
            role, index = Role(int(words[2])), int(words[3])
            value, stamp, serial = (int(word, 16) for word in words[4:])
        except ValueError:
            return None
        said = Hold(role=role, index=index, value=value, stamp=stamp)
        return cls(said=said, state=words[1], serial=serial)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the manager holds in a place, as far as it was told."""

    name: str
    said: Hold
    held: Holding
    identity: tuple[int, int]


def take_passed_fds(environment: MutableMapping[str, str]) -> list[tuple[str, int]]:
    """Return the fds that the manager passed to this very process, by their names."""
    count, pid = environment.pop("LISTEN_FDS", ""), environment.pop("LISTEN_PID", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal() or not 0 < int(count) <= MOST_FDS:
        return []
    fds = range(FIRST_FD, FIRST_FD + int(count))
    for fd in fds:
        os.set_inheritable(fd, False)  # noqa: FBT003 - the standard library's way
    return list(zip(names + [""] * len(fds), fds, strict=False))


class FdStore:
    """What the manager holds, and what it gave back."""

    def __init__(
        self, notifier: Notifier, state: str = "", passed: list[tuple[str, int]] | None = None
    ) -> None:
        """Speak by `notifier`; `state` is the layout of what is stored, `passed` came back."""
        self._notifier = notifier
        self._state = state or "0"
        self._stored: dict[Place, Entry] = {}
        self._left: list[str] = []  # names to be removed that the manager has not heard of
        self._passed: list[tuple[Stored, int]] = []
        for name, fd in passed or []:
            stored = Stored.parse(name)
            if stored is None:
                os.close(fd)  # somebody else's: not to be removed, and of no use
            else:
                self._passed.append((stored, fd))
        self._serial = max((stored.serial for stored, _ in self._passed), default=0)

    def recover(self, holdings: Holdings) -> HandedOver | None:
        """Fill `holdings` with what was passed, where nobody lives who has it.

        None, and nothing in the store any more, where that is no use.
        """
        latest = _latest(self._passed)
        foreign = {stored.state for stored, _ in self._passed} - {self._state}
        said = None if foreign else _standing(latest)
        if said is not None and not latest.keys() >= needed_places(len(said.restarts)):
            said = None
        if said is None:
            if self._passed:
                words = {"layout": " ".join(foreign)} if foreign else {"layout": "not whole"}
                logger.warning("stored_state_refused", **words, reads=self._state)
            self.forget_passed(is_dead=True)
            return None
        for place, (stored, fd) in latest.items():
            self._passed.remove((stored, fd))
            holdings.take(stored.said, fd)
            held = holdings.get(*place)
            assert held is not None
            entry = Entry(name=stored.name, said=stored.said, held=held, identity=_identity(fd))
            self._stored[place] = entry
        self.forget_passed()
        return said

    def forget_passed(self, *, is_dead: bool = False) -> None:
        """Have the manager let go of what it passed; `is_dead`: nobody else has it.

        Whoever connected to a listening socket that nobody has would wait for ever, and another
        could not listen in its place before the manager has closed it: it is shut down.
        """
        for stored, fd in self._passed:
            self._remove(stored.name)
            if is_dead and stored.said.role is Role.API_LISTENER:
                with socket.socket(fileno=fd) as listening, contextlib.suppress(OSError):
                    listening.shutdown(socket.SHUT_RDWR)
            else:
                os.close(fd)
        self._passed = []

    def follow(self, holdings: Holdings) -> None:
        """Have the manager hold what is held; what it does not take now is said again later."""
        if not self._notifier.is_heard:
            return
        left, self._left = self._left, []
        for name in left:
            self._remove(name)
        for place in [each for each in self._stored if each not in holdings]:
            self._remove(self._stored.pop(place).name)
        for said, fd in holdings:
            held, known = holdings.get(said.role, said.index), self._stored.get(place_of(said))
            assert held is not None
            if said.role in NOT_STORED or (known is not None and known.held is held):
                continue
            if not self._store(said, held, fd):
                return

    def _store(self, said: Hold, held: Holding, fd: int) -> bool:
        """Store a holding in the place of its predecessor; return whether it was taken."""
        before, identity = self._stored.get(place_of(said)), _identity(fd)
        if before is not None and before.identity == identity:
            if before.said == said and not stat.S_ISCHR(os.fstat(fd).st_mode):
                self._stored[place_of(said)] = replace(before, held=held)
                return True
            if not self._notifier.say(removal(before.name)):
                return False
            del self._stored[place_of(said)]
            before = None
        self._serial += 1
        name = Stored(said=said, state=self._state, serial=self._serial).name
        if not self._notifier.say(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", fd):
            return False
        self._stored[place_of(said)] = Entry(name=name, said=said, held=held, identity=identity)
        if before is not None:
            self._remove(before.name)
        return True

    def _remove(self, name: str) -> None:
        if not self._notifier.say(removal(name)) and self._notifier.is_heard:
            self._left.append(name)

    def clear(self) -> None:
        """Have the manager let go of everything: what is held ends with the instance."""
        self.forget_passed()
        for entry in self._stored.values():
            self._remove(entry.name)
        self._stored.clear()


def place_of(said: Hold) -> Place:
    """Return where a holding is held."""
    return said.role, said.index


def removal(name: str) -> str:
    """Return the words that remove an fd from the store."""
    return f"FDSTOREREMOVE=1\nFDNAME={name}"


def _identity(fd: int) -> tuple[int, int]:
    """Return what tells a memfd or a socket from any other that is open."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _latest(passed: list[tuple[Stored, int]]) -> dict[Place, tuple[Stored, int]]:
    """Return for each place what was stored last."""
    ordered = sorted(passed, key=lambda each: each[0].serial)
    return {place_of(stored.said): (stored, fd) for stored, fd in ordered}


def needed_places(workers: int) -> set[Place]:
    """Return the places without which an instance of so many workers is not whole."""
    each = {(role, index) for role in NEEDED_OF_EACH for index in range(max(1, workers))}
    return each | {(role, 0) for role in NEEDED}


def _standing(latest: dict[Place, tuple[Stored, int]]) -> HandedOver | None:
    """Return what the last supervisor knew besides; None where it cannot be read."""
    if (Role.STANDING, 0) not in latest:
        return None
    try:
        said = decode(read_sealed(latest[Role.STANDING, 0][1]), 0)
    except (MessageError, ValueError, OSError):
        return None
    return said if isinstance(said, HandedOver) else None
