"""What a packet does to its flow's state.

OPENING      SYN seen                      SYN-ACK answered and acknowledged -> ESTABLISHED
ESTABLISHED                                FIN both ways, or RST             -> CLOSING
CLOSING      late segments still pass      a new SYN begins a new flow

UNREPLIED    UDP, one way                  an answer                         -> REPLIED
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.flow_table import ORIGINAL, REPLY
from natlb.core.layout import (
    CLOSING,
    ESTABLISHED,
    MARK_FIN_ORIGINAL,
    MARK_FIN_REPLY,
    MARK_REPLIED,
    OPENING,
    REPLIED,
    UNREPLIED,
)
from natlb.jit import i64, kernel
from natlb.wire.answers import WORD, sequence_length
from natlb.wire.fields import ACK, FIN, RST, SYN, TCP, TCP_SEQUENCE
from natlb.wire.octets import Octets, get_u32

if TYPE_CHECKING:
    from natlb.wire.parsed import Parsed

BOTH_FINS = MARK_FIN_ORIGINAL | MARK_FIN_REPLY
HALF_RANGE = 1 << 31


@kernel
def first_state(protocol: int) -> int:
    """Return the state of a flow that its first packet makes."""
    return OPENING if protocol == TCP else UNREPLIED


@kernel
def is_opener(flags: int) -> bool:
    """Return whether a segment may begin a flow: a SYN without ACK."""
    return flags & (SYN | ACK) == SYN


@kernel
def next_state(row: Any, flags: int, protocol: int, direction: int) -> int:
    """Return the state after a packet, and keep in the row's marks what was seen."""
    state = i64(row["state"])
    if protocol != TCP:
        return REPLIED if direction == REPLY or state == REPLIED else UNREPLIED
    if flags & RST:
        return CLOSING
    marks = i64(row["marks"])
    if direction == REPLY and flags & SYN:
        marks |= MARK_REPLIED
    if flags & FIN:
        marks |= MARK_FIN_ORIGINAL if direction == ORIGINAL else MARK_FIN_REPLY
    row["marks"] = marks
    if marks & BOTH_FINS == BOTH_FINS:
        return CLOSING
    acknowledges = direction == ORIGINAL and flags & (SYN | ACK) == ACK
    if state == OPENING and marks & MARK_REPLIED and acknowledges:
        return ESTABLISHED
    return state


@kernel
def follow_sequence(half: Any, packet: Octets, parsed: Parsed) -> None:
    """Keep the highest sequence number this direction has reached, modulo 2^32.

    A reset told to the other end must carry exactly this number (RFC 5961 section 3.2).
    """
    start = get_u32(packet, parsed["l4"] + TCP_SEQUENCE)
    reached = (start + sequence_length(parsed)) & WORD
    ahead = (reached - i64(half["sequence_end"])) & WORD
    if ahead < HALF_RANGE or i64(half["packets"]) == 0:
        half["sequence_end"] = reached
