"""What a packet does to its flow's state: whether it is sound, which event it is, where that leads.

The arrows are in `tcp_transitions.py`, the numbers in `windows.py`. Toward data this is liberal and
toward resets strict (RFC 5961): only one with the very next number closes a connection. One that
the receiver's window may hold makes it doubted: then the short timer of closing flows runs, until
a sound segment of either end shows that the connection lives. Any other changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.flow_table import ORIGINAL, REPLY, half
from natlb.core.layout import (
    ANSWERED,
    ESTABLISHED,
    HALF_REPLY,
    MARK_ADOPTED,
    MARK_DOUBTED,
    MARK_STRAYED,
    OPENING,
    REPLIED,
    UNREPLIED,
)
from natlb.core.midstream import follow_adopted
from natlb.core.tcp_transitions import (
    IS_ACK,
    IS_DATAGRAM,
    IS_FIN,
    IS_RESET,
    IS_SYN,
    IS_SYN_ACK,
    NO_ARROW,
    TRANSITIONS,
)
from natlb.core.windows import (
    HALF_RANGE,
    acknowledgement_of,
    answer_windows,
    begin_windows,
    confirm_answer,
    follow_windows,
    is_acknowledgement_sound,
    is_expected,
    is_reset_in_window,
    is_reset_next,
    is_within_reach,
    sequence_of,
)
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.answers import WORD, sequence_length
from natlb.wire.fields import ACK, FIN, RST, SYN, TCP

if TYPE_CHECKING:
    from natlb.core.flow_table import Half, Row
    from natlb.wire.octets import Octets
    from natlb.wire.parsed import Parsed

UNSOUND = NO_ARROW  # the packet goes on, and changes nothing of its flow
ALL_MARKS = 0xFFFF


@kernel
def first_state(protocol: int) -> int:
    """Return the state of a flow that its first packet makes."""
    return OPENING if protocol == TCP else UNREPLIED


@kernel
def is_opener(flags: int) -> bool:
    """Return whether a segment may begin a flow: a SYN without ACK."""
    return flags & (SYN | ACK) == SYN


@kernel
def is_confirmed(state: int) -> bool:
    """Return whether a flow in this state has shown that somebody is at either end.

    One that was refused or given up before it was established has not.
    """
    return ESTABLISHED <= state <= HALF_REPLY or state == REPLIED


@kernel
def next_datagram_state(state: int, direction: int) -> int:
    """Return a UDP flow's state after a datagram."""
    return i64(TRANSITIONS[state, direction, IS_DATAGRAM])


@kernel
def follow_segment(row: Row, packet: Octets, parsed: Parsed, direction: int) -> int:
    """Return a TCP flow's state after a segment, or UNSOUND, and keep its numbers."""
    flags = i64(parsed["tcp_flags"])
    state = i64(row["state"])
    if flags & (SYN | RST) or state < ESTABLISHED:
        return _follow_rarity(row, packet, parsed, direction)
    if not follow_windows(half(row, direction), half(row, 1 - direction), packet, parsed):
        return _follow_stray(row, packet, parsed, direction)
    return _follow_sound(row, parsed, direction)


@kernel
def _follow_sound(row: Row, parsed: Parsed, direction: int) -> int:
    """Return where a sound ACK or FIN leads; it ends all doubt."""
    doubts = MARK_DOUBTED | MARK_STRAYED << direction
    if i64(row["marks"]) & doubts:
        row["marks"] = i64(row["marks"]) & ~doubts & ALL_MARKS
    event = IS_FIN if i64(parsed["tcp_flags"]) & FIN else IS_ACK
    return i64(TRANSITIONS[i64(row["state"]), direction, event])


@rare_kernel
def _follow_rarity(row: Row, packet: Octets, parsed: Parsed, direction: int) -> int:
    """Do `follow_segment()` for SYNs, resets and whatever comes before a flow is established."""
    flags = i64(parsed["tcp_flags"])
    if i64(row["marks"]) & MARK_ADOPTED:
        return follow_adopted(row, packet, parsed, direction)
    if flags & RST:
        return _follow_reset(row, packet, parsed, direction)
    event = IS_FIN if flags & FIN else IS_ACK
    if flags & SYN:
        event = IS_SYN_ACK if flags & ACK else IS_SYN
    behind = i64(TRANSITIONS[i64(row["state"]), direction, event])
    if behind == NO_ARROW or not _follow_opening(row, packet, parsed, direction, event):
        return UNSOUND
    return behind


@kernel
def _follow_opening(row: Row, packet: Octets, parsed: Parsed, direction: int, event: int) -> bool:
    """Return whether a segment for which there is an arrow is sound, before any is established."""
    this, other = half(row, direction), half(row, 1 - direction)
    if event == IS_SYN:
        if i64(row["state"]) == OPENING:
            begin_windows(this, packet, parsed)
        return True
    if event == IS_SYN_ACK:
        return answer_windows(this, other, packet, parsed)
    acknowledgement = acknowledgement_of(packet, parsed)
    if direction == ORIGINAL and not confirm_answer(this, other, acknowledgement):
        return False
    return follow_windows(this, other, packet, parsed)


@kernel
def _follow_reset(row: Row, packet: Octets, parsed: Parsed, direction: int) -> int:
    """Return where a reset leads: closed, doubted from now on, or UNSOUND.

    In doubt already, it does not begin the short timer anew.
    """
    state = i64(row["state"])
    if _is_reset_exact(row, packet, parsed, direction):
        return i64(TRANSITIONS[state, direction, IS_RESET])
    this, other = half(row, direction), half(row, 1 - direction)
    is_open = ESTABLISHED <= state <= HALF_REPLY
    is_doubted = i64(row["marks"]) & MARK_DOUBTED
    if not is_open or is_doubted or not _is_reset_possible(this, other, packet, parsed):
        return UNSOUND
    row["marks"] = i64(row["marks"]) | MARK_DOUBTED
    return state


@kernel
def _is_reset_exact(row: Row, packet: Octets, parsed: Parsed, direction: int) -> bool:
    """Return whether a reset is one that its receiver takes at once.

    Before the flow is established, a backend's may answer the SYN: then its acknowledgement says
    so (RFC 9293 section 3.10.7.3). Otherwise it must have the very next number.
    """
    state = i64(row["state"])
    this, other = half(row, direction), half(row, 1 - direction)
    is_acknowledging = i64(parsed["tcp_flags"]) & ACK
    if direction == REPLY and state <= ANSWERED:
        if is_acknowledging and is_expected(other, acknowledgement_of(packet, parsed)):
            return True
        if state == OPENING:
            return False
    if not is_reset_next(this, sequence_of(packet, parsed)):
        return False
    return state == OPENING or _is_reset_sound(other, packet, parsed)


@kernel
def _is_reset_sound(other: Half, packet: Octets, parsed: Parsed) -> bool:
    """Return whether what a reset acknowledges, if anything, is what it has to be.

    Its sender has acknowledged before what it had: its last word cannot be less.
    """
    if not i64(parsed["tcp_flags"]) & ACK:
        return True
    return is_expected(other, acknowledgement_of(packet, parsed))


@kernel
def _is_reset_possible(this: Half, other: Half, packet: Octets, parsed: Parsed) -> bool:
    """Return whether a reset that is not exact lies in the receiver's window."""
    if not is_reset_in_window(this, other, sequence_of(packet, parsed)):
        return False
    return _is_reset_sound(other, packet, parsed)


@rare_kernel
def _follow_stray(row: Row, packet: Octets, parsed: Parsed, direction: int) -> int:
    """Return UNSOUND, or what a segment does that proves that natlb lost track of the other end.

    Of the two that it takes, the first is out of reach, and acknowledges what it should; the
    second comes from the other end, in reach, and acknowledges what natlb does not know of. So
    nobody who forges segments of one end alone can move the numbers.
    """
    this, other = half(row, direction), half(row, 1 - direction)
    marks = i64(row["marks"])
    acknowledgement = acknowledgement_of(packet, parsed)
    if is_acknowledgement_sound(this, other, acknowledgement):
        row["marks"] = marks | MARK_STRAYED << direction
        return UNSOUND
    length = sequence_length(parsed)
    if not is_within_reach(this, other, sequence_of(packet, parsed), length):
        return UNSOUND
    ahead = (acknowledgement - i64(other["sequence_end"])) & WORD
    if not marks & MARK_STRAYED << (1 - direction) or ahead >= HALF_RANGE:
        return UNSOUND
    other["sequence_end"] = acknowledgement
    other["acknowledged"] = acknowledgement
    follow_windows(this, other, packet, parsed)
    return _follow_sound(row, parsed, direction)
