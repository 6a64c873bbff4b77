from __future__ import annotations

import pytest

from natlb.testing import packets
from natlb.wire.fields import TCP_HEADER, TCP_OPTION_MSS, TCP_OPTION_SCALE
from natlb.wire.reasons import ACCEPTED, MALFORMED
from natlb.wire.tcp_options import are_options_whole, find_option
from tests.kernels import needs_plain_kernels, octets, parsed_of

needs_plain_kernels()

ENDS = "198.51.100.2:40000", "203.0.113.10:80"
MSS, SCALE, TIMES = bytes([2, 4, 5, 180]), bytes([3, 3, 7]), bytes([8, 10, *range(8)])
NOP, END = b"\1", b"\0"
WHOLE = [
    b"",
    MSS,
    NOP * 40,
    NOP + NOP + TIMES,
    TIMES + NOP + NOP,
    MSS + NOP + SCALE + NOP + NOP + TIMES,
    SCALE + END,
    MSS + END + b"\2\0\0",  # nothing is read behind the end of the list
    bytes([253, 40]) + bytes(38),
    bytes([30, 12]) + bytes(10) + bytes([34, 2, 172, 2]) + END * 4,
]
BROKEN = [
    b"\2\0\0\0",
    b"\2\1\0\0",
    b"\1\1\1\2",  # without a length
    b"\1\2\4\1",  # longer than the header
    NOP + NOP + b"\x08\x0b" + bytes(8),
    MSS + b"\3\7\7\1",
]


@pytest.mark.parametrize("options", WHOLE)
def test_options_that_end_within_the_header_are_whole(options: bytes) -> None:
    """T13: whatever they are, known or not."""
    packet = packets.tcp(*ENDS, "A", options=options)
    parsed = parsed_of(packet)

    assert are_options_whole(octets(packet), parsed["l4"], parsed["payload"])
    assert parsed["refusal"] == ACCEPTED


@pytest.mark.parametrize("options", BROKEN)
def test_an_option_without_a_proper_length_is_not_whole(options: bytes) -> None:
    """T14: a length of 0 or 1, or beyond the header's end."""
    packet = packets.tcp(*ENDS, "A", options=options)
    l4 = len(packet) - TCP_HEADER - len(options)

    assert not are_options_whole(octets(packet), l4, len(packet))
    assert parsed_of(packet)["refusal"] == MALFORMED


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (b"", 0),
        (SCALE + NOP, 40),
        (MSS + NOP + SCALE, 45),
        (NOP + NOP + NOP + SCALE + MSS, 43),
        (END + SCALE, 0),
        (b"\3\4\7\1" + NOP + SCALE, 45),  # of another length it is another option
        (MSS, 0),
        (b"\1\2\0\1" + NOP + SCALE, 0),  # nothing can be said of what is behind
    ],
)
def test_an_option_is_found_by_kind_and_length(options: bytes, expected: int) -> None:
    """The first one; nothing is read past the list's end."""
    packet = packets.tcp(*ENDS, options=options)
    parsed = parsed_of(packets.tcp(*ENDS, options=NOP * len(options)))

    assert find_option(octets(packet), parsed, TCP_OPTION_SCALE, 3) == expected


def test_options_are_found_in_their_own_header() -> None:
    """What looks like one in the payload is none."""
    packet = packets.tcp(*ENDS, options=SCALE + NOP, payload=MSS)

    assert find_option(octets(packet), parsed_of(packet), TCP_OPTION_MSS, 4) == 0
