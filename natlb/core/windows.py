"""What either end of a connection may send by now: sequence numbers, acknowledgements, windows.

A half of a flow keeps, of the end that sends in its direction,

    S  sequence_end   the highest number it has used, plus one
    A  acknowledged   the highest of its numbers that the other end has acknowledged
    W  window_most    the largest window it ever offered, in octets

and a segment of that end is sound iff, with A', S' and W' of the other end,

    it begins or ends in   A - W' .. A + W' + 1   what the other end took, or may take, or a probe
    it acknowledges        A' - W .. S'           what was sent, not long ago (RFC 5961, 5.2)

No end allows more than it has acknowledged and the largest window it ever offered, so what honest
ends send in order is always sound: keep-alives, probes of a closed window, windows that shrink,
super-packets whose end lies beyond, whatever was lost behind natlb. What is not sound is forwarded,
since natlb may be wrong; it changes nothing, since natlb may be right.

Should the numbers of one direction ever run away from what is kept here, both ends show it: one
sends what is out of reach, and the other acknowledges it. Then the numbers are taken from there.

All numbers are modulo 2^32 (RFC 9293, section 3.4), windows at most 2^30 (RFC 7323, section 2.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.answers import WORD, sequence_length
from natlb.wire.fields import (
    TCP_ACKNOWLEDGEMENT,
    TCP_OPTION_SCALE,
    TCP_SCALE_LENGTH,
    TCP_SEQUENCE,
    TCP_WINDOW,
)
from natlb.wire.octets import Octets, get_u8, get_u16, get_u32
from natlb.wire.tcp_options import find_option

if TYPE_CHECKING:
    from natlb.core.flow_table import Half
    from natlb.wire.parsed import Parsed

HALF_RANGE = 1 << 31
MOST_SCALE = 14  # RFC 7323 section 2.3: a larger one counts as this
NO_SCALE = 16  # the SYN had no such option; masked with SHIFT it shifts by nothing
SHIFT = 15
PROBE = 1  # octets that may be sent into a closed window (RFC 9293 section 3.8.6.1)


@kernel
def sequence_of(packet: Octets, parsed: Parsed) -> int:
    """Return a segment's sequence number."""
    return get_u32(packet, parsed["l4"] + TCP_SEQUENCE)


@kernel
def acknowledgement_of(packet: Octets, parsed: Parsed) -> int:
    """Return a segment's acknowledgement number, which means something only with ACK."""
    return get_u32(packet, parsed["l4"] + TCP_ACKNOWLEDGEMENT)


@kernel
def follow_windows(this: Half, other: Half, packet: Octets, parsed: Parsed) -> bool:
    """Return whether a segment of this half's end is sound, and keep its numbers if so."""
    sequence, length = sequence_of(packet, parsed), sequence_length(parsed)
    acknowledgement = acknowledgement_of(packet, parsed)
    if not is_within_reach(this, other, sequence, length):
        return False
    if not is_acknowledgement_sound(this, other, acknowledgement):
        return False
    keep_numbers(this, other, (sequence + length) & WORD, acknowledgement)
    window = get_u16(packet, parsed["l4"] + TCP_WINDOW) << (i64(this["window_scale"]) & SHIFT)
    if window > i64(this["window_most"]):
        this["window_most"] = window
    return True


@kernel
def is_within_reach(this: Half, other: Half, sequence: int, length: int) -> bool:
    """Return whether the other end may take what begins here, or took what ends here of late."""
    most = i64(other["window_most"])
    below_top = (i64(this["acknowledged"]) + most + PROBE - sequence) & WORD
    return below_top <= 2 * most + PROBE + length


@kernel
def is_acknowledgement_sound(this: Half, other: Half, acknowledgement: int) -> bool:
    """Return whether the other end has sent what this acknowledges, and not long ago."""
    sent = i64(other["sequence_end"])
    unacknowledged = (sent - i64(other["acknowledged"])) & WORD
    return (sent - acknowledgement) & WORD <= unacknowledged + i64(this["window_most"])


@kernel
def keep_numbers(this: Half, other: Half, end: int, acknowledgement: int) -> None:
    """Keep a sound segment's numbers where they are ahead of what is kept."""
    if (end - i64(this["sequence_end"])) & WORD < HALF_RANGE:
        this["sequence_end"] = end
    if (acknowledgement - i64(other["acknowledged"])) & WORD < HALF_RANGE:
        other["acknowledged"] = acknowledgement


@rare_kernel
def begin_windows(this: Half, packet: Octets, parsed: Parsed) -> None:
    """Take the client's numbers from its SYN: nothing counts as acknowledged but the SYN itself.

    A SYN that is repeated with the same number may leave out its data (RFC 7413 section 4.1.3) or
    its options; with another number, the client has begun anew.
    """
    sequence = sequence_of(packet, parsed)
    end = (sequence + sequence_length(parsed)) & WORD
    begun = (sequence + 1) & WORD
    is_repeated = i64(this["acknowledged"]) == begun
    if not is_repeated or (end - i64(this["sequence_end"])) & WORD < HALF_RANGE:
        this["sequence_end"] = end
    this["acknowledged"] = begun
    this["window_most"] = max(1, get_u16(packet, parsed["l4"] + TCP_WINDOW))
    this["window_scale"] = _offered_scale(packet, parsed)


@rare_kernel
def answer_windows(this: Half, other: Half, packet: Octets, parsed: Parsed) -> bool:
    """Return whether a SYN-ACK answers the client's SYN, and keep the backend's numbers if so.

    Under a flood of SYNs a backend that keeps nothing may answer a repeated SYN with another
    number (SYN cookies, RFC 4987 section 3.6). Which of the two arrives is for the client to say:
    until then A is the one number, and S the other.
    """
    if not is_expected(other, acknowledgement_of(packet, parsed)):
        return False
    begun = (sequence_of(packet, parsed) + 1) & WORD
    if i64(this["window_most"]) == 0:
        this["acknowledged"] = begun
        this["sequence_end"] = begun
        _agree_on_scale(this, other, _offered_scale(packet, parsed))
    elif begun != i64(this["acknowledged"]) and begun != i64(this["sequence_end"]):
        this["acknowledged"] = i64(this["sequence_end"])
        this["sequence_end"] = begun
    window = get_u16(packet, parsed["l4"] + TCP_WINDOW)
    this["window_most"] = max(1, window, i64(this["window_most"]))
    return True


@kernel
def is_expected(other: Half, acknowledgement: int) -> bool:
    """Return whether a number acknowledges no less than before, and no more than was sent.

    Of a SYN: the SYN itself, and at the most what came with it.
    """
    begun = i64(other["acknowledged"])
    return (acknowledgement - begun) & WORD <= (i64(other["sequence_end"]) - begun) & WORD


@rare_kernel
def confirm_answer(original: Half, reply: Half, acknowledgement: int) -> bool:
    """Return whether the client acknowledges a SYN-ACK that the backend has sent.

    Whoever forges SYNs cannot know that number: this, not a looser test, makes a flow established.
    """
    begun, end = i64(reply["acknowledged"]), i64(reply["sequence_end"])
    if (end - begun) & WORD <= i64(original["window_most"]) + 1:
        return (acknowledgement - begun) & WORD <= (end - begun) & WORD
    if acknowledgement != begun and acknowledgement != end:
        return False
    reply["acknowledged"] = acknowledgement
    reply["sequence_end"] = acknowledgement
    return True


@kernel
def is_reset_next(this: Half, sequence: int) -> bool:
    """Return whether a reset's number is the very next (RFC 5961 section 3.2).

    Of what was sent, or, where the last segments were lost behind natlb, of what was received.
    """
    return sequence == i64(this["sequence_end"]) or sequence == i64(this["acknowledged"])


@kernel
def is_reset_in_window(this: Half, other: Half, sequence: int) -> bool:
    """Return whether the receiver's window may hold a reset's number."""
    ahead = (sequence - i64(this["acknowledged"])) & WORD
    return ahead <= i64(other["window_most"])


@kernel
def _agree_on_scale(this: Half, other: Half, scale: int) -> None:
    """Have windows shifted as both SYNs said, or not at all (RFC 7323 section 2.2)."""
    is_agreed = scale != NO_SCALE and i64(other["window_scale"]) != NO_SCALE
    this["window_scale"] = scale if is_agreed else 0
    if not is_agreed:
        other["window_scale"] = 0


@kernel
def _offered_scale(packet: Octets, parsed: Parsed) -> int:
    """Return what a SYN says its sender's windows will be shifted by, or NO_SCALE."""
    at = find_option(packet, parsed, TCP_OPTION_SCALE, TCP_SCALE_LENGTH)
    return NO_SCALE if at == 0 else min(MOST_SCALE, get_u8(packet, at + 2))
