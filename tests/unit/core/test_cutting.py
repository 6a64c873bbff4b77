"""Through the engine, compiled too: DF=0 on a way with a smaller MTU."""

from __future__ import annotations

from typing import Any

import pytest

from natlb.core import batch as batch_module
from natlb.core import cutting
from natlb.engine import PacketMeta, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header
from tests import judge
from tests.conformance.pieces import cut, joined
from tests.datapath import B1, CLIENT, VIP, assert_counts_agree, engine

FROM, DNS = f"{CLIENT}:5000", f"{VIP}:53"
MAY = Header(dont_fragment=False, identification=4711)
PAYLOAD = bytes(at * 7 & 0xFF for at in range(2500))


@pytest.mark.parametrize("unfinished", [False, True])
def test_a_datagram_too_large_leaves_in_pieces_in_order(unfinished: bool) -> None:
    """With df=0: rewritten first, so every piece is the backend's, and byte-exact together."""
    path = engine(mtu=(1500, 1300), ttl="own")
    packet = packets.udp(FROM, DNS, PAYLOAD, header=MAY)
    sent = packets.unfinished(packet) if unfinished else packet
    result = path.process(sent, 0.0, PacketMeta(unfinished_checksum=unfinished))

    assert result.verdict is Verdict.FORWARD
    assert [len(each) for each in result.packets] == [1300, 1248]
    assert [judge.IP(each).frag for each in result.packets] == [0, 160]
    assert [judge.IP(each).id for each in result.packets] == [4711, 4711]
    assert result.sides == ["private"] * 2
    rebuilt = judge.rebuilt(packet, FROM, f"{B1}:5353", hops=1)
    assert joined(result.packets)[20:] == rebuilt[20:]
    counts = path.stats().packets
    assert (counts.received, counts.forwarded, counts.sent) == (1, 1, 2)
    assert path.stats().bytes.forwarded == len(packet)
    assert_counts_agree(path.stats())


def test_a_fragment_too_large_is_cut_again() -> None:
    """First or later, its pieces keep their place in the datagram."""
    path = engine(mtu=(1500, 700))
    packet = packets.udp(FROM, DNS, PAYLOAD, header=MAY)
    pieces = [path.process(each, 0.0).packets for each in cut(packet, [1480])]

    assert [[len(each) for each in several] for several in pieces] == [[700, 700, 140], [700, 368]]
    assert (
        joined([each for several in pieces for each in several])[20:]
        == judge.rebuilt(packet, FROM, f"{B1}:5353")[20:]
    )


def test_a_super_packet_is_left_whole() -> None:
    """The kernel cuts it into segments, and fragments those."""
    path = engine(mtu=(1500, 1000))
    packet = packets.unfinished(packets.udp(FROM, DNS, bytes(2800), header=MAY))
    result = path.process(packet, 0.0, PacketMeta(unfinished_checksum=True, segment_size=1400))

    assert [len(each) for each in result.packets] == [len(packet)]


@pytest.mark.parametrize("short", ["frames", "room"])
def test_no_piece_leaves_where_not_all_can(short: str, monkeypatch: Any, one_by_one: None) -> None:
    """Half a datagram is worth nothing; it is counted as `queue-full`."""
    path = engine(mtu=(65535, 68))
    if short == "frames":
        monkeypatch.setattr(batch_module, "MOST_EXTRA", 40)
    else:
        monkeypatch.setattr(cutting, "take_room", lambda *_: (-1, -1))
    result = path.process(packets.udp(FROM, DNS, PAYLOAD, header=MAY), 0.0)

    assert (result.verdict, result.packets) == (Verdict.DROP, [])
    assert path.stats().drops == {"queue-full": 1}
    assert_counts_agree(path.stats())


def test_a_batch_has_room_for_pieces_of_many() -> None:
    """Every packet of a batch may be one that is cut, if not as small as 68 octets."""
    path = engine(mtu=(1500, 576))
    packet = packets.udp(FROM, DNS, bytes(1400), header=MAY)
    results = path.process_batch([packet] * 64, 0.0)

    assert [len(each.packets) for each in results] == [3] * 64
    assert {joined(each.packets) for each in results} == {joined(results[0].packets)}
