"""A program's first run: over pools and flows made up for it, before any packet asks it.

Pools of one backend to a hundred, some of them full, some idle, some never heard of, and pools
without any room; the same for every program, so what is refused once is refused again.
"""

from __future__ import annotations

import itertools
import traceback
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator, default_rng

from natlb.control.policy.program_source import ProgramError, line_of
from natlb.core.elsewhere import nothing_elsewhere
from natlb.core.layout import BACKEND, CHOICE, CHOICES, FIRST_PROGRAM, SERVICE, WEIGHT_ONE
from natlb.core.memory import Kind, make
from natlb.core.policy import NewFlow, Pool
from natlb.core.policy.pool import make_scratch
from natlb.core.policy.program import (
    ANSWER,
    FULL,
    GOOD,
    LEFT,
    OUTCOME,
    OUTSIDE,
    STEPS,
    STEPS_A_BACKEND,
    WHOLE_OWN,
    seen_flow,
    seen_pool,
)
from natlb.jit import compile_for

if TYPE_CHECKING:
    from natlb.control.policy.program_source import ProgramSource
    from natlb.core.choice import Pick
    from natlb.core.policy.program import Program

SIZES = (1, 2, 3, 7, 100)
FLOWS = 200  # for each of them, and an eighth of that without any room
SEED = 20
MOST_STEPS = (
    200_000  # of the flows of a size, with room and without: then it is the next one's turn
)
STEPS_TO_FAIL = 1 << 20


def try_programs(sources: tuple[ProgramSource, ...], programs: list[Program], pick: Pick) -> None:
    """Compile `pick`, and raise ProgramError where it has no use for what a program answers."""
    for source, program in zip(sources, programs, strict=True):
        chance = default_rng(SEED)
        pool = sample_pool(program.identity)
        compile_for(pick, pool, 0, sample_flow(0, chance))
        for size, is_full in itertools.product(SIZES, (False, True)):
            _resize(pool, size)
            useful = {GOOD, FULL, OUTSIDE} if is_full else {GOOD, FULL}
            left = MOST_STEPS
            for number in range(FLOWS // 8 if is_full else FLOWS):
                _change(pool, size, chance, is_full=is_full)
                flow = sample_flow(number, chance)
                pick(pool, 0, flow)
                if pool.wholes[WHOLE_OWN, OUTCOME] not in useful:
                    said = _fault(source, program, pool, flow)
                    where = f"tried on a sample, with {size} in the pool"
                    raise ProgramError(f"{source.file}:{said}; {where}")
                left -= STEPS + STEPS_A_BACKEND * size - pool.wholes[WHOLE_OWN, LEFT]
                if left < 0:
                    break


def _fault(source: ProgramSource, program: Program, pool: Pool, flow: NewFlow) -> str:
    """Return what a program did instead of naming a position, and in which line if it is known."""
    numbers = pool.wholes[WHOLE_OWN]
    place = f"{line_of(source)}:1: '{source.function}'"
    if numbers[LEFT] < 0:
        return f"{place} does not end: its loops took all the steps that a pick has"
    size = int(pool.services[0]["pool_size"])
    if numbers[OUTCOME] == OUTSIDE:
        return f"{place} returned {numbers[ANSWER]}; expected a position, 0 to {size - 1}"
    try:
        budget = np.full(1, STEPS_TO_FAIL)
        answer = program.call(seen_pool(pool), seen_flow(pool, flow), budget)
    except Exception as error:  # noqa: BLE001 - the user's code, whatever it raises
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == source.file]
        return f"{lines[-1] if lines else line_of(source)}:1: {error}"
    return f"{place} returned {answer}; expected an int, a position of 0 to {size - 1}"


def sample_pool(identity: int) -> Pool:
    """Return a service's pool whose policy is this program, of the types that a worker's has."""
    counters = make(Kind.COUNTERS)
    most = max(SIZES)
    services, choices = np.zeros(1, SERVICE), np.zeros(CHOICES, CHOICE)
    choices[0]["policy"], choices[0]["parameter0"] = FIRST_PROGRAM, identity
    rings, backends = np.arange(most, dtype=np.int32), np.zeros(most, BACKEND)
    backends["identity"] = np.arange(1, most + 1)
    for array in (services, choices, rings, backends):
        array.flags.writeable = False
    return Pool(
        services,
        choices,
        rings,
        backends,
        counters.backends,
        counters.loads,
        counters.services,
        counters.notes,
        counters.policy,
        counters.programs,
        nothing_elsewhere(),
        *make_scratch(),
    )


def _resize(pool: Pool, size: int) -> None:
    pool.services.flags.writeable = True
    pool.services[0]["pool_size"] = size
    pool.services.flags.writeable = False


def _change(pool: Pool, size: int, chance: Generator, *, is_full: bool) -> None:
    """Give every backend another weight, load and handshake; one in four has no room, or all."""
    backends = pool.backends
    backends.flags.writeable = True
    backends["weight"][:size] = chance.integers(1, 10, size) * WEIGHT_ONE
    backends["max_flows"][:size] = (chance.random(size) < 0.25) * (np.arange(size) > 0) | is_full
    backends.flags.writeable = False
    pool.loads[:size] = chance.integers(1, 50, size)
    pool.loads[0] = int(is_full)
    pool.counts["opening"][:size] = pool.loads[:size] // 2
    times = chance.integers(0, 100_000, size)
    pool.notes["handshake_us"][:size] = np.where(times < 20_000, 0, times)


def sample_flow(number: int, chance: Generator) -> NewFlow:
    """Return a flow of some client, a while after the one before."""
    hashed, draw, client = (int(each) for each in chance.integers(0, 1 << 31, 3))
    port = 1024 + hashed % 60_000
    return NewFlow(hashed, draw, number * 137, 0, 0, 0xFFFF, client, port)
