"""What a policy sees: the pool's backends and their load, the new flow, and a few words of its own.

Every policy keeps these laws:
    Only backends of the service's pool are picked; health, state, weight 0 and `backup` are
    compiled into it. One without `has_room()` is passed over.
    A backend that came a moment ago takes a share of its weight that rises slowly. What adds
    weights up takes `weight_now()`. What looks a backend up by a draw, a turn or a load asks
    `is_admitted()`, what looks it up by a hash `is_admitted_by_hash()`, and looks further;
    `draws.py` has a new lot for each of its tries. What compares loads takes `slowed_load()`.
    NO_BACKEND_INDEX is the answer only where no backend of the pool has room.
    The same tables, counts, flow and draw give the same answer, compiled or interpreted.
    A service's shadow and its policy share nothing that either writes: what is kept in `notes`
    has a field for each (`smooth_of()`, `set_smooth()`), and `own` has words for each choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from natlb.core.hashing import WORD, second_hash
from natlb.core.layout import (
    CHOICES,
    MOST_BACKENDS,
    POLICY_WORDS,
    PROGRAM_FLOATS,
    PROGRAM_WHOLES,
)
from natlb.jit import i64, kernel, rare_kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natlb.core.elsewhere import Elsewhere

NO_BACKEND_INDEX = -1
NOWHERE = -1  # no position in a pool

Choice: TypeAlias = Any  # one record of CHOICE

LEAST_SHARE = 0.1  # of its weight, that a backend begins slow start with (Envoy: 10 %)


class Pool(NamedTuple):
    """Arrays shared by all services; a service's pool is `rings[pool_start:][:pool_size]`.

    A pool names only backends that take new flows, in the order of the configuration.
    """

    services: NDArray[np.void]  # SERVICE
    choices: NDArray[np.void]  # CHOICE, CHOICES for each service
    rings: NDArray[np.int32]  # backend indexes, and what compiling halves make for picking ones
    backends: NDArray[np.void]  # BACKEND
    counts: NDArray[np.void]  # COUNT, by backend
    loads: NDArray[np.int64]  # flows of each backend, opening and established
    total: NDArray[np.void]  # COUNT, by service
    notes: NDArray[np.void]  # NOTE, by backend
    own: NDArray[np.int64]  # POLICY_WORDS for each choice, kept from pick to pick
    programs: NDArray[np.float64]  # [program, word]
    elsewhere: Elsewhere  # what other workers have, to be added to `loads` and `total`
    floats: NDArray[np.float64]  # room to show a program what it asks for: [PROGRAM_FLOATS, place]
    wholes: NDArray[np.int64]  # [PROGRAM_WHOLES, place]


def make_scratch() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return `floats` and `wholes` of a pool; what is not used takes no memory."""
    floats = np.zeros((PROGRAM_FLOATS, MOST_BACKENDS))
    return floats, np.zeros((PROGRAM_WHOLES, MOST_BACKENDS), np.int64)


class NewFlow(NamedTuple):
    """The flow that is given a backend."""

    spread_hash: int  # of what the choice's `key` says, and the seed: 32 bits
    draw: int  # random, 31 bits
    now: int  # milliseconds since the table's epoch
    client0: int  # the client's address in lanes, IPv4 as ::ffff:a.b.c.d
    client1: int
    client2: int
    client3: int
    port: int  # the client's


@kernel
def service_of(choice: int) -> int:
    """Return the service that a choice is made for."""
    return choice // CHOICES


@kernel
def own_word(choice: int, word: int) -> int:
    """Return where in `own` one of a choice's words is."""
    return choice * POLICY_WORDS + word


@kernel
def is_shadow(choice: int) -> bool:
    """Return whether a choice is a service's shadow: it leaves no trace in the policy's state."""
    return choice % CHOICES > 0


@kernel
def smooth_of(pool: Pool, choice: int, backend: int) -> int:
    """Return a backend's current weight in smooth weighted round robin."""
    note = pool.notes[backend]
    return i64(note["smooth_shadow"] if is_shadow(choice) else note["smooth"])


@kernel
def set_smooth(pool: Pool, choice: int, backend: int, smooth: int) -> None:
    """Keep a backend's current weight in smooth weighted round robin."""
    if is_shadow(choice):
        pool.notes[backend]["smooth_shadow"] = smooth
    else:
        pool.notes[backend]["smooth"] = smooth


@kernel
def pool_span(pool: Pool, choice: int) -> tuple[int, int]:
    """Return where in `rings` the pool begins, and its size."""
    record = pool.services[service_of(choice)]
    return i64(record["pool_start"]), i64(record["pool_size"])


@kernel
def load_of(pool: Pool, backend: int) -> int:
    """Return a backend's flows, opening and established, of all workers: what it has to do."""
    return i64(pool.loads[backend] + pool.elsewhere.backends[backend])


@kernel
def has_room(pool: Pool, backend: int) -> bool:
    """Return whether a backend has fewer flows than it may have."""
    most = pool.backends[backend]["max_flows"]
    return bool(most == 0 or load_of(pool, backend) < most)


@kernel
def slowed_load(pool: Pool, backend: int, now: int) -> int:
    """Return a backend's load, in slow start divided by the share of its weight that it has.

    Rounded down. So it has as much to do as another when it has that share of the other's flows.
    """
    load, record = load_of(pool, backend), pool.backends[backend]
    if load == 0 or record["slow_start_ms"] == 0:
        return load
    return load * i64(record["weight"]) // weight_now(pool, backend, now)


@kernel
def weight_now(pool: Pool, backend: int, now: int) -> int:
    """Return a backend's weight in WEIGHT_ONEs, at least 1: less than its own in slow start."""
    record = pool.backends[backend]
    if record["slow_start_ms"] == 0:
        return i64(record["weight"])
    return max(1, int(_slow_share(pool, backend, now) * i64(record["weight"])))


@kernel
def is_admitted(pool: Pool, backend: int, flow: NewFlow) -> bool:
    """Return whether a backend that a draw, a turn or its load led to takes this flow.

    It has room, and in slow start this flow is of the share that it takes by now: each moment all
    those of the moment before.
    """
    return _is_of_share(pool, backend, flow.spread_hash ^ flow.draw, flow.now)


@kernel
def is_admitted_by_hash(pool: Pool, backend: int, flow: NewFlow) -> bool:
    """Return the same for a backend that a hash led to: no draw, so all nodes admit alike."""
    return _is_of_share(pool, backend, flow.spread_hash, flow.now)


@kernel
def _is_of_share(pool: Pool, backend: int, lot: int, now: int) -> bool:
    """Return whether a backend has room, and this lot is of the share that it takes by now.

    The backend is known by its identity: its index is another one on another node.
    """
    if not has_room(pool, backend):
        return False
    record = pool.backends[backend]
    if record["slow_start_ms"] == 0:
        return True
    mixed = second_hash((lot ^ i64(record["identity"])) & WORD)
    return bool(mixed < _slow_share(pool, backend, now) * (WORD + 1))


@rare_kernel
def _slow_share(pool: Pool, backend: int, now: int) -> float:
    """Return the share of its weight that a backend has."""
    record = pool.backends[backend]
    passed_ms = i64(now - record["began_ms"])
    return slow_share(passed_ms, i64(record["slow_start_ms"]), record["slow_start_exponent"])


@kernel
def slow_share(passed_ms: int, slow_start_ms: int, exponent: float) -> float:
    """Return the share of its weight that a backend has so long after it came into the pool.

    LEAST_SHARE at first, 1 in the end.
    """
    passed = max(0, passed_ms) / slow_start_ms
    if passed >= 1.0:
        return 1.0
    return float(max(LEAST_SHARE, passed**exponent))


@kernel
def find_next(pool: Pool, choice: int, start: int, flow: NewFlow) -> int:
    """Return where in the pool the first is from a position on that takes a flow, or NOWHERE.

    That is who admits it, or where nobody does, who has room.
    """
    first, size = pool_span(pool, choice)
    fallback = NOWHERE
    for step in range(size):
        at = (start + step) % size
        backend = i64(pool.rings[first + at])
        if is_admitted(pool, backend, flow):
            return at
        if fallback == NOWHERE and has_room(pool, backend):
            fallback = at
    return fallback
