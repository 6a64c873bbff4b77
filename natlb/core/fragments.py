"""Fragments: every piece of a datagram goes where its first piece went.

The first piece has the ports, so it is decided like a whole packet, and its outcome is the
datagram's fate (fragment_table.py). What came before it was held (holding.py) and goes on behind
it; what comes later follows at once:

    forwarded   translated in its addresses alone: the transport's sum is in the first piece
    passed      passed on, untouched
    echo        turned back, as the first piece was: as many octets out as came in
    refused     dropped for the same reason, without an answer of its own

Laws
    A piece of a datagram whose first one is not known yet is held or dropped, never guessed.
    Of a datagram with an overlap no further piece goes on (RFC 5722).
    Nothing here answers: an answer about later fragments is forbidden (RFC 1122 section 3.2.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.batch import NO_ROOM, OUTPUT, emit, is_output_full, take_room
from natlb.core.counters import account_held_dropped, account_released
from natlb.core.crossing import cross_fragment
from natlb.core.cutting import send_in_pieces
from natlb.core.decision import decide_apart
from natlb.core.flow_table import NOTHING, direction_of, half, lookup, row_of
from natlb.core.fragment_table import (
    COPY,
    OVERLAP,
    UNDECIDED,
    Datagram,
    begin_datagram,
    context_of,
    find_datagram,
    first_of_set,
    is_complete,
    judge_piece,
    note_piece,
    oldest_of_set,
)
from natlb.core.holding import (
    COUNT_HELD,
    HOLD_MS,
    MOST_HELD,
    NO_PLACE,
    give_place_back,
    hold_packet,
    take_held,
)
from natlb.core.layout import ACTION_IPID, ACTION_XLAT, FIRST_LIVE
from natlb.core.progress import account_packet
from natlb.core.state import TTL_OWN
from natlb.core.tables import FRAGMENT_MS
from natlb.core.translate import is_ttl_spent
from natlb.core.verdict import DROP, ECHO, FORWARD, HOLD, PASS, answered, drop
from natlb.jit import i64, rare_kernel
from natlb.wire.answers import is_icmp_error, turn_back
from natlb.wire.fields import IP4_IDENTIFICATION
from natlb.wire.octets import get_u16
from natlb.wire.parse import parse
from natlb.wire.parsed import LATER_FRAGMENT, UNTRANSLATABLE
from natlb.wire.reasons import (
    FRAGMENT_LIMIT,
    FRAGMENT_OVERLAP,
    FRAGMENT_TIMEOUT,
    MTU_EXCEEDED,
    OUT_OF_STATE,
    QUEUE_FULL,
    TTL_EXPIRED,
    UNSUPPORTED,
)
from natlb.wire.rewrite import decrease_ttl, rewrite_addresses, set_identification

if TYPE_CHECKING:
    from natlb.core.choice import Pick
    from natlb.core.state import Core
    from natlb.wire.octets import Octets


@rare_kernel
def follow_fragment(core: Core, i: int, packet: Octets, now: int, hops: int, pick: Pick) -> int:
    """Return the outcome of a piece of a datagram, with what it and those it releases put out."""
    parsed = core.batch.parsed[i]
    at = _datagram_of(core, i, now)
    record = core.fragments.records[at]
    judged = judge_piece(core, at, parsed)
    if judged == OVERLAP or record["fate"] == drop(FRAGMENT_OVERLAP):
        record["fate"] = drop(FRAGMENT_OVERLAP)
        _drop_held(core, record, FRAGMENT_OVERLAP)
        return drop(FRAGMENT_OVERLAP)
    if judged == COPY:
        return drop(FRAGMENT_OVERLAP)
    if not parsed["kind"] & LATER_FRAGMENT:
        outcome = _lead(core, i, packet, at, now, hops, pick)
    elif record["fate"] == UNDECIDED:
        outcome = _hold(core, packet[: parsed["end"]], at, now)
        if outcome != HOLD:
            return outcome  # it is not here
    else:
        outcome = _follow(core, i, packet, record, now, hops)
    note_piece(core, at, parsed)
    if is_complete(record) and record["fate"] != UNDECIDED:
        record["used"] = 0
    return outcome


@rare_kernel
def step_fragments(core: Core, now: int) -> None:
    """Drop the held pieces whose time is up: one look at each place, where any is in use."""
    holding = core.fragments.holding
    if holding.numbers[COUNT_HELD] == 0:
        return
    for number in range(1, MOST_HELD + 1):
        place = holding.places[number]
        if place["length"] and _is_over(core, core.fragments.records[place["record"]], now):
            _forget(core, place["record"], FRAGMENT_TIMEOUT)


@rare_kernel
def _datagram_of(core: Core, i: int, now: int) -> int:
    """Return the record of a piece's datagram, if need be a new one in place of the oldest."""
    parsed = core.batch.parsed[i]
    context = context_of(parsed, i64(core.batch.frames[i]["way"]))
    start = first_of_set(core, parsed, context)
    at = find_datagram(core, start, parsed, context)
    if at >= 0 and not _is_over(core, core.fragments.records[at], now):
        return at
    reason = FRAGMENT_TIMEOUT
    if at < 0:
        at = oldest_of_set(core, start)
        if not _is_over(core, core.fragments.records[at], now):
            reason = FRAGMENT_LIMIT
    _forget(core, at, reason)
    begin_datagram(core, at, parsed, context, now)
    return at


@rare_kernel
def _is_over(core: Core, record: Datagram, now: int) -> bool:
    """Return whether a datagram's time is up: of all its pieces, or of the first that is held."""
    most = i64(core.tables.numbers[FRAGMENT_MS])
    first = i64(record["first_held"])
    if first != NO_PLACE:
        since = i64(core.fragments.holding.places[first]["since"])
        if now - since >= min(most, HOLD_MS):
            return True
    return now - i64(record["created"]) >= most


@rare_kernel
def _forget(core: Core, at: int, reason: int) -> None:
    """Give a record up; what is held of its datagram is dropped for that reason."""
    record = core.fragments.records[at]
    _drop_held(core, record, reason)
    record["used"] = 0


@rare_kernel
def _drop_held(core: Core, record: Datagram, reason: int) -> None:
    """Drop all that is held of a datagram."""
    number = i64(record["first_held"])
    while number != NO_PLACE:
        number = give_place_back(core.fragments.holding, number)
        account_held_dropped(core.counters, reason)
    record["first_held"] = NO_PLACE
    record["last_held"] = NO_PLACE


@rare_kernel
def _hold(core: Core, packet: Octets, at: int, now: int) -> int:
    """Keep a piece behind those of its datagram that are held; return the outcome."""
    holding = core.fragments.holding
    record = core.fragments.records[at]
    number = hold_packet(holding, packet, at, now)
    if number == NO_PLACE:
        return drop(FRAGMENT_LIMIT)
    if record["first_held"] == NO_PLACE:
        record["first_held"] = number
    else:
        holding.places[record["last_held"]]["link"] = number
    record["last_held"] = number
    return HOLD


@rare_kernel
def _lead(core: Core, i: int, packet: Octets, at: int, now: int, hops: int, pick: Pick) -> int:
    """Decide a first piece like a whole packet, keep how, and let those that wait for it follow."""
    batch = core.batch
    parsed = batch.parsed[i]
    record = core.fragments.records[at]
    if is_icmp_error(packet, parsed):
        outcome = drop(UNSUPPORTED)  # it quotes less than a piece holds, so it is forged
    else:
        outcome = decide_apart(core, i, packet, now, hops, pick)
    record["fate"] = outcome
    if outcome == FORWARD:
        _keep_flow(core, i, packet, record)
    elif outcome == PASS:
        record["way"] = batch.output[batch.numbers[OUTPUT] - 1]["way"]
    elif outcome != answered(ECHO):
        record["fate"] = drop(outcome >> 8)
    _release(core, i, record, now, hops)
    return outcome


@rare_kernel
def _keep_flow(core: Core, i: int, packet: Octets, record: Datagram) -> None:
    """Keep which flow a first piece was sent on by, and under which identification."""
    parsed = core.batch.parsed[i]
    found = lookup(core.flows, parsed, i64(parsed["protocol"]), i64(parsed["hash"]))
    record["found"] = found
    record["generation"] = core.flows.rows[row_of(found)]["generation"]
    if parsed["version"] == 4:
        record["new_identification"] = get_u16(packet, IP4_IDENTIFICATION)


@rare_kernel
def _release(core: Core, i: int, record: Datagram, now: int, hops: int) -> None:
    """Let the held pieces of a decided datagram follow, in the order they came in.

    Each in turn takes the place of the packet in hand, whose own frame and `Parsed` are set aside.
    """
    if record["first_held"] == NO_PLACE:
        return
    if record["fate"] & 0xFF == DROP:
        _drop_held(core, record, i64(record["fate"]) >> 8)
        return
    batch, aside = core.batch, core.fragments
    aside.frame[0] = batch.frames[i]
    aside.parsed[0] = batch.parsed[i]
    number = i64(record["first_held"])
    while number != NO_PLACE:
        number = _release_one(core, i, record, number, now, hops)
    record["first_held"] = NO_PLACE
    record["last_held"] = NO_PLACE
    batch.frames[i] = aside.frame[0]
    batch.parsed[i] = aside.parsed[0]


@rare_kernel
def _release_one(core: Core, i: int, record: Datagram, number: int, now: int, hops: int) -> int:
    """Let a held piece follow from a spare slot; return the next one's place."""
    batch, holding = core.batch, core.fragments.holding
    length = i64(holding.places[number]["length"])
    slot, start = take_room(batch, length)
    if slot == NO_ROOM or is_output_full(batch):
        account_held_dropped(core.counters, QUEUE_FULL)
        return give_place_back(holding, number)
    frame, parsed = batch.frames[i], batch.parsed[i]
    packet = batch.slots[slot, start : start + length]
    take_held(holding, number, packet)
    frame["slot"] = slot
    frame["start"] = start
    frame["length"] = length
    parse(packet, frame, parsed)
    account_released(core.counters, parsed, _follow(core, i, packet, record, now, hops))
    return give_place_back(holding, number)


@rare_kernel
def _follow(core: Core, i: int, packet: Octets, record: Datagram, now: int, hops: int) -> int:
    """Return the outcome of a later piece of a datagram whose first one was decided."""
    batch = core.batch
    frame = batch.frames[i]
    fate = i64(record["fate"])
    if fate == PASS:
        emit(batch, frame, i64(record["way"]))
        return PASS
    if fate & 0xFF == DROP:
        return fate
    if batch.parsed[i]["kind"] & UNTRANSLATABLE:
        return drop(UNSUPPORTED)
    if fate == FORWARD:
        return _translate_piece(core, i, packet, record, now, hops)
    turn_back(packet, frame, batch.parsed[i])
    emit(batch, frame, i64(frame["way"]))
    return fate


@rare_kernel
def _translate_piece(
    core: Core, i: int, packet: Octets, record: Datagram, now: int, hops: int
) -> int:
    """Return the outcome of a later piece of a flow's datagram, rewritten and put out.

    It counts for the flow, but neither its state nor its timer know of it: the first piece's did.
    """
    found = i64(record["found"])
    row = core.flows.rows[row_of(found)]
    parsed = core.batch.parsed[i]
    if found == NOTHING or not _is_same_flow(row, record):
        return drop(OUT_OF_STATE)
    if is_ttl_spent(parsed["ttl"], hops):
        return drop(TTL_EXPIRED)
    if i64(row["actions"]) & ACTION_XLAT:
        return cross_fragment(core, i, packet, found, now, hops)
    direction = direction_of(found)
    this, other = half(row, direction), half(row, 1 - direction)
    is_too_big = parsed["end"] > core.tables.ways[i64(this["way"])]["mtu"]
    if is_too_big and parsed["dont_fragment"]:
        return drop(MTU_EXCEEDED)
    account_packet(core, row, parsed, direction)
    rewrite_addresses(packet, parsed, other, i64(this["address_delta"]))
    if hops == TTL_OWN:
        decrease_ttl(packet, i64(parsed["version"]))
    if i64(row["actions"]) & ACTION_IPID and parsed["version"] == 4:
        set_identification(packet, i64(record["new_identification"]))
    core.batch.frames[i]["length"] = parsed["end"]
    if is_too_big:
        return send_in_pieces(core, i, i64(this["way"]))
    emit(core.batch, core.batch.frames[i], i64(this["way"]))
    return FORWARD


@rare_kernel
def _is_same_flow(row: Any, record: Datagram) -> bool:
    """Return whether a row still has the flow that the datagram's first piece went by."""
    return i64(row["generation"]) == record["generation"] and i64(row["state"]) >= FIRST_LIVE
