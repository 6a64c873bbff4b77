"""What control counts itself, in memory that outlives it: reloads, transitions, checks.

Counters start with the instance and survive its processes, so these lie in a memfd like those of
the workers, by the same numbers of backends. Control is the only writer: plain stores of 64 bits,
of which a reader sees each whole, and a kill between two loses one count at most.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from natlb.core.layout import MOST_BACKENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from natlb.control.compile.indices import BackendName, Indices
    from natlb.control.compile.run_time import RunTime

MAGIC = 0x4E41544C42544C59  # "NATLBTLY"
VERSION = 1
TOTALS = ("magic", "version", "success", "failure", "last_success_us", "peak", "reserved", "_")
SUCCESS, FAILURE, LAST_SUCCESS_US, PEAK = range(2, 6)
DIRECTIONS = ("up", "down", "ready", "draining", "maint")  # what a backend can turn to
RESULTS = ("up", "down")  # what one check can find
WORDS = len(DIRECTIONS) + len(RESULTS) + 1  # room for one more
TOTALS_BYTES = 8 * len(TOTALS)
BYTES = TOTALS_BYTES + 8 * WORDS * MOST_BACKENDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What was counted of a backend: what it turned to, and what checks of it found."""

    transitions: Mapping[str, int]
    checks: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyCounts:
    """All of it, as numbers that do not change any more; `last_success` in seconds of Unix."""

    reloads: Mapping[str, int]
    last_success: float
    backends: Mapping[BackendName, Turns]


def _now() -> datetime:
    return datetime.now(UTC)


def create_tally(clock: Callable[[], datetime] = _now) -> int:
    """Return a memfd with nothing counted; what an instance begins with came well into force.

    Its size is sealed; its pages are there as they are used.
    """
    fd = os.memfd_create("natlb-tally", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, BYTES)
    head = [MAGIC, VERSION, 0, 0, _micros(clock())]
    os.pwrite(fd, np.array(head, np.int64).tobytes(), 0)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd


class Tally:
    """The counts in a memfd, to be added to and read."""

    def __init__(self, fd: int, clock: Callable[[], datetime] = _now) -> None:
        """Map the memfd; `clock` says what time it is.

        Raises ValueError where it is of another layout.
        """
        if os.fstat(fd).st_size != BYTES:
            message = f"{os.fstat(fd).st_size} octets are no tally"
            raise ValueError(message)
        memory = np.frombuffer(mmap.mmap(fd, BYTES), np.int64)
        found = int(memory[0]), int(memory[1])
        if found != (MAGIC, VERSION):
            message = f"a tally of version {found[1]}, expected {VERSION}"
            raise ValueError(message)
        self._totals: NDArray[np.int64] = memory[: len(TOTALS)]
        self._backends: NDArray[np.int64] = memory[len(TOTALS) :].reshape(MOST_BACKENDS, WORDS)
        self._clock = clock

    def reloaded(self, *, well: bool) -> None:
        """Count a reload."""
        self._totals[SUCCESS if well else FAILURE] += 1
        if well:
            self._totals[LAST_SUCCESS_US] = _micros(self._clock())

    def peaked(self, flows: int) -> int:
        """Return the most flows that there ever were at a look, with this one."""
        self._totals[PEAK] = max(int(self._totals[PEAK]), flows)
        return int(self._totals[PEAK])

    def checked(self, number: int, *, well: bool) -> None:
        """Count what one health check of the backend with this number found."""
        self._backends[number, len(DIRECTIONS) + (0 if well else 1)] += 1

    def turned(
        self,
        indices: Indices,
        before: Mapping[BackendName, RunTime],
        after: Mapping[BackendName, RunTime],
        as_configured: RunTime,
    ) -> None:
        """Count what backends turned to, from one run time to the next."""
        for name in before.keys() | after.keys():
            old, new = before.get(name, as_configured), after.get(name, as_configured)
            for was, word in ((old.state, new.state), (old.health, new.health)):
                if was != word and word in DIRECTIONS and name in indices.backends:
                    self._backends[indices.backends[name], DIRECTIONS.index(word)] += 1

    def begin(self, old: Indices, new: Indices) -> None:
        """Set to zero what is counted under each number that `new` gives to another than `old`."""
        for name, number in new.backends.items():
            if old.backends.get(name) != number:
                self._backends[number] = 0

    def read(self, indices: Indices) -> TallyCounts:
        """Return the counts by name."""
        totals = self._totals.copy()
        return TallyCounts(
            reloads={"success": int(totals[SUCCESS]), "failure": int(totals[FAILURE])},
            last_success=int(totals[LAST_SUCCESS_US]) / 1e6,
            backends={
                name: _turns(self._backends[number].tolist())
                for name, number in indices.backends.items()
            },
        )


def _micros(moment: datetime) -> int:
    return int(moment.timestamp() * 1e6)


def _turns(words: list[Any]) -> Turns:
    transitions = dict(zip(DIRECTIONS, words, strict=False))
    return Turns(
        transitions=transitions, checks=dict(zip(RESULTS, words[len(DIRECTIONS) :], strict=False))
    )
