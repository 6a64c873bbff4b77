"""The worker's loop: read a batch, process it, write it, and between batches a little housekeeping.

It runs in compiled code, waiting included, and comes back to Python only when its wake fd is
readable or a queue is gone. Whatever it works on lies in memory that outlives it.
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any

import numpy as np

from natlb import jit
from natlb.core.assembly import assemble
from natlb.core.batch import COUNT_IN, MICROS, TRACKED_SO_FAR, make_batch, start_batch
from natlb.core.commands import Commands, advance_command, is_command_waiting
from natlb.core.counters import account_held_lost
from natlb.core.elsewhere import exchange_loads
from natlb.core.entry import pick_type, prepare_takeover
from natlb.core.flow_recovery import recover
from natlb.core.fragments import step_fragments
from natlb.core.housekeeping import keep_pace
from natlb.core.layout import (
    CHOICES,
    CURRENT,
    EPOCH,
    GENERATION,
    HELD,
    ITERATIONS,
    PRIVATE,
    PUBLIC,
    TICK,
)
from natlb.core.memory import Kind, flow_items, make, start_flows
from natlb.core.pipeline import give_up_packet, turn_batch
from natlb.core.policy import pick
from natlb.core.tables import TABLE_GENERATION
from natlb.io.path import LOST, may_be_more, read_batch, wait, write_batch
from natlb.io.ports import Port, PortKind
from natlb.io.queues import DRIVER, TTL, TUN_DRIVER, make_queues
from natlb.io.sending import forget_hops
from natlb.io.shared import attach
from natlb.io.sieve import leave_to_host
from natlb.jit import entry, external, i64, kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from natlb.core.choice import Pick
    from natlb.core.elsewhere import Loads
    from natlb.core.events import Events
    from natlb.core.next_hops import NextHops
    from natlb.core.state import Core
    from natlb.io.queues import Queues

clock_gettime = external("clock_gettime", "int32", "int32", "intp")

CLOCK_BOOTTIME = 7  # Linux: time.h; goes on while the machine sleeps, as the other ends' timers do
BATCH = 64
SWEEP_EVERY_MS = 2  # lifetime.py: a whole sweep is 1,024 pieces
MOST_PIECES = 64  # made up for at once after a pause
LOOK_UP_MS = 50  # the longest wait with flows, so that the sweep keeps its pace, or fragments held
LOOK_UP_IDLE_MS = 1000  # and without
FAULTS_TOLD = 3  # tracebacks on standard error; all faults are counted as `internal`


@kernel
def microseconds_now(timespec: NDArray[np.int64], epoch_ns: int) -> int:
    """Return the microseconds since a table's epoch."""
    clock_gettime(CLOCK_BOOTTIME, timespec.ctypes.data)
    return i64((timespec[0] * 1_000_000_000 + timespec[1] - epoch_ns) // 1000)


@entry
def turn(
    core: Core,
    commands: Commands,
    queues: Queues,
    hops: NextHops,
    timespec: NDArray[np.int64],
    pick_backend: Pick,
) -> int:
    """Forward until the wake fd is readable (WOKEN) or a queue is gone (LOST).

    A batch that was left in the middle by an exception is finished first.
    """
    batch, meta = core.batch, core.flows.meta
    ttl = i64(queues.numbers[TTL])
    while True:
        if batch.numbers[TRACKED_SO_FAR] >= batch.numbers[COUNT_IN]:
            count = read_batch(queues, batch, hops)
            if queues.numbers[DRIVER] != TUN_DRIVER:
                leave_to_host(queues, core, count)
        micros = microseconds_now(timespec, meta[EPOCH])
        now = micros // 1000
        batch.numbers[MICROS] = micros
        if batch.numbers[COUNT_IN] > 0:
            turn_batch(core, now, ttl, pick_backend)
            write_batch(queues, batch, core.counters, hops)
            start_batch(batch, 0)
        core.counters.totals[ITERATIONS] += 1
        due = (now - meta[TICK]) // SWEEP_EVERY_MS
        if due <= 0 and may_be_more(queues):
            continue
        left = _keep_house(core, commands, queues, hops, now, due)
        busy = left > 0 or may_be_more(queues) or is_command_waiting(commands)
        pause = 0 if busy else _longest_wait(core)
        seen = wait(queues, pause)
        if seen >= LOST:
            return seen


@kernel
def _longest_wait(core: Core) -> int:
    """Return for how many milliseconds nothing needs doing."""
    is_idle = core.flows.meta[CURRENT] == 0 and core.counters.totals[HELD] == 0
    return LOOK_UP_IDLE_MS if is_idle else LOOK_UP_MS


@kernel
def _keep_house(
    core: Core, commands: Commands, queues: Queues, hops: NextHops, now: int, due: int
) -> int:
    """Sweep, hear of the other workers, do a piece of a command; return how much sweep is left."""
    left = 0
    if due > 0:
        left = keep_pace(core, now, min(due, MOST_PIECES))
        core.flows.meta[TICK] = now - left * SWEEP_EVERY_MS
    exchange_loads(core)
    step_fragments(core, now)
    if is_command_waiting(commands):
        start_batch(core.batch, 0)
        advance_command(core, commands)
        write_batch(queues, core.batch, core.counters, hops)
    return left


class PacketLoop:
    """The compiled loop as a process drives it: prepare, attach, load tables, run."""

    compiled = jit.COMPILED

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._timespec = np.zeros(2, np.int64)
        self._batch = make_batch(BATCH)
        self._core: Core | None = None
        self._parts: tuple[Any, Any] | None = None
        self._commands: Commands | None = None
        self._events: Events | None = None
        self._loads: Loads | None = None
        self._queues: Queues | None = None
        self._hops = no_hops()
        self._faults = 0
        self._pick: Pick = pick

    def prepare(self, progress: Callable[[str], None]) -> None:
        """Compile the loop, or load it from the cache; `progress` hears where that takes long."""
        if not jit.COMPILED:
            return
        if not jit.is_cache_complete():
            progress("compiling the packet path (once, about a minute)")
        core, commands = sample_core(), make(Kind.COMMANDS)
        queues = make_queues([Port(PortKind.TUN, PUBLIC, -1), Port(PortKind.TUN, PRIVATE, -1)])
        jit.compile_for(turn, core, commands, queues, self._hops, self._timespec, pick_type(core))
        prepare_takeover(core)
        jit.mark_cache_complete()

    def choose_by(self, pick: Pick) -> None:
        """Choose backends by this from the next `run` on."""
        self._pick = pick

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
        """Forward between these ports with this memory; again when one of them is a new one.

        The descriptors stay the caller's. Raises ValueError where memory is not what it should be.
        """
        del index  # the flow table knows whose it is
        self._queues = make_queues(ports)
        self._parts = attach(Kind.FLOWS, flows), attach(Kind.COUNTERS, counters)
        self._commands = attach(Kind.COMMANDS, commands)
        self._events = attach(Kind.EVENTS, events)
        self._loads = attach(Kind.LOADS, loads)
        if self._core is not None:
            self._core = self._core._replace(
                flows=self._parts[0],
                counters=self._parts[1],
                events=self._events,
                loads=self._loads,
            )

    def load_next_hops(self, fd: int) -> None:
        """Send by these next hops from the next batch on."""
        self._hops = attach(Kind.NEXT_HOPS, fd, writable=False)
        if self._queues is not None:
            forget_hops(self._queues.sending)

    def recover(self) -> None:
        """Bring the memory in order after another worker died over it."""
        flows, counters = self._attached()
        recover(flows, counters)
        account_held_lost(counters)

    def load_tables(self, fd: int) -> int:
        """Forward by these tables from the next batch on, and return their generation."""
        flows, counters = self._attached()
        tables = attach(Kind.TABLES, fd, writable=False)
        if self._core is None:
            self._core = assemble(tables, flows, counters, self._batch, self._events, self._loads)
        else:
            self._core = self._core._replace(tables=tables)
        generation = int(tables.numbers[TABLE_GENERATION])
        counters.totals[GENERATION] = generation
        return generation

    def run(self, wake: int) -> str:
        """Forward until `wake` is readable ("wake") or a queue is gone ("queue-lost")."""
        core, queues, commands = self._core, self._queues, self._commands
        if core is None or queues is None or commands is None:
            message = "run() before attach() and load_tables()"
            raise RuntimeError(message)
        queues.polled[queues.fds.size]["fd"] = wake
        queues.ready[:] = 1  # what came while Python was at work is taken before the next wake
        while True:
            try:
                seen = turn(core, commands, queues, self._hops, self._timespec, self._pick)
            except (IndexError, OverflowError, ValueError):
                if core.batch.numbers[TRACKED_SO_FAR] >= core.batch.numbers[COUNT_IN]:
                    raise  # not about a packet: another worker does better
                self._give_up_packet(core)
            else:
                return "queue-lost" if seen == LOST else "wake"

    def _attached(self) -> tuple[Any, Any]:
        if self._parts is None:
            message = "no memory attached"
            raise RuntimeError(message)
        return self._parts

    def _give_up_packet(self, core: Core) -> None:
        """Drop the packet that raised, and say so the first few times."""
        give_up_packet(core)
        self._faults += 1
        if self._faults <= FAULTS_TOLD:
            sys.stderr.write(f"packet_dropped reason=internal\n{traceback.format_exc()}")


def no_hops() -> NextHops:
    """Return next hops of which none is known: all that leaves is the host's to route."""
    hops: NextHops = make(Kind.NEXT_HOPS, links=1, routes=1, neighbours=1)
    hops.lengths[:] = -1
    for array in hops:
        array.flags.writeable = False
    return hops


def sample_core() -> Core:
    """Return a core of the smallest size, of the types that every worker's has."""
    ones = dict.fromkeys(("services", "backends", "rings", "timeouts", "access", "sources"), 1)
    tables = make(Kind.TABLES, endpoints=16, choices=CHOICES, ways=2, **ones)
    for array in tables:
        array.flags.writeable = False
    flows = make(Kind.FLOWS, **flow_items(1))
    start_flows(flows, 1, bytes(12), 0)
    return assemble(tables, flows, make(Kind.COUNTERS), make_batch(1))
