"""The steps of one check: what was done, how long it took, what was seen.

A step also says what it means for the check when it does not come to an end, or breaks: a reset
while connecting is another code than a reset instead of an answer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from natlb.control.health.codes import Code
from natlb.model import CheckPhase

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_SHOWN = 120
"""Characters of what a backend said that are shown; it may say anything."""


@dataclass(frozen=True, slots=True)
class Step:
    """A kind of step, the codes of one that takes too long and of one that breaks, its end."""

    name: str
    late: Code
    broken: Code
    wanted: str = "answer"


OPEN = Step("open", Code.SOCKERR, Code.SOCKERR, "socket")
CONNECT = Step("connect", Code.L4TOUT, Code.L4CON, "connection")
HANDSHAKE = Step("handshake", Code.L6TOUT, Code.L6RSP, "handshake")
REQUEST = Step("request", Code.L7TOUT, Code.L7RSP)
ANSWER = Step("answer", Code.L7TOUT, Code.L7RSP)
SEND_DATAGRAM = Step("request", Code.L7TOUT, Code.L4CON)
DATAGRAM = Step("answer", Code.L7TOUT, Code.L4CON)
SILENCE = Step("answer", Code.L4OK, Code.L4CON)
"""Waiting for an error: none came, so the backend passes (udp without `expect`)."""
RUN = Step("run", Code.PROCTOUT, Code.PROCERR, "end")


class Failure(Exception):  # noqa: N818 - a check that fails is no error of natlb's
    """The check found the backend wanting; or, with `is_ours`, could not be made."""

    def __init__(self, code: Code, reason: str, *, is_ours: bool = False) -> None:
        """Say how and why."""
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.is_ours = is_ours


class Steps:
    """The steps that a check has made, the last of them being made."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock."""
        self.current = OPEN
        self._clock = clock
        self._started = self._begun = clock()
        self._seen = ""
        self._done: list[CheckPhase] = []

    @property
    def elapsed(self) -> float:
        """Return the seconds since the check began."""
        return self._clock() - self._started

    def begin(self, step: Step) -> None:
        """End the current step and begin this one."""
        self._end()
        self.current = step

    def saw(self, seen: str) -> None:
        """Note what the current step has seen."""
        self._seen = seen

    def _end(self) -> None:
        now = self._clock()
        if self.current is OPEN and not self._seen:
            return  # a program needs no socket
        milliseconds = round((now - self._begun) * 1e3, 3)
        self._done.append(
            CheckPhase(name=self.current.name, milliseconds=milliseconds, seen=self._seen)
        )
        self._begun, self._seen = now, ""

    def finish(self) -> tuple[float, tuple[CheckPhase, ...]]:
        """End the check; return its milliseconds and all its steps."""
        self._end()
        return round(self.elapsed * 1e3, 3), tuple(self._done)


def shown(said: bytes | str, most: int = MOST_SHOWN) -> str:
    """Return what somebody else said so that it can stand in a log: one line, printable, short."""
    text = said[: 4 * most].decode(errors="replace") if isinstance(said, bytes) else said
    plain = "".join(each if each.isprintable() else "·" for each in text.strip()[: most + 1])
    return plain if len(plain) <= most else f"{plain[:most]}…"
