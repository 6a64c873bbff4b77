"""Workers side by side without a network: what CPUs and memory leave of each, and no more.

Each is a process on a CPU of its own, with a table of its own, that takes packets from memory as
the part `core` does, the cost of copying them into slots included. All begin at one moment. One
alone and several together are measured in turn: their ratio is what is left to share when nothing
is, caches and memory of the machine; loaders, drivers and the kernel would take CPUs besides.
"""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING, NoReturn

from bench.core import PACKETS, Case, visits
from bench.core_bed import Bed
from bench.core_driver import WHOLE
from bench.results import OURS, Aim, Measure, MeasureError
from natlb.bench.forge import UDP
from natlb.jit import COMPILED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.results import Session

PART = "workers"
COUNTS = (1, 2, 4, 8, 16, 32, 64)
AIMS = {2: Aim(at_least=1.6)}
CASE = Case(protocol=UDP, flows=1_000)
RESULT = struct.Struct("<qq")  # packets, nanoseconds
NOTE = (
    "workers: processes fed from memory, each on a CPU of its own, without sockets or loaders; they"
    " share caches, memory and clock of the machine, and whatever else runs on it"
)


def run(session: Session) -> Iterator[Measure]:
    """Measure as many workers as there are CPUs to be had, by twos."""
    if not COMPILED:
        raise MeasureError("NATLB_JIT=0: an interpreted core is to be read, not to be measured")
    session.notes.append(NOTE)
    cpus = sorted(os.sched_getaffinity(0))
    counts = counts_for(len(cpus))
    session.say("compiling the loops around the core, where that was not done before")
    Bed()
    taken: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(session.settings.repetitions):
        for count in counts:
            session.say(f"{words_of(count)} on {words_of(count, 'CPU')}")
            taken[count].append(together(cpus[:count], session.settings.seconds))
    yield from measures(taken)


def counts_for(cpus: int) -> list[int]:
    """Return how many workers are measured where there are so many CPUs."""
    return [count for count in COUNTS if count <= cpus]


def measures(taken: dict[int, list[float]]) -> Iterator[Measure]:
    """Give what each number of workers carried, and how many times as much as one."""
    for count, figures in taken.items():
        name = f"{CASE.words} each, {words_of(count)}"
        yield Measure(part=PART, name=name, unit=PACKETS, figures={OURS: tuple(figures)})
    for count, figures in taken.items():
        if count > 1:
            times = tuple(many / one for many, one in zip(figures, taken[1], strict=True))
            name, aim = f"{words_of(count)} to one", AIMS.get(count)
            yield Measure(part=PART, name=name, unit="times", figures={OURS: times}, aim=aim)


def words_of(count: int, what: str = "worker") -> str:
    """Return a number of things."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def together(cpus: Sequence[int], seconds: float) -> float:
    """Return how many million packets a second processes on these CPUs carry at once.

    Raises MeasureError where one of them does not come to its end.
    """
    crew = [_Fellow(cpu, seconds) for cpu in cpus]
    try:
        for fellow in crew:
            fellow.await_word(1)
        for fellow in crew:
            fellow.begin()
        done = [RESULT.unpack(fellow.await_word(RESULT.size)) for fellow in crew]
    finally:
        for fellow in crew:
            fellow.close()
    return float(sum(1000 * packets / nanoseconds for packets, nanoseconds in done))


class _Fellow:
    """A process that is ready, waits for the word to begin, and says what it did."""

    def __init__(self, cpu: int, seconds: float) -> None:
        self._reading, theirs = os.pipe()
        waiting, self._word = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._word)  # the word cannot come from who waits for it
            _work(cpu, seconds, waiting, theirs)
        os.close(theirs)
        os.close(waiting)

    def await_word(self, octets: int) -> bytes:
        said = os.read(self._reading, octets)
        if len(said) != octets:
            raise MeasureError("a worker did not come to its end")
        return said

    def begin(self) -> None:
        os.write(self._word, b"!")

    def close(self) -> None:
        os.close(self._word)
        os.close(self._reading)
        os.waitpid(self._pid, 0)


def _work(cpu: int, seconds: float, waiting: int, ours: int) -> NoReturn:
    """Be one of them: never comes back."""
    try:
        os.sched_setaffinity(0, {cpu})
        bed = Bed()
        load = visits(bed, CASE)
        bed.take(load, WHOLE)  # caches and pages as they will be
        os.write(ours, b"!")
        if os.read(waiting, 1):
            packets, began = 0, time.perf_counter_ns()
            while (taken := time.perf_counter_ns() - began) < seconds * 1e9:
                bed.take(load, WHOLE)
                packets += load.ways.size
            os.write(ours, RESULT.pack(packets, taken))
    finally:
        os._exit(0)
