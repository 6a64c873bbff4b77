"""Policies of the user's own: shown the pool, asked for a position, never trusted.

    gather    what the program looks at, into memory of this worker's
    ask       within a budget of steps, whatever it raises caught
    judge     a position of the pool, with room there, or the fallback serves

A program is known by its identity, which the tables name: a worker that was not given it falls
back, so it does no harm when tables and workers come in another order than they should.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from natlb.core.hashing import WORD, second_hash
from natlb.core.layout import (
    FIRST_PROGRAM,
    PROGRAM_OWNER,
    PROGRAM_STATE,
    PROGRAM_WORDS,
    WEIGHT_ONE,
)
from natlb.core.policy import pick
from natlb.core.policy.fallback import fall_back
from natlb.core.policy.pool import (
    NO_BACKEND_INDEX,
    NewFlow,
    Pool,
    has_room,
    load_of,
    pool_span,
    weight_now,
)
from natlb.core.policy.values import answer_of, shown
from natlb.jit import entry, i64, kernel, program_entry, program_kernel, rare_kernel
from natlb.policy import Flow
from natlb.policy import Pool as Shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from natlb.core.choice import Pick

Ask: TypeAlias = "Callable[[int, Any, Any, Any], int]"

STEPS = 10_000  # of loops and calls that a pick may take, and so many for each backend:
STEPS_A_BACKEND = 20
DRAWS = 1 << 31

# What a program may look at, as bits of `sees`
FIELDS = Shown._fields
WEIGHTS, FLOWS, OPENING, HANDSHAKES, IDENTITIES, STATE = (1 << at for at in range(6))

# Rows of `Pool.floats` and `Pool.wholes`
FLOAT_WEIGHTS, FLOAT_HANDSHAKES = range(2)
WHOLE_FLOWS, WHOLE_OPENING, WHOLE_IDENTITIES, WHOLE_OWN = range(4)

# Of a pick, in WHOLE_OWN
LEFT, ANSWER, OUTCOME, SIZE, SLOT, PORT_HASH = range(6)
GOOD, OUTSIDE, FULL, RAISED = range(4)


class Program(NamedTuple):
    """A checked function `call(pool, flow, budget)`, its identity, and the fields that it sees."""

    identity: int
    call: Callable[..., int]
    sees: int


def pick_with(programs: Sequence[Program]) -> Pick:
    """Return a `pick()` that knows these programs beside the policies that natlb has.

    Only what is about these programs is compiled for them, which takes a second or two: what comes
    before and after an answer is cached.
    """
    ask: Ask = _ask_nobody
    sees = 0
    for program in programs:
        ask = _ask_or(program, ask)
        sees |= program.sees

    @program_entry
    def pick_or_ask(pool: Pool, choice: int, flow: NewFlow) -> int:
        record = pool.choices[choice]
        if record["policy"] < FIRST_PROGRAM:
            return pick(pool, choice, flow)
        if begin_pick(pool, choice, flow, sees) == 0:
            return NO_BACKEND_INDEX
        numbers = pool.wholes[WHOLE_OWN]
        try:
            seen, asked = seen_pool(pool), seen_flow(pool, flow)
            numbers[ANSWER] = ask(record["parameter0"], seen, asked, numbers[LEFT : LEFT + 1])
        except Exception:  # noqa: BLE001 - whatever it raises, forwarding goes on
            numbers[OUTCOME] = RAISED
        return conclude_pick(pool, choice, flow)

    return pick_or_ask


def _ask_or(program: Program, others: Ask) -> Ask:
    """Return a kernel that asks this program where it is the wanted one, else the others."""
    identity, call = program.identity, program.call

    @program_kernel
    def ask(wanted: int, pool: Any, flow: Any, budget: Any) -> int:
        if wanted == identity:
            return answer_of(call(pool, flow, budget))
        return others(wanted, pool, flow, budget)

    return ask


@rare_kernel
def _ask_nobody(_wanted: int, pool: Any, _flow: Any, _budget: Any) -> int:
    """Return an answer that is none, for a program that this worker was not given."""
    return -1 - len(pool.state)


@entry
def begin_pick(pool: Pool, choice: int, flow: NewFlow, sees: int) -> int:
    """Make everything ready for a program that sees these fields; return the pool's size."""
    _claim_state(pool, choice)
    size = _gather(pool, choice, flow, sees)
    numbers = pool.wholes[WHOLE_OWN]
    numbers[LEFT] = STEPS + STEPS_A_BACKEND * size
    numbers[OUTCOME] = GOOD
    numbers[SIZE] = size
    numbers[SLOT] = i64(pool.choices[choice]["policy"]) - FIRST_PROGRAM
    numbers[PORT_HASH] = second_hash((flow.spread_hash ^ second_hash(flow.port)) & WORD)
    return size


@kernel
def _claim_state(pool: Pool, choice: int) -> None:
    """Have a program find its own state, or one of zeros."""
    state = pool.programs[i64(pool.choices[choice]["policy"]) - FIRST_PROGRAM]
    owner = float(pool.choices[choice]["parameter1"])
    if state[PROGRAM_OWNER] != owner:
        for word in range(PROGRAM_WORDS):
            state[word] = 0.0
        state[PROGRAM_OWNER] = owner


@kernel
def _gather(pool: Pool, choice: int, flow: NewFlow, sees: int) -> int:
    """Write what a program sees of each backend, and nothing else; return how many there are."""
    first, size = pool_span(pool, choice)
    for place in range(size):
        backend = i64(pool.rings[first + place])
        if sees & WEIGHTS:
            weight = weight_now(pool, backend, flow.now) if has_room(pool, backend) else 0
            pool.floats[FLOAT_WEIGHTS, place] = weight / WEIGHT_ONE
        if sees & FLOWS:
            pool.wholes[WHOLE_FLOWS, place] = load_of(pool, backend)
        if sees & OPENING:
            opening = i64(pool.counts[backend]["opening"]) + pool.elsewhere.opening[backend]
            pool.wholes[WHOLE_OPENING, place] = opening
        if sees & HANDSHAKES:
            seconds = pool.notes[backend]["handshake_us"] / 1_000_000
            pool.floats[FLOAT_HANDSHAKES, place] = seconds
        if sees & IDENTITIES:
            pool.wholes[WHOLE_IDENTITIES, place] = pool.backends[backend]["identity"]
    return size


@kernel
def seen_pool(pool: Pool) -> Shown:
    """Return the pool as a program sees it, once it is gathered."""
    size = pool.wholes[WHOLE_OWN, SIZE]
    return Shown(
        shown(pool.floats[FLOAT_WEIGHTS, :size]),
        shown(pool.wholes[WHOLE_FLOWS, :size]),
        shown(pool.wholes[WHOLE_OPENING, :size]),
        shown(pool.floats[FLOAT_HANDSHAKES, :size]),
        shown(pool.wholes[WHOLE_IDENTITIES, :size]),
        shown(pool.programs[pool.wholes[WHOLE_OWN, SLOT], :PROGRAM_STATE]),
    )


@kernel
def seen_flow(pool: Pool, flow: NewFlow) -> Flow:
    """Return a new flow as a program sees it."""
    return Flow(
        flow.spread_hash,
        i64(pool.wholes[WHOLE_OWN, PORT_HASH]),
        (flow.client0, flow.client1, flow.client2, flow.client3),
        flow.port,
        flow.now / 1000,
        flow.draw / DRAWS,
    )


@entry
def conclude_pick(pool: Pool, choice: int, flow: NewFlow) -> int:
    """Return the backend that a program's answer means, or the one that the fallback has."""
    numbers = pool.wholes[WHOLE_OWN]
    first, size = pool_span(pool, choice)
    position = i64(numbers[ANSWER])
    if numbers[OUTCOME] == GOOD:
        if 0 <= position < size:
            backend = i64(pool.rings[first + position])
            if has_room(pool, backend):
                return backend
            numbers[OUTCOME] = FULL
        else:
            numbers[OUTCOME] = OUTSIDE
    return fall_back(pool, choice, flow)
