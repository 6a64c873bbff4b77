from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from natlb.testing import packets
from natlb.wire.mss import clamp_mss
from tests.kernels import frame_of, needs_plain_kernels, octets, parsed_of

needs_plain_kernels()

ENDS = ("198.51.100.2:40000", "203.0.113.10:80")
ENDS6 = ("[2001:db8::2]:40000", "[2001:db8:f::10]:80")
MSS_1460 = bytes([2, 4, 0x05, 0xB4])
NOTHING = bytes([1])
WINDOW_SCALE = bytes([3, 3, 7])
TIMESTAMPS = bytes([8, 10, 1, 2, 3, 4, 5, 6, 7, 8])


def clamped(packet: bytes, limit: int, **form: int) -> bytes:
    """Return a segment after its way through."""
    text = octets(packet)
    clamp_mss(text, frame_of(packet, **form), parsed_of(packet, **form), limit)
    return text.tobytes()


def mss_of(packet: bytes) -> list[int]:
    """Return what scapy reads as the segment's MSS options."""
    read = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    return [value for name, value in read[TCP].options if name == "MSS"]


@pytest.mark.parametrize(("source", "vip"), [ENDS, ENDS6])
@pytest.mark.parametrize(
    "before", [b"", NOTHING, NOTHING * 2, WINDOW_SCALE, TIMESTAMPS, TIMESTAMPS + WINDOW_SCALE]
)
def test_the_option_is_lowered_wherever_it_stands(source: str, vip: str, before: bytes) -> None:
    """At even offsets and odd ones; all else stays, and the sum is right (T13, T21)."""
    packet = packets.tcp(source, vip, "S", options=before + MSS_1460 + WINDOW_SCALE, payload=b"tfo")
    out = clamped(packet, 1260)
    lowered = bytes([2, 4, 0x04, 0xEC])

    assert mss_of(out) == [1260]
    assert out == packets.tcp(
        source, vip, "S", options=before + lowered + WINDOW_SCALE, payload=b"tfo"
    )


@pytest.mark.parametrize("limit", [1460, 1461, 65535])
def test_none_is_raised(limit: int) -> None:
    """Who announces less has a reason."""
    packet = packets.tcp(*ENDS, "S", options=MSS_1460)

    assert clamped(packet, limit) == packet


@pytest.mark.parametrize("options", [b"", WINDOW_SCALE + NOTHING, bytes([2, 3, 5, 1])])
def test_none_is_added(options: bytes) -> None:
    """Without one 536 octets hold, or 1220 (RFC 9293 section 3.7.1)."""
    packet = packets.tcp(*ENDS, "S", options=options)

    assert clamped(packet, 500) == packet


@pytest.mark.parametrize(
    "options",
    [
        bytes([0]) + MSS_1460,  # behind the end of all options
        bytes([5, 0]) + MSS_1460 + bytes(2),
        bytes([5, 1]) + MSS_1460 + bytes(2),
        bytes([5, 40]) + MSS_1460 + bytes(2),
        NOTHING * 3 + bytes([2]),  # no room for its length
        bytes([3, 3, 7, 3, 3, 7, 2, 4]),  # nor for its value
    ],
)
def test_options_that_cannot_be_end_the_walk(options: bytes) -> None:
    """And nothing behind the header is read or written."""
    packet = packets.tcp(*ENDS, "S", options=options, payload=MSS_1460)

    assert clamped(packet, 500) == packet


@pytest.mark.parametrize("before", [b"", NOTHING])
def test_a_sum_that_the_device_finishes_covers_no_option_yet(before: bytes) -> None:
    """It is the pseudo-header's alone."""
    packet = packets.tcp(*ENDS, "S", options=before + MSS_1460)
    form = {"needs_checksum": 1, "checksum_start": 20, "checksum_offset": 16}
    out = clamped(packets.unfinished(packet), 1000, **form)

    assert mss_of(out) == [1000]
    assert not packets.faults(packets.finished(out))


@given(st.integers(0, 0xFFFF), st.integers(1, 0xFFFF), st.integers(0, 3), st.binary(max_size=9))
def test_sums_stay_as_right_as_they_were(mss: int, limit: int, odd: int, payload: bytes) -> None:
    """For every number, at every offset; a wrong sum stays wrong (I1)."""
    options = NOTHING * odd + bytes([2, 4]) + mss.to_bytes(2)
    packet = packets.tcp(*ENDS, "S", options=options, payload=payload)
    out = clamped(packet, limit)
    hurt = packet[:24] + bytes([packet[24] ^ 1]) + packet[25:]

    assert mss_of(out) == [min(mss, limit)]
    assert not packets.faults(out)
    assert packets.faults(clamped(hurt, limit)) == ["wrong transport checksum"]
