"""What a packet does to its flow's state.

OPENING      SYN seen                      SYN-ACK                           -> ANSWERED
ANSWERED                                   acknowledged by the client        -> ESTABLISHED
ESTABLISHED                                FIN of one side                   -> HALF_*
HALF_*                                     FIN of the other, or RST          -> CLOSING
CLOSING      late segments still pass      a new SYN begins a new flow

UNREPLIED    UDP, one way                  an answer                         -> REPLIED
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.flow_table import ORIGINAL, REPLY, half
from natlb.core.layout import (
    ANSWERED,
    CLOSING,
    ESTABLISHED,
    HALF_ORIGINAL,
    HALF_REPLY,
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

HALF_RANGE = 1 << 31
UNSOUND = -1  # the packet goes on, and changes nothing of its flow


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
    """Return whether a flow in this state has shown that somebody is at either end."""
    return state >= ESTABLISHED and state != UNREPLIED


@kernel
def next_datagram_state(state: int, direction: int) -> int:
    """Return a UDP flow's state after a datagram."""
    return REPLIED if direction == REPLY and state == UNREPLIED else state


@kernel
def follow_segment(row: Any, packet: Octets, parsed: Parsed, direction: int) -> int:
    """Return a TCP flow's state after a segment, or UNSOUND, and keep what it says of windows."""
    flags = i64(parsed["tcp_flags"])
    state = i64(row["state"])
    if flags & RST:
        return CLOSING
    follow_sequence(half(row, direction), packet, parsed)
    if state == OPENING and direction == REPLY and flags & SYN:
        return ANSWERED
    if state == ANSWERED and direction == ORIGINAL and flags & (SYN | ACK) == ACK:
        state = ESTABLISHED
    if flags & FIN == 0:
        return state
    if state == (HALF_REPLY if direction == ORIGINAL else HALF_ORIGINAL):
        return CLOSING
    if state == ESTABLISHED:
        return HALF_ORIGINAL if direction == ORIGINAL else HALF_REPLY
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
