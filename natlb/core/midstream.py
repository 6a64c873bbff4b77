"""What a row follows that was made in the middle of a connection, until its backend has spoken.

What the two SYNs agreed on is lost: how windows are shifted, and the largest that was offered.
Both are taken to be the most that there can be (RFC 7323, section 2), so that what honest ends
send is always sound; a reset still needs the very next number.

Each of the client's segments says anew where both ends are, and nothing is held against it: it
goes on and is the backend's to judge. The backend's first segment that is no reset shows that it
knows the connection, and from there on the row is one as any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.flow_table import ORIGINAL
from natlb.core.layout import (
    ANSWERED,
    CLOSING,
    ESTABLISHED,
    HALF_ORIGINAL,
    HALF_REPLY,
    MARK_ADOPTED,
    MARK_ENDED,
)
from natlb.core.tcp_transitions import NO_ARROW
from natlb.core.windows import (
    HALF_RANGE,
    MOST_SCALE,
    acknowledgement_of,
    is_reset_next,
    is_within_reach,
    sequence_of,
)
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.answers import WORD, sequence_length
from natlb.wire.fields import ACK, FIN, RST, SYN

if TYPE_CHECKING:
    from natlb.core.flow_table import Half, Row
    from natlb.wire.octets import Octets
    from natlb.wire.parsed import Parsed

MOST_WINDOW = 1 << 30  # RFC 7323 section 2.3


@kernel
def expect_anything(row: Row) -> None:
    """Set the windows of a row that is made in the middle of a connection."""
    for this in (row["original"], row["reply"]):
        this["window_scale"] = MOST_SCALE
        this["window_most"] = MOST_WINDOW


@rare_kernel
def follow_adopted(row: Row, packet: Octets, parsed: Parsed, direction: int) -> int:
    """Return the state of an adopted row after a segment, or NO_ARROW, and keep its numbers."""
    flags = i64(parsed["tcp_flags"])
    if flags & RST:
        this = row["original"] if direction == ORIGINAL else row["reply"]
        if not is_reset_next(this, sequence_of(packet, parsed)):
            return NO_ARROW
        row["marks"] = i64(row["marks"]) & ~(MARK_ADOPTED | MARK_ENDED) & 0xFFFF
        return CLOSING
    if flags & (SYN | ACK) != ACK:
        return NO_ARROW
    if direction == ORIGINAL:
        return _follow_client(row, packet, parsed)
    return _follow_backend(row, packet, parsed)


@kernel
def _follow_client(row: Row, packet: Octets, parsed: Parsed) -> int:
    """Take both ends' numbers from a client's segment, and remember its FIN."""
    original, reply = row["original"], row["reply"]
    sequence, acknowledgement = sequence_of(packet, parsed), acknowledgement_of(packet, parsed)
    original["sequence_end"] = (sequence + sequence_length(parsed)) & WORD
    original["acknowledged"] = sequence
    reply["sequence_end"] = acknowledgement
    reply["acknowledged"] = acknowledgement
    if i64(parsed["tcp_flags"]) & FIN:
        row["marks"] = i64(row["marks"]) | MARK_ENDED
    return ANSWERED


@kernel
def _follow_backend(row: Row, packet: Octets, parsed: Parsed) -> int:
    """Return what a backend's segment makes of the row, which is adopted no longer, or NO_ARROW.

    It may acknowledge more than the client's last segment had: that one was perhaps repeated.
    """
    original, reply = row["original"], row["reply"]
    sequence, length = sequence_of(packet, parsed), sequence_length(parsed)
    acknowledgement = acknowledgement_of(packet, parsed)
    off = (acknowledgement - i64(original["sequence_end"]) + MOST_WINDOW) & WORD
    if not is_within_reach(reply, original, sequence, length) or off > 2 * MOST_WINDOW:
        return NO_ARROW
    _raise_end(reply, (sequence + length) & WORD)
    _raise_end(original, acknowledgement)
    original["acknowledged"] = acknowledgement
    marks = i64(row["marks"])
    row["marks"] = marks & ~(MARK_ADOPTED | MARK_ENDED) & 0xFFFF
    if i64(parsed["tcp_flags"]) & FIN:
        return CLOSING if marks & MARK_ENDED else HALF_REPLY
    return HALF_ORIGINAL if marks & MARK_ENDED else ESTABLISHED


@kernel
def _raise_end(this: Half, end: int) -> None:
    """Have an end be at least here."""
    if (end - i64(this["sequence_end"])) & WORD < HALF_RANGE:
        this["sequence_end"] = end
