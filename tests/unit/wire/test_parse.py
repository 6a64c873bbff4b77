from __future__ import annotations

import random

import numpy as np

from natlb.testing import packets
from natlb.wire.parse import parse
from natlb.wire.parsed import PARSED
from natlb.wire.reasons import ACCEPTED, BAD_CHECKSUM, MALFORMED, MARTIAN
from tests.kernels import frame_of, needs_plain_kernels, octets, parsed_of

needs_plain_kernels()

SYN = packets.tcp("198.51.100.2:40000", "203.0.113.10:80")


def test_every_step_may_refuse() -> None:
    """In this order: what a later step says is worth nothing where an earlier one refused."""
    assert parsed_of(SYN)["refusal"] == ACCEPTED
    assert parsed_of(SYN[:19])["refusal"] == MALFORMED
    assert parsed_of(packets.tcp("127.0.0.1:1", "203.0.113.10:80", "SF"))["refusal"] == MARTIAN
    assert parsed_of(packets.tcp("198.51.100.2:1", "203.0.113.10:80", "SF"))["refusal"] == MALFORMED
    assert parsed_of(SYN, needs_checksum=1)["refusal"] == MALFORMED
    datagram = packets.udp("[2001:db8::1]:1", "[2001:db8::2]:2", checksum=0)
    assert parsed_of(datagram)["refusal"] == BAD_CHECKSUM


def test_a_refused_packet_is_one_packet_of_its_length() -> None:
    """Counters need that of each, whatever is wrong with it."""
    parsed = parsed_of(b"\0" * 33)

    assert (parsed["segments"], parsed["wire_bytes"]) == (1, 33)


def test_nothing_of_the_packet_before_is_left() -> None:
    """Records are used again: a fragment must not inherit ports, nor a refusal segments."""
    record = np.full(1, -1, np.int64).repeat(PARSED.itemsize // 8).view(PARSED)[0]
    parse(octets(SYN), frame_of(SYN), record)

    fresh = parsed_of(SYN)
    of_fragments = {"identification", "offset", "octets", "more"}
    for name in set(PARSED.names or ()) - of_fragments - {"hash", "found"}:
        assert record[name] == fresh[name], name


def test_accepted_offsets_lie_inside_the_packet() -> None:
    """The promise that the rewrites go by."""
    for _ in range(300):
        packet = bytearray(SYN + random.randbytes(20))
        for _ in range(random.randrange(4)):
            packet[random.randrange(len(packet))] = random.randrange(256)
        parsed = parsed_of(bytes(packet))
        if parsed["refusal"] == ACCEPTED:
            assert 20 <= parsed["l4"] <= parsed["payload"] <= parsed["end"] <= len(packet)
