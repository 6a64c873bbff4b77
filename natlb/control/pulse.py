"""Whether a child hangs: asked whether it lives, it did not answer in the time that it could.

    asked      a child answers `Ask` with `Alive`; the next question comes after the answer
    silence    counts from the question on, by the supervisor's own looks, each for a short time at
               most: a host that stood still as a whole, or a supervisor that did, finds nobody
               silent. What a child waited for a processor does not count either: one that is
               starved is slow and does not hang
    limits     `idle` for a child that used no processor meanwhile (stopped, or stuck in a wait),
               `busy` for one that did, or waits for a disk: it may be at honest work
    patience   a child that begins a long work says how long it may be silent

A worker in an endless loop and one that is stopped are told of alike: both limits are the same for
it, since its long work (memory mapped, a table recovered, tables loaded) is announced.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
MOST_A_LOOK = 0.5  # what one look can add to a silence
NANOSECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Limits:
    """For how many seconds a child may be silent."""

    idle: float
    busy: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process's first thread had of the processors until now, in seconds."""

    ran: float = 0.0
    waited: float = 0.0
    waits_for_disk: bool = False


class Pulse:
    """One child's answers."""

    def __init__(self, limits: Limits, now: float) -> None:
        """Know nothing of a child that was just started."""
        self._limits = limits
        self._looked = now
        self._is_asked = False
        self._silence = 0.0
        self._patience = 0.0
        self._before = self._at_question = Usage()

    @property
    def silence(self) -> float:
        """For how many seconds there was no answer."""
        return self._silence

    def answered(self, patience: float) -> None:
        """Take an answer, and how long the next may take."""
        self._is_asked, self._silence, self._patience = False, 0.0, patience

    def wants_question(self) -> bool:
        """Return whether the last question was answered: then the next one is due."""
        return not self._is_asked

    def ask(self, now: float, usage: Usage) -> None:
        """Begin to count: a question was sent."""
        self._is_asked, self._silence = True, 0.0
        self._looked, self._before, self._at_question = now, usage, usage

    def is_hung(self, now: float, usage: Usage) -> bool:
        """Return whether the child was silent for too long."""
        elapsed = min(now - self._looked, MOST_A_LOOK)
        starved = usage.waited - self._before.waited
        self._silence += max(0.0, elapsed - starved)
        self._looked, self._before = now, usage
        ran = usage.ran - self._at_question.ran
        is_busy = usage.waits_for_disk or ran > self._silence / 2
        limit = self._limits.busy if is_busy else self._limits.idle
        return self._silence > max(limit, self._patience)


def usage_of(pid: int) -> Usage:
    """Return what a process has used; zeros where the kernel does not say."""
    try:
        ran, waited, *_ = (PROC / str(pid) / "schedstat").read_text().split()
        state = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError, IndexError):
        return Usage()
    return Usage(int(ran) / NANOSECONDS, int(waited) / NANOSECONDS, state == "D")
