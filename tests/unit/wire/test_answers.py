from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from natlb.core.layout import HEADROOM
from natlb.testing import packets
from natlb.testing.packets import Header
from natlb.wire.answers import (
    is_echo_request,
    is_icmp_error,
    is_transport_sum_right,
    may_be_answered,
    sequence_length,
    write_echo_reply,
    write_error,
    write_reset,
    write_tcp,
)
from natlb.wire.rewrite import destination_lanes, source_lanes
from tests import judge
from tests.kernels import frame_of, needs_plain_kernels, octets, parsed_of

needs_plain_kernels()

CLIENT, VIP = "198.51.100.2", "203.0.113.10"
CLIENT6, VIP6 = "2001:db8::2", "2001:db8:f::10"
ENDS, ENDS6 = (f"{CLIENT}:40000", f"{VIP}:80"), (f"[{CLIENT6}]:40000", f"[{VIP6}]:80")


def damaged(packet: bytes) -> bytes:
    """Return a packet whose last octet was changed on the way."""
    return packet[:-1] + bytes([packet[-1] ^ 0x40])


class Placed:
    """A packet in its slot, its frame and what was parsed of it."""

    def __init__(self, packet: bytes, **form: int) -> None:
        """Put it at HEADROOM, into a slot that is not empty elsewhere."""
        self.slot = np.full(HEADROOM + 2048, 0xEE, np.uint8)
        self.slot[HEADROOM : HEADROOM + len(packet)] = octets(packet)
        self.frame = frame_of(packet, start=HEADROOM, **form)
        self.parsed = parsed_of(packet, **form)

    def packet(self) -> bytes:
        """Return what the frame shows now."""
        start = int(self.frame["start"])
        return self.slot[start : start + int(self.frame["length"])].tobytes()


def test_lanes_are_the_parsed_addresses() -> None:
    """Answers swap them."""
    parsed = parsed_of(packets.udp(*ENDS))

    assert source_lanes(parsed) == (0, 0, 0xFFFF, 0xC6336402)
    assert destination_lanes(parsed) == (0, 0, 0xFFFF, 0xCB00710A)


def reset(packet: bytes) -> Any:
    """Return the reset that a closed port gives, as scapy reads it; it must be sound."""
    placed = Placed(packet, needs_checksum=0)
    write_reset(placed.slot[HEADROOM:], placed.frame, placed.parsed)
    answer = placed.packet()

    assert judge.is_sound(answer)
    return judge.dissect(answer)


@pytest.mark.parametrize("ends", [ENDS, ENDS6])
def test_the_reset_to_a_syn_acknowledges_it(ends: tuple[str, str]) -> None:
    """RFC 9293 section 3.10.7.1: without ACK, sequence 0, and all that the segment occupies."""
    answer = reset(packets.tcp(*ends, "S", sequence=0xFFFFFFFE, payload=b"hello"))

    assert (answer[judge.TCP].sport, answer[judge.TCP].dport) == (80, 40000)
    assert str(answer[judge.TCP].flags) == "RA"
    assert answer[judge.TCP].seq == 0
    assert answer[judge.TCP].ack == (0xFFFFFFFE + 5 + 1) & 0xFFFFFFFF
    assert answer.src == str(packets.split_endpoint(ends[1])[0])
    assert answer.dst == str(packets.split_endpoint(ends[0])[0])


@pytest.mark.parametrize("ends", [ENDS, ENDS6])
def test_the_reset_to_an_acknowledgement_stands_where_it_points(ends: tuple[str, str]) -> None:
    """With ACK the reset has its number and no ACK itself: the peer takes no other (RFC 5961)."""
    answer = reset(packets.tcp(*ends, "PA", acknowledgement=0xDEADBEEF, payload=b"x" * 7))

    assert str(answer[judge.TCP].flags) == "R"
    assert answer[judge.TCP].seq == 0xDEADBEEF
    assert len(bytes(answer)) == (40 if ends is ENDS else 60)


@pytest.mark.parametrize(
    ("flags", "length"), [("S", 4), ("A", 3), ("FA", 4), ("PA", 3), ("SEC", 4)]
)
def test_syn_and_fin_occupy_a_number_each(flags: str, length: int) -> None:
    """So a retransmission of either is told from the octet behind it."""
    assert sequence_length(parsed_of(packets.tcp(*ENDS, flags, payload=b"abc"))) == length


def test_a_segment_of_natlbs_own_is_what_was_asked_for() -> None:
    """Numbers wrap at 32 bits."""
    slot = np.zeros(128, np.uint8)
    ends = (0, 0, 0xFFFF, 0xC6336402), (0, 0, 0xFFFF, 0x0A09000B)
    length = write_tcp(slot, 4, ends[0], ends[1], 80, 40000, 0xFFFFFFFF, 0x80000000, 0x14)
    text = slot[:length].tobytes()
    read = judge.dissect(text)

    assert judge.is_sound(text)
    assert (read.src, read.dst, read.ttl) == (CLIENT, "10.9.0.11", 64)
    assert (read[judge.TCP].seq, read[judge.TCP].ack) == (0xFFFFFFFF, 0x80000000)
    assert not slot[length:].any()


@pytest.mark.parametrize("payload", [b"", b"x", b"natlb", bytes(1400)])
@pytest.mark.parametrize("version", [4, 6])
def test_an_echo_is_replied_to_with_all_it_carried(version: int, payload: bytes) -> None:
    """Identifier, number and payload the same, the ends swapped, the TTL natlb's own."""
    ends = (CLIENT, VIP) if version == 4 else (CLIENT6, VIP6)
    request = packets.echo_request(*ends, payload, header=Header(ttl=3, tos=0x20))
    placed = Placed(request + b"padding")
    packet = placed.slot[HEADROOM : HEADROOM + len(request) + 7]

    write_echo_reply(packet, placed.frame, placed.parsed)

    answer = placed.packet()
    fields = packets.read(answer)
    assert judge.is_sound(answer)
    assert not packets.faults(answer)
    assert (fields.source, fields.destination, fields.ttl) == (ends[1], ends[0], 64)
    at = packets.transport_at(answer)
    assert answer[at] == (0 if version == 4 else 129)
    assert answer[at + 4 :] == request[at + 4 :]


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (packets.echo_request(CLIENT, VIP), True),
        (packets.echo_request(CLIENT6, VIP6), True),
        (packets.icmp(CLIENT, VIP, 8, 1), False),
        (packets.icmp(CLIENT, VIP, 0), False),
        (packets.icmp(CLIENT, VIP, 13), False),
        (packets.icmp(CLIENT6, VIP6, 129), False),
        (packets.udp(*ENDS), False),
    ],
)
def test_an_echo_request_is_told_from_the_rest(packet: bytes, expected: bool) -> None:
    """Only type and code make one."""
    assert bool(is_echo_request(octets(packet), parsed_of(packet))) is expected


def test_icmp_errors_are_told_from_the_rest() -> None:
    """An error about an error could go to and fro for ever; a redirect quotes a packet too."""
    errors4 = {3, 4, 5, 11, 12}
    errors6 = set(range(128)) | {137}
    for kind in range(256):
        for ends, errors in (((CLIENT, VIP), errors4), ((CLIENT6, VIP6), errors6)):
            packet = packets.icmp(*ends, kind)
            found = is_icmp_error(octets(packet), parsed_of(packet))
            assert bool(found) is (kind in errors), (kind, ends)


def test_what_is_no_icmp_or_has_no_header_is_no_icmp_error() -> None:
    """A later fragment's first octet is anything."""
    later = packets.icmp(CLIENT, VIP, 3, header=Header(dont_fragment=False, fragment_offset=1))
    for packet in (packets.udp(*ENDS), later):
        assert not is_icmp_error(octets(packet), parsed_of(packet))


@pytest.mark.parametrize(
    "packet",
    [
        packets.tcp(*ENDS, "PA", payload=b"hello"),
        packets.tcp(*ENDS6, "PA", payload=b"hello"),
        packets.udp(*ENDS, b"hello"),
        packets.udp(*ENDS6, b"hello"),
        packets.echo_request(CLIENT, VIP),
        packets.echo_request(CLIENT6, VIP6),
    ],
)
def test_damage_is_seen_and_not_answered(packet: bytes) -> None:
    """What arrives damaged may have come from anybody (RFC 1122 section 3.2.2)."""
    sound, hurt = Placed(packet), Placed(damaged(packet))

    assert is_transport_sum_right(octets(packet), sound.frame, sound.parsed)
    assert may_be_answered(octets(packet), sound.frame, sound.parsed)
    assert not is_transport_sum_right(octets(damaged(packet)), hurt.frame, hurt.parsed)
    assert not may_be_answered(octets(damaged(packet)), hurt.frame, hurt.parsed)


def test_octets_behind_a_datagram_are_not_in_its_checksum() -> None:
    """UDP's own length says what is."""
    datagram = packets.udp(*ENDS, b"hello")[20:]
    ends = [packets.split_endpoint(each)[0] for each in ENDS]
    packet = packets.ip(ends[0], ends[1], 17, datagram + b"rest")

    assert is_transport_sum_right(octets(packet), frame_of(packet), parsed_of(packet))


def test_no_checksum_and_an_unfinished_one_are_right() -> None:
    """Nobody computed one; or the device will."""
    none = packets.udp(*ENDS, b"hello", checksum=0)
    unfinished = packets.unfinished(packets.tcp(*ENDS, payload=b"hello"))
    form = {"needs_checksum": 1, "checksum_start": 20, "checksum_offset": 16}

    assert is_transport_sum_right(octets(none), frame_of(none), parsed_of(none))
    frame = frame_of(unfinished, **form)
    assert is_transport_sum_right(octets(unfinished), frame, parsed_of(unfinished, **form))


def test_errors_and_later_fragments_are_not_answered() -> None:
    """RFC 1812 section 4.3.2.7."""
    later = packets.udp(*ENDS, bytes(16), header=Header(dont_fragment=False, fragment_offset=1))
    for packet in (packets.icmp(CLIENT, VIP, 3, 1), later):
        assert not may_be_answered(octets(packet), frame_of(packet), parsed_of(packet))


def test_a_first_fragment_may_be_answered() -> None:
    """Its sum covers what nobody has seen yet; a sender must hear of "too big" (RFC 8201)."""
    packet = packets.udp(*ENDS, bytes(16), header=Header(dont_fragment=False, more_fragments=True))

    for each in (packet, damaged(packet)):
        assert may_be_answered(octets(each), frame_of(each), parsed_of(each))


def test_another_protocol_may_be_answered() -> None:
    """Its checksum, if it has one, is not known."""
    ends = [packets.split_endpoint(each)[0] for each in ENDS]
    packet = packets.ip(ends[0], ends[1], 47, bytes(20))

    assert may_be_answered(octets(packet), frame_of(packet), parsed_of(packet))


@pytest.mark.parametrize(
    ("version", "length", "quoted"),
    [
        (4, 0, 28),
        (4, 1, 29),
        (4, 520, 548),
        (4, 1400, 548),
        (6, 0, 48),
        (6, 1184, 1232),
        (6, 1400, 1232),
    ],
)
def test_an_error_quotes_as_much_as_fits(version: int, length: int, quoted: int) -> None:
    """576 octets in all (RFC 1812 section 4.3.2.3), or 1280 (RFC 4443 section 2.4)."""
    ends = ENDS if version == 4 else ENDS6
    packet = packets.udp(*ends, (bytes(range(256)) * 6)[:length])
    placed = Placed(packet)
    source = destination_lanes(placed.parsed)
    kind, code = (3, 4) if version == 4 else (2, 0)

    write_error(placed.slot, placed.frame, placed.parsed, source, kind, code, 1300)

    answer = placed.packet()
    fields = packets.read(answer)
    assert not packets.faults(answer)
    assert len(answer) == quoted + (28 if version == 4 else 48)
    assert answer.endswith(packet[:quoted])
    assert fields.source == str(packets.split_endpoint(ends[1])[0])
    assert fields.destination == str(packets.split_endpoint(ends[0])[0])
    read = judge.dissect(answer)
    if version == 4:
        assert (read[judge.ICMP].type, read[judge.ICMP].code) == (3, 4)
        assert read[judge.ICMP].nexthopmtu == 1300
    else:
        assert read[judge.ICMPv6PacketTooBig].mtu == 1300
    assert (placed.slot[: int(placed.frame["start"])] == 0xEE).all()


def test_padding_is_not_quoted() -> None:
    """It is not part of what the sender sent."""
    packet = packets.udp(*ENDS, b"x")
    placed = Placed(packet + bytes(17))
    source = destination_lanes(placed.parsed)
    write_error(placed.slot, placed.frame, placed.parsed, source, 3, 3, 0)

    assert placed.packet().endswith(packet)


def test_an_answer_leaves_nothing_to_the_device() -> None:
    """What it answers may have been a super-packet."""
    form = {
        "needs_checksum": 1,
        "checksum_start": 20,
        "checksum_offset": 16,
        "gso_type": 1,
        "gso_size": 100,
    }
    placed = Placed(packets.unfinished(packets.tcp(*ENDS, "A", payload=bytes(1000))), **form)
    write_reset(placed.slot[HEADROOM:], placed.frame, placed.parsed)

    assert not any(placed.frame[name] for name in form)
    assert not packets.faults(placed.packet())
