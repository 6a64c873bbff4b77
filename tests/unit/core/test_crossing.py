from __future__ import annotations

from typing import Any

import pytest

from natlb.core.layout import ANSWERED, ESTABLISHED, OPENING, REPLIED
from natlb.engine import DropReason, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header
from tests import judge
from tests.crossing import BOTH, TO4, TO6, Crossing
from tests.datapath import assert_counts_agree
from tests.kernels import needs_plain_kernels

needs_plain_kernels()


def expected(talk: Crossing, packet: bytes, out: bytes) -> bytes:
    """Return what scapy makes of a packet; IPv4's identification may be any."""
    return judge.crossed(packet, *talk.ends_seen(packet), int.from_bytes(out[4:6]))


@pytest.mark.parametrize("ends", BOTH)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("length", [0, 1, 2, 99, 1232, 1233])
def test_both_directions_get_a_header_of_the_other_version(
    ends: Any, protocol: str, length: int
) -> None:
    """By RFC 7915: traffic class and hop limit kept, flow label 0, DF above 1260 octets (R16)."""
    talk = Crossing(ends, protocol)
    header = Header(tos=0xB9, flow_label=0xABCDE, ttl=63)
    payload = bytes(range(256)) * 5
    for packet, side in (
        (talk.original(payload=payload[:length], header=header), "private"),
        (talk.reply(payload=payload[:length], header=header), "public"),
    ):
        result = talk.send(packet)

        assert (result.verdict, result.reason) == (Verdict.FORWARD, None)
        assert result.sides == [side]
        assert result.packets == [expected(talk, packet, result.packets[0])]
    assert_counts_agree(talk.path.stats())


@pytest.mark.parametrize("ends", BOTH)
def test_the_flow_is_followed_as_any_other(ends: Any) -> None:
    """Handshake, counters, timer: one table for all."""
    talk = Crossing(ends)
    states = [int(talk.row["state"])]
    for packet in (talk.original(), talk.reply(flags="SA"), talk.original(flags="A")):
        talk.send(packet, 7.0)
        states.append(int(talk.row["state"]))

    assert states == [OPENING, OPENING, ANSWERED, ESTABLISHED]
    assert talk.row["seen"] == 7000
    assert (talk.row["original"]["packets"], talk.row["reply"]["packets"]) == (2, 1)


def test_a_datagrams_answer_is_one() -> None:
    """UDP too."""
    talk = Crossing(TO4, "udp")
    talk.send(talk.reply(b"x"))

    assert talk.row["state"] == REPLIED


@pytest.mark.parametrize("ends", BOTH)
def test_natlb_takes_a_hop_where_no_kernel_does(ends: Any) -> None:
    """And none where one does."""
    for ttl, left in (("own", 9), ("route", 10)):
        talk = Crossing(ends, ttl=ttl)
        for packet in (
            talk.original(header=Header(ttl=10)),
            talk.reply(header=Header(ttl=10)),
        ):
            assert packets.read(talk.send(packet).packets[0]).ttl == left


@pytest.mark.parametrize("ends", BOTH)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_an_unfinished_checksum_is_right_once_finished(ends: Any, protocol: str) -> None:
    """The device is told where it lies now, and nothing of versions."""
    talk = Crossing(ends, protocol)
    for packet in (talk.original(payload=b"hello"), talk.reply(payload=b"world")):
        result = talk.send(packets.unfinished(packet), unfinished=True)
        frame = talk.path._batch.output[0]
        out = result.packets[0]

        assert (frame["needs_checksum"], frame["checksum_start"]) == (1, packets.transport_at(out))
        assert packets.finished(out) == expected(talk, packet, out)


@pytest.mark.parametrize("ends", BOTH)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_super_packet_stays_one(ends: Any, protocol: str) -> None:
    """Of the kind of its new version; each segment is measured by what it will be."""
    talk = Crossing(ends, protocol)
    fields = {"flags": "A"} if protocol == "tcp" else {}
    for build in (talk.original, talk.reply):
        packet = build(payload=bytes(range(250)) * 40, **fields)
        result = talk.send(packets.unfinished(packet), unfinished=True, segment=1000)
        frame = talk.path._batch.output[0]
        out = result.packets[0]
        kinds = {("tcp", 4): 1, ("tcp", 6): 4, ("udp", 4): 5, ("udp", 6): 5}

        assert frame["gso_type"] == kinds[protocol, out[0] >> 4]
        assert frame["gso_size"] == 1000
        assert packets.read(packets.finished(out)).payload == bytes(range(250)) * 40
        assert talk.path._batch.parsed[0]["payload"] == len(out) - 10_000


@pytest.mark.parametrize("ends", BOTH)
def test_damage_stays_damage(ends: Any) -> None:
    """A wrong checksum is as wrong in the other version (I1)."""
    talk = Crossing(ends)
    for packet in (talk.original(payload=b"hello"), talk.reply(payload=b"hello")):
        out = talk.send(packet[:-1] + b"?").packets[0]

        assert packets.faults(out) == ["wrong transport checksum"]
        assert packets.read(out).payload == b"hell?"


def test_a_missing_checksum_is_computed_for_ip6() -> None:
    """Of the whole datagram, of its own length; RFC 7915 section 4.5."""
    talk = Crossing(TO6, "udp")
    for payload in (b"", b"x", b"hello", bytes(1472)):
        packet = talk.original(payload, checksum=0)
        out = talk.send(packet).packets[0]

        assert out == expected(talk, packet, out)
        assert not packets.faults(out)


def test_a_computed_checksum_of_zero_is_sent_as_its_other_name() -> None:
    """Zero would be none (RFC 768)."""
    talk = Crossing(TO6, "udp")
    whole = talk.send(talk.original(b"\0\0", checksum=0)).packets[0]
    completing = whole[46:48]
    out = talk.send(talk.original(completing, checksum=0)).packets[0]

    assert out[46:48] == b"\xff\xff"
    assert not packets.faults(out)


def test_a_missing_checksum_of_a_piece_cannot_be_computed() -> None:
    """Nobody here has the other pieces."""
    talk = Crossing(TO6, "udp")
    header = Header(more_fragments=True, dont_fragment=False)
    packet = talk.original(bytes(16), checksum=0, header=header)

    result = talk.send_piece(packet)

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.BAD_CHECKSUM)


def too_big(result: Any) -> int:
    """Return the MTU that an answer tells, which quotes the sender's own packet."""
    assert (result.verdict, result.reason) == (Verdict.REPLY, DropReason.MTU_EXCEEDED)
    answer = result.packets[0]
    at = packets.transport_at(answer)
    assert (answer[at], answer[at + 1]) == ((3, 4) if at == 20 else (2, 0))
    assert not packets.faults(answer)
    return int.from_bytes(answer[at + 4 : at + 8])


@pytest.mark.parametrize(("mtu", "told"), [(1400, 1380), (1280, 1260)])
def test_an_ip4_sender_is_told_what_ip6_leaves(mtu: int, told: int) -> None:
    """20 octets less than the way takes, before anything is rewritten (RFC 7915 section 4)."""
    talk = Crossing(TO6, "udp", mtu=(9000, mtu))
    fits, larger = bytes(told - 28), bytes(told - 27)
    before = talk.path.flows()

    assert too_big(talk.send(talk.original(larger))) == told
    assert talk.path.flows() == before
    assert len(talk.send(talk.original(fits)).packets[0]) == mtu


@pytest.mark.parametrize(("mtu", "told"), [(1400, 1420), (1270, 1290), (1260, 1280), (1000, 1280)])
def test_an_ip6_sender_is_told_what_ip4_adds_and_never_less_than_1280(mtu: int, told: int) -> None:
    """IPv6 has no smaller MTU (RFC 8200 section 5)."""
    talk = Crossing(TO4, "udp", mtu=(9000, mtu))
    before = talk.path.flows()

    assert too_big(talk.send(talk.original(bytes(told - 47)))) == told
    assert talk.path.flows() == before
    assert talk.send(talk.original(bytes(told - 48))).verdict is Verdict.FORWARD


def test_what_no_sender_will_make_smaller_may_be_cut() -> None:
    """An IPv6 packet of 1280 octets over a way of less: without "don't fragment"."""
    talk = Crossing(TO4, "udp", mtu=(9000, 1000))
    result = talk.send(talk.original(bytes(1232)))

    assert result.verdict is Verdict.FORWARD
    assert all(packet[6] & 0x40 == 0 for packet in result.packets)


@pytest.mark.parametrize(("ends", "header"), [(TO4, 40), (TO6, 60)])
@pytest.mark.parametrize(("more", "verdict"), [(0, Verdict.FORWARD), (1, Verdict.REPLY)])
def test_segments_are_measured_as_they_will_be(
    ends: Any, header: int, more: int, verdict: Verdict
) -> None:
    """Not the super-packet, and not in its own version."""
    talk = Crossing(ends, mtu=1400)
    packet = packets.unfinished(talk.original(flags="A", payload=bytes(5000)))
    result = talk.send(packet, unfinished=True, segment=1400 - header + more)

    assert result.verdict is verdict


def test_a_super_packet_that_may_be_cut_gets_smaller_segments() -> None:
    """TCP does not care where its stream is cut; a datagram would be two."""
    talk = Crossing(TO6, mtu=(9000, 1400))
    loose = Header(dont_fragment=False)
    packet = packets.unfinished(talk.original(flags="A", payload=bytes(5000), header=loose))
    result = talk.send(packet, unfinished=True, segment=1400)
    assert result.verdict is Verdict.FORWARD
    assert talk.path._batch.output[0]["gso_size"] == 1340

    talk = Crossing(TO6, "udp", mtu=(9000, 1400))
    packet = packets.unfinished(talk.original(payload=bytes(5000), header=loose))
    assert too_big(talk.send(packet, unfinished=True, segment=1400)) == 1380


def test_more_than_ip4_can_say_is_too_big() -> None:
    """An IPv6 payload may have 65,535 octets, and IPv4's header counts itself."""
    talk = Crossing(TO4)
    packet = packets.unfinished(talk.original(flags="A", payload=bytes(65496)))
    result = talk.send(packet, unfinished=True, segment=1000)

    assert result.reason is DropReason.MTU_EXCEEDED


HOP_BY_HOP = bytes([60, 0, 1, 4, 0, 0, 0, 0])  # PadN, and destination options behind it
OPTIONS = bytes([6, 0, 1, 4, 0, 0, 0, 0])


def extended(packet: bytes, first: int, headers: bytes) -> bytes:
    """Return an IPv6 packet with extension headers between its header and the transport's."""
    length = len(packet) - 40 + len(headers)
    return packet[:4] + length.to_bytes(2) + bytes([first]) + packet[7:40] + headers + packet[40:]


def test_extension_headers_stay_behind() -> None:
    """Hop-by-hop and destination options mean nothing to IPv4 (RFC 7915 section 5.1)."""
    talk = Crossing(TO4)
    packet = talk.original(payload=b"hello")
    out = talk.send(extended(packet, 0, HOP_BY_HOP + OPTIONS)).packets[0]

    assert out == expected(talk, packet, out)


@pytest.mark.parametrize(("left", "verdict"), [(0, Verdict.FORWARD), (1, Verdict.REPLY)])
def test_a_route_that_is_not_at_its_end_is_not_translated(left: int, verdict: Verdict) -> None:
    """The sender is told where its header says so: parameter problem (RFC 7915 section 5.1)."""
    talk = Crossing(TO4)
    route = bytes([6, 2, 2, left]) + bytes(20)
    result = talk.send(extended(talk.original(payload=b"hello"), 43, route))

    assert result.verdict is verdict
    if left:
        assert result.reason is DropReason.UNSUPPORTED
        answer = result.packets[0]
        assert (answer[40], answer[41], int.from_bytes(answer[44:48])) == (4, 0, 43)


def test_what_is_authenticated_is_not_translated() -> None:
    """An authentication header covers the addresses (RFC 4302): dropped in silence."""
    talk = Crossing(TO4)
    header = bytes([6, 4, 0, 0]) + bytes(20)
    result = talk.send(extended(talk.original(payload=b"hello"), 51, header))

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.UNSUPPORTED)


def test_an_atomic_fragment_brings_its_identification() -> None:
    """And may be cut: its sender said so by the header (RFC 7915 section 5.1.1)."""
    talk = Crossing(TO4)
    atom = bytes([6, 0, 0, 0, 0xAA, 0xBB, 0xCC, 0xDD])
    packet = talk.original(payload=bytes(1300))
    out = judge.IP(talk.send(extended(packet, 44, atom)).packets[0])

    assert (out.id, int(out.flags), out.frag) == (0xCCDD, 0, 0)


def test_identifications_are_natlbs_own() -> None:
    """All packets of full NAT share an address (RFC 6864, RFC 7857 section 11)."""
    talk = Crossing(TO4)
    given = [judge.IP(talk.send(talk.original()).packets[0]).id for _ in range(50)]

    assert len(set(given)) == 50
