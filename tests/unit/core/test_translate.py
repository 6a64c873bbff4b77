from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from natlb.engine import DropReason, PacketMeta, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header
from tests import judge
from tests.datapath import (
    CLIENT,
    CLIENT6,
    VIP,
    VIP6,
    assert_counts_agree,
    engine,
)

if TYPE_CHECKING:
    from natlb.engine import Engine, Result

FROM, FROM6 = f"{CLIENT}:40000", f"[{CLIENT6}]:40000"
WEB, WEB6, DNS, DNS6 = f"{VIP}:80", f"[{VIP6}]:80", f"{VIP}:53", f"[{VIP6}]:53"
BOTH = [(FROM, WEB, DNS), (FROM6, WEB6, DNS6)]
PUBLIC, PRIVATE = PacketMeta(side="public"), PacketMeta(side="private")


class Talk:
    """A flow that was just made, and its ends."""

    def __init__(self, source: str, vip: str, **options: Any) -> None:
        """Send the first packet: a SYN, or a datagram where the VIP's port is that of dns."""
        self.path: Engine = engine(**options)
        self.source, self.vip = source, vip
        self.build = packets.udp if vip.endswith(":53") else packets.tcp
        first = self.path.process(self.build(source, vip), 0.0)
        self.server = packets.read(first.packets[0]).destination

    def original(self, **fields: Any) -> bytes:
        """Return a packet of the client's."""
        return self.build(self.source, self.vip, **fields)

    def reply(self, **fields: Any) -> bytes:
        """Return a packet of the backend's."""
        return self.build(self.server, self.source, **fields)

    def send(self, packet: bytes, meta: PacketMeta | None = None, now: float = 0.0) -> Result:
        """Return what becomes of a packet."""
        return self.path.process(packet, now, meta)


@pytest.mark.parametrize(("source", "web", "dns"), BOTH)
@pytest.mark.parametrize("kind", ["web", "dns"])
def test_both_directions_are_rewritten_from_the_other_key(
    source: str, web: str, dns: str, kind: str
) -> None:
    """The backend sees the client, the client the VIP; all else stays as it was (I1, I2)."""
    talk = Talk(source, web if kind == "web" else dns)
    header = Header(tos=0xB9, identification=4711, flow_label=0xABCDE, ttl=63)
    for packet, ends, side in (
        (talk.original(payload=b"hello", header=header), (source, talk.server), "private"),
        (talk.reply(payload=b"world", header=header), (talk.vip, source), "public"),
    ):
        result = talk.send(packet)

        assert (result.verdict, result.reason) == (Verdict.FORWARD, None)
        assert result.sides == [side]
        assert result.packets == [judge.rebuilt(packet, *ends)]


def test_padding_does_not_leave() -> None:
    """It came with the frame, and a rewritten packet has another one."""
    talk = Talk(FROM, WEB)
    packet = talk.original()

    assert len(talk.send(packet + bytes(20)).packets[0]) == len(packet)


@pytest.mark.parametrize("kind", ["original", "reply"])
def test_a_packet_of_a_flow_from_the_wrong_side_is_a_martian(kind: str) -> None:
    """A forged reply from the public side would go out as the VIP's word."""
    talk = Talk(FROM, WEB)
    before = talk.path.flows()
    packet, meta = (talk.original(), PRIVATE) if kind == "original" else (talk.reply(), PUBLIC)
    result = talk.send(packet, meta)

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.MARTIAN)
    assert talk.path.flows() == before


@pytest.mark.parametrize("kind", ["original", "reply"])
def test_what_is_not_carried_is_dropped_in_a_flow_too(kind: str) -> None:
    """Options: untranslated they may not leave, and what they mean translated nobody says."""
    header = Header(options=b"\1\1\1\0")
    talk = Talk(FROM, DNS)
    before = talk.path.flows()
    packet = getattr(talk, kind)(payload=bytes(16), header=header)
    result = talk.send(packet)

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.UNSUPPORTED)
    assert talk.path.flows() == before


@pytest.mark.parametrize(("source", "web", "dns"), BOTH)
@pytest.mark.parametrize(
    ("ttl", "lowest", "taken"), [("route", 2, 0), ("direct", 1, 0), ("own", 2, 1)]
)
def test_hops_are_taken_by_who_forwards(
    source: str, web: str, dns: str, ttl: Any, lowest: int, taken: int
) -> None:
    """By route the kernel takes another one behind natlb, so the last must be left to it (R1)."""
    talk = Talk(source, web, ttl=ttl)
    for build, ends in ((talk.original, (source, talk.server)), (talk.reply, (web, source))):
        for hops in (255, 64, lowest):
            packet = build(header=Header(ttl=hops))
            result = talk.send(packet)
            assert result.packets == [judge.rebuilt(packet, *ends, hops=taken)]
        result = talk.send(build(header=Header(ttl=lowest - 1)))

        assert result.reason is DropReason.TTL_EXPIRED
    assert_counts_agree(talk.path.stats())


def test_what_spends_its_last_hop_changes_nothing() -> None:
    """A refused packet neither counts for its flow nor keeps it alive (R1, U6)."""
    talk = Talk(FROM, WEB)
    before = talk.path.flows()
    talk.send(talk.original(header=Header(ttl=1)))

    assert talk.path.flows() == before


@pytest.mark.parametrize("kind", ["original", "reply"])
@pytest.mark.parametrize(("source", "web", "dns"), BOTH)
def test_too_big_is_answered_before_the_rewrite(source: str, web: str, dns: str, kind: str) -> None:
    """With the MTU of the way out; the quote is what the sender sent, so it is believed (U11)."""
    mtu = (1400, 1500) if kind == "reply" else (1500, 1400)
    talk = Talk(source, dns, mtu=mtu)
    headers = 28 if source is FROM else 48
    fits = getattr(talk, kind)(payload=bytes(1400 - headers))
    too_big = getattr(talk, kind)(payload=bytes(1401 - headers))

    assert talk.send(fits).verdict is Verdict.FORWARD
    result = talk.send(too_big)
    assert result.reason is DropReason.MTU_EXCEEDED
    if kind == "reply" and source is FROM6:
        return  # no address of its own on that side: test_refusal
    answer = result.packets[0]
    at = packets.transport_at(answer)
    assert result.verdict is Verdict.REPLY
    assert result.sides == ["private" if kind == "reply" else "public"]
    assert (answer[at], answer[at + 1]) == ((3, 4) if source is FROM else (2, 0))
    assert int.from_bytes(answer[at + 4 : at + 8]) == 1400
    assert answer[at + 8 :] == too_big[: len(answer) - at - 8]
    assert not packets.faults(answer)
    assert_counts_agree(talk.path.stats())


def test_what_may_be_cut_is_left_to_be_cut() -> None:
    """IPv4 without "don't fragment": whoever routes it makes fragments of it."""
    talk = Talk(FROM, DNS, mtu=1400)
    packet = talk.original(payload=bytes(1480), header=Header(dont_fragment=False))

    assert talk.send(packet).verdict is Verdict.FORWARD


@pytest.mark.parametrize(("source", "web", "dns"), BOTH)
@pytest.mark.parametrize("kind", ["web", "dns"])
def test_a_super_packet_is_rewritten_once(source: str, web: str, dns: str, kind: str) -> None:
    """Its checksum stays unfinished, and it counts as its segments on the wire."""
    talk = Talk(source, web if kind == "web" else dns)
    packet = packets.unfinished(talk.original(payload=bytes(range(250)) * 40))
    meta = PacketMeta(unfinished_checksum=True, segment_size=1448)
    result = talk.send(packet, meta)

    whole = packets.finished(packet)
    assert result.verdict is Verdict.FORWARD
    assert packets.finished(result.packets[0]) == judge.rebuilt(whole, source, talk.server)
    frame = talk.path._batch.output[0]
    assert (frame["gso_size"], frame["needs_checksum"]) == (1448, 1)
    flow = talk.path.flows()[0]
    headers = len(packet) - 10_000
    assert flow.packets.original == 1 + 7
    assert flow.bytes.original == len(talk.original()) + 7 * headers + 10_000
    stats = talk.path.stats()
    assert (stats.packets.received, stats.packets.forwarded, stats.packets.sent) == (8, 8, 8)
    assert stats.bytes.forwarded == flow.bytes.original


@pytest.mark.parametrize(("size", "fits"), [(1372, True), (1373, False)])
def test_segments_are_measured_against_the_way_out(size: int, fits: bool) -> None:
    """Not the super-packet, which is larger than any MTU, nor the one it was made for."""
    talk = Talk(FROM, DNS, mtu=1400)
    packet = packets.unfinished(talk.original(payload=bytes(5000)))
    result = talk.send(packet, PacketMeta(unfinished_checksum=True, segment_size=size))

    assert result.verdict is (Verdict.FORWARD if fits else Verdict.REPLY)
    assert result.reason is (None if fits else DropReason.MTU_EXCEEDED)


def test_a_last_short_segment_is_not_measured_as_a_full_one() -> None:
    """A segment size may be larger than all the data."""
    talk = Talk(FROM, DNS, mtu=1400)
    packet = packets.unfinished(talk.original(payload=bytes(1000)))
    result = talk.send(packet, PacketMeta(unfinished_checksum=True, segment_size=60000))

    assert result.verdict is Verdict.FORWARD


def test_a_damaged_packet_stays_damaged() -> None:
    """Its receiver decides; a checksum that was made right would hide the damage (I1)."""
    talk = Talk(FROM, WEB)
    for ends, packet in (
        ((FROM, talk.server), talk.original(flags="PA", payload=b"hello")),
        ((WEB, FROM), talk.reply(flags="PA", payload=b"hello")),
    ):
        hurt = packet[:-1] + b"?"
        out = talk.send(hurt).packets[0]

        assert packets.faults(out) == ["wrong transport checksum"]
        assert packets.read(out).payload == b"hell?"
        assert packets.read(out).source == ends[0]
