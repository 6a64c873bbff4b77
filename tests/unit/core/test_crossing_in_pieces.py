"""Fragments between IPv6 and IPv4, and what is cut into them: through the engine."""

from __future__ import annotations

import random
from typing import Any

import pytest

from natlb.engine import DropReason, Engine, PacketMeta, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header
from tests import judge
from tests.conformance.pieces import cut, joined
from tests.datapath import assert_counts_agree, full_nat

CLIENTS = {4: "198.51.100.2:40000", 6: "[2001:db8:c::2]:40000"}
VIPS = {4: "203.0.113.10:53", 6: "[2001:db8:f::10]:53"}
BACKENDS = {4: "10.9.0.11:5353", 6: "[fd00:9::11]:5353"}
MAY = Header(dont_fragment=False, identification=0xBEEF)
PAYLOAD = bytes(at * 7 & 0xFF for at in range(3001))


class Talk:
    """A client of one version, a backend of the other, and one flow of UDP."""

    def __init__(self, version: int, **options: Any) -> None:
        """Open the flow."""
        self.client, self.vip = CLIENTS[version], VIPS[version]
        self.backend = BACKENDS[10 - version]
        service = {"dns": {"listen": f"udp://{self.vip}", "backends": [self.backend]}}
        self.path: Engine = full_nat(service, **options)
        first = self.path.process(packets.udp(self.client, self.vip), 0.0).packets[0]
        self.source = packets.read(first).source

    def original(self, payload: bytes = PAYLOAD) -> bytes:
        """Return a client's datagram."""
        return packets.udp(self.client, self.vip, payload, header=MAY)

    def reply(self, payload: bytes = PAYLOAD) -> bytes:
        """Return a backend's datagram."""
        return packets.udp(self.backend, self.source, payload, header=MAY)

    def send(self, pieces: list[bytes]) -> list[bytes]:
        """Return all that is sent on for these."""
        is_reply = address(packets.read(pieces[0]).source) != address(self.client)
        side: Any = "private" if is_reply else "public"
        meta = PacketMeta(side=side)
        return [out for piece in pieces for out in self.path.process(piece, 0.0, meta).packets]


def address(endpoint: str) -> str:
    """Return an endpoint's address as text."""
    return str(packets.split_endpoint(endpoint)[0])


def whole(pieces: list[bytes], source: str, destination: str, payload: bytes = PAYLOAD) -> None:
    """Hold that fragments are a sound datagram from one end to the other."""
    together = joined(pieces)
    read = packets.read(together)

    assert (read.source, read.destination, read.payload) == (source, destination, payload)
    assert not packets.faults(together)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_fragments_cross_in_any_order(version: int, order: tuple[int, ...]) -> None:
    """Both ways, byte-exact, each 28 octets larger or smaller (R6, R16)."""
    talk = Talk(version)
    for packet, ends in (
        (talk.original(), (talk.source, talk.backend)),
        (talk.reply(), (talk.vip, talk.client)),
    ):
        pieces = cut(packet, [1232, 1232], identification=0xBEEF)
        out = talk.send([pieces[at] for at in order])

        assert len(out) == 3
        assert {each[0] >> 4 for each in out} == {10 - (packet[0] >> 4)}
        whole(out, *ends)
    assert_counts_agree(talk.path.stats())


def test_an_identification_of_ip6_keeps_its_lower_half() -> None:
    """And of IPv4 becomes it (RFC 7915 sections 4.1 and 5.1.1); none has "don't fragment"."""
    talk = Talk(6)
    out = talk.send(cut(talk.original(), [1232, 1232], identification=0xDEADBEEF))
    assert {judge.IP(each).id for each in out} == {0xBEEF}
    assert not any(each[6] & 0x40 for each in out)

    back = talk.send(cut(talk.reply(), [1232, 1232], identification=0xBEEF))
    assert {int.from_bytes(each[44:48]) for each in back} == {0xBEEF}


def test_full_fragments_of_ip4_are_cut_once_more() -> None:
    """1500 octets are 1528 in IPv6; every piece keeps its place in the datagram."""
    talk = Talk(4, mtu=1500)
    pieces = cut(talk.original(), [1480, 1480], identification=0xBEEF)
    random.Random(1).shuffle(pieces)
    out = talk.send(pieces)

    assert len(out) == 5
    assert all(len(each) <= 1500 for each in out)
    whole(out, talk.source, talk.backend)


def test_full_fragments_of_ip6_fit_ip4() -> None:
    """They are 28 octets smaller; over a smaller way they are cut as IPv4's own."""
    for mtu, count in ((1500, 3), (1000, 5)):
        talk = Talk(6, mtu=(9000, mtu))
        out = talk.send(cut(talk.original(), [1448, 1448]))

        assert len(out) == count
        assert all(len(each) <= mtu for each in out)
        whole(out, talk.source, talk.backend)


@pytest.mark.parametrize("unfinished", [False, True])
@pytest.mark.parametrize(("size", "count"), [(1452, 1), (1453, 2), (3000, 3)])
def test_what_may_be_fragmented_is_cut_for_ip6(size: int, count: int, unfinished: bool) -> None:
    """IPv6 routers do not, so the translator does (RFC 7915 section 4)."""
    talk = Talk(4, mtu=(9000, 1500))
    packet = talk.original(PAYLOAD[:size])
    sent = packets.unfinished(packet) if unfinished else packet
    meta = PacketMeta(unfinished_checksum=unfinished)
    result = talk.path.process(sent, 0.0, meta)
    out = result.packets

    assert result.verdict is Verdict.FORWARD
    assert len(out) == count
    assert all(len(each) <= 1500 for each in out)
    if count > 1:
        assert {int.from_bytes(each[44:48]) for each in out} == {0xBEEF}
        whole(out, talk.source, talk.backend, PAYLOAD[:size])


def test_what_ip6s_smallest_mtu_does_not_fit_is_cut_for_ip4() -> None:
    """Its sender would not make it smaller (RFC 7915 section 5.1)."""
    talk = Talk(6, mtu=(9000, 1000))
    out = talk.path.process(talk.original(PAYLOAD[:1232]), 0.0).packets

    assert [len(each) <= 1000 for each in out] == [True, True]
    whole(out, talk.source, talk.backend, PAYLOAD[:1232])


def test_a_datagram_in_pieces_without_a_checksum_does_not_cross() -> None:
    """Nobody here has all of it; the later pieces share the first one's fate."""
    talk = Talk(4)
    packet = packets.udp(talk.client, talk.vip, PAYLOAD, checksum=0, header=MAY)
    fates = [talk.path.process(each, 0.0) for each in cut(packet, [1480, 1480])]

    assert {fate.reason for fate in fates} == {DropReason.BAD_CHECKSUM}
    assert not any(fate.packets for fate in fates)


def test_a_fragment_that_may_not_be_cut_is_answered() -> None:
    """DF on a fragment: the sender is told 28 octets less."""
    talk = Talk(4, mtu=(9000, 1400))
    first = cut(talk.original(), [1480])[0]
    told = bytearray(first)
    told[6] |= 0x40
    told[10:12] = b"\0\0"
    told[10:12] = (~packets.sum_words(bytes(told[:20])) & 0xFFFF).to_bytes(2)
    result = talk.path.process(bytes(told), 0.0)

    assert result.reason is DropReason.MTU_EXCEEDED
