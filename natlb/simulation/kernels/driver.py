"""The clock: flows arrive, are answered, are served and end, and the real core is told of each.

A flow arrives    the core opens it: limits, affinity, policy, shadow, row, index, counts
is answered       the core follows SYN-ACK and ACK, and so learns what the handshake took
is served         at once, or in the order of answers where all servers of its backend are at work
is done           the core follows both FINs, and ends the flow

Of UDP the core follows a datagram each way, and nobody says good-bye: the flow is ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.batch import MICROS, NOW
from natlb.core.flow_table import NOTHING, ORIGINAL, REPLY, hash_key, lookup
from natlb.core.layout import CLOSED, FIRST_LIVE, HEADROOM
from natlb.core.lifetime import end_flow
from natlb.core.opening import open_flow
from natlb.core.progress import advance
from natlb.jit import entry, i64, kernel, rare_kernel
from natlb.simulation.kernels.calendar import (
    IS_ANSWERED,
    IS_DONE,
    make_event,
    next_time,
    put_event,
    take_event,
)
from natlb.simulation.kernels.world import (
    ANSWER,
    ARRIVED,
    BACKEND_FIN,
    BROKEN,
    CLIENT_FIN,
    CLOCK,
    CONFIRMATION,
    EVICTED,
    NEVER,
    NOBODY,
    NOT_YET,
    OPENING_PACKET,
    SAMPLED,
)
from natlb.wire.reasons import PORT_EXHAUSTED

if TYPE_CHECKING:
    from natlb.core.choice import Pick
    from natlb.core.state import Core
    from natlb.simulation.kernels.world import Script, World


@entry
def drive(core: Core, script: Script, world: World, until: int, failed: int, pick: Pick) -> int:
    """Let the clock run up to `until`; return how many flows have come.

    `failed` is a backend that has just failed, so that its flows break now, or NOBODY.
    """
    numbers = world.numbers
    if failed != NOBODY:
        _break_flows(core, world, failed)
    while True:
        arrival = _next_arrival(script, world)
        due = next_time(world)
        now = min(arrival, due)
        _take_samples(core, world, min(now, until))
        if now >= until:
            numbers[CLOCK] = until
            return i64(numbers[ARRIVED])
        core.batch.numbers[NOW] = now // 1000
        core.batch.numbers[MICROS] = now
        if due <= arrival:
            _happen(core, script, world, take_event(world), now)
        else:
            _arrive(core, script, world, now, pick)


@kernel
def _next_arrival(script: Script, world: World) -> int:
    """Return when the next flow comes, or NEVER."""
    at = i64(world.numbers[ARRIVED])
    return i64(script.starts[at]) if at < script.starts.size else NEVER


@kernel
def _take_samples(core: Core, world: World, now: int) -> None:
    """Note the load of each backend at all moments up to now."""
    at = i64(world.numbers[SAMPLED])
    while at < world.moments.size and world.moments[at] <= now:
        for backend in range(world.peaks.size):
            world.samples[at, backend] = _load(core, backend)
        at += 1
    world.numbers[SAMPLED] = at


@kernel
def _load(core: Core, backend: int) -> int:
    """Return how many flows a backend has, those that are over not counted."""
    return i64(core.counters.loads[backend])


@kernel
def _arrive(core: Core, script: Script, world: World, now: int, pick: Pick) -> None:
    """Have the core open the next flow."""
    flow = i64(world.numbers[ARRIVED])
    world.numbers[ARRIVED] = flow + 1
    parsed = core.batch.parsed[OPENING_PACKET]
    parsed["source3"] = script.clients[flow]
    parsed["source_port"] = script.ports[flow]
    parsed["hash"] = hash_key(core.flows, parsed, i64(parsed["protocol"]))
    number = -PORT_EXHAUSTED  # of the client, which has so many flows already
    if lookup(core.flows, parsed, i64(parsed["protocol"]), parsed["hash"]) == NOTHING:
        number = open_flow(core, OPENING_PACKET, script.service, now // 1000, pick)
    if number < 0:
        world.backends[flow] = number
        return
    row = core.flows.rows[number]
    backend = i64(row["backend"])
    world.backends[flow] = backend
    world.rows[flow] = number
    world.generations[flow] = row["generation"]
    world.peaks[backend] = max(world.peaks[backend], _load(core, backend))
    _follow(core, row, OPENING_PACKET, ORIGINAL)
    taken = int(script.handshakes[flow] * script.slowness[backend])
    put_event(world, now + taken, make_event(flow, IS_ANSWERED))


@rare_kernel
def _follow(core: Core, row: Any, slot: int, direction: int) -> None:
    """Have the core follow a packet of a flow."""
    parsed = core.batch.parsed[slot]
    packet = core.batch.slots[slot, HEADROOM : HEADROOM + parsed["end"]]
    advance(core, row, packet, parsed, direction, i64(core.batch.numbers[NOW]))


@kernel
def _happen(core: Core, script: Script, world: World, event: int, now: int) -> None:
    """Let an event happen, unless its flow is no more."""
    flow, kind = event >> 1, event & 1
    if world.ended[flow] != NOT_YET:
        return
    is_there = _has_row(core, world, flow)
    if kind == IS_DONE:
        if is_there:
            _finish(core, script, i64(world.rows[flow]))
        world.ended[flow] = now
        _release_server(script, world, i64(world.backends[flow]), now)
    elif is_there:
        _answer(core, script, i64(world.rows[flow]))
        world.answered[flow] = now
        _ask_for_server(script, world, flow, now)
    else:
        world.ended[flow] = now
        world.numbers[EVICTED] += 1


@kernel
def _has_row(core: Core, world: World, flow: int) -> bool:
    """Return whether a flow still has the row that it was given."""
    row = core.flows.rows[world.rows[flow]]
    return i64(row["state"]) >= FIRST_LIVE and i64(row["generation"]) == world.generations[flow]


@rare_kernel
def _answer(core: Core, script: Script, number: int) -> None:
    """Have the core follow the backend's answer, and TCP's third packet."""
    row = core.flows.rows[number]
    _follow(core, row, ANSWER, REPLY)
    if script.is_tcp:
        _follow(core, row, CONFIRMATION, ORIGINAL)


@rare_kernel
def _finish(core: Core, script: Script, number: int) -> None:
    """Have the core follow both ends' last packets, and end the flow."""
    if script.is_tcp:
        row = core.flows.rows[number]
        _follow(core, row, CLIENT_FIN, ORIGINAL)
        _follow(core, row, BACKEND_FIN, REPLY)
    end_flow(core, number, CLOSED)


@kernel
def _ask_for_server(script: Script, world: World, flow: int, now: int) -> None:
    """Have a flow served, now or when those before it are."""
    backend = i64(world.backends[flow])
    if script.servers == 0 or world.busy[backend] < script.servers:
        world.busy[backend] += 1
        _serve(script, world, flow, now)
    elif world.heads[backend] == NOBODY:
        world.heads[backend] = flow
        world.tails[backend] = flow
    else:
        world.links[world.tails[backend]] = flow
        world.tails[backend] = flow


@kernel
def _serve(script: Script, world: World, flow: int, now: int) -> None:
    """Begin to serve a flow."""
    world.served[flow] = now
    taken = int(script.services[flow] * script.slowness[world.backends[flow]])
    put_event(world, now + taken, make_event(flow, IS_DONE))


@kernel
def _release_server(script: Script, world: World, backend: int, now: int) -> None:
    """Give a server that is done to who waits longest."""
    flow = i64(world.heads[backend])
    if flow == NOBODY:
        world.busy[backend] -= 1
        return
    world.heads[backend] = world.links[flow]
    _serve(script, world, flow, now)


@rare_kernel
def _break_flows(core: Core, world: World, failed: int) -> None:
    """End all flows of a backend: nobody answers them any more."""
    now = i64(world.numbers[CLOCK])
    for flow in range(world.numbers[ARRIVED]):
        if world.backends[flow] == failed and world.ended[flow] == NOT_YET:
            if _has_row(core, world, flow):
                end_flow(core, i64(world.rows[flow]), CLOSED)
            world.ended[flow] = now
            world.numbers[BROKEN] += 1
    world.busy[failed] = 0
    world.heads[failed] = NOBODY
