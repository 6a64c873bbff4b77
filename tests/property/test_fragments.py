"""Datagrams in pieces: whatever order they come in, what arrives is what was sent, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, defragment, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, defragment6, fragment6
from scapy.packet import Raw

from natlb.core.holding import COUNT_HELD
from natlb.engine import Verdict
from natlb.testing import packets
from natlb.testing.packets import Header
from tests import judge
from tests.conformance.pieces import cut, piece
from tests.datapath import (
    CLIENT,
    CLIENT6,
    VIP,
    VIP6,
    assert_counts_agree,
    broken_laws,
    engine,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.engine import Engine

CLIENTS = {4: f"{CLIENT}:5000", 6: f"[{CLIENT6}]:5000"}
VIPS = {4: f"{VIP}:53", 6: f"[{VIP6}]:53"}


def in_pieces(packet: bytes, size: int, identification: int) -> list[bytes]:
    """Return a packet as scapy fragments it: `size` octets of it each, a multiple of eight."""
    if packet[0] >> 4 == 4:
        return [bytes(each) for each in fragment(IP(packet), fragsize=size)]
    head = IPv6(packet[:40])
    del head.plen
    head.nh = 44
    whole = head / IPv6ExtHdrFragment(nh=17, id=identification) / Raw(packet[40:])
    return [bytes(each) for each in fragment6(whole, size + 48)]


def put_together(pieces: Sequence[bytes]) -> list[bytes]:
    """Return the datagrams that scapy makes of pieces, which it wants in order."""
    pieces = sorted(set(pieces), key=place_of)
    if pieces[0][0] >> 4 == 4:
        return [bytes(each)[20:] for each in defragment([IP(each) for each in pieces])]
    return [bytes(defragment6([IPv6(each) for each in pieces]))[40:]]


def opened(version: int) -> tuple[Engine, str]:
    """Return an engine with the client's flow in it, and the flow's backend."""
    path = engine(ttl="direct")
    first = path.process(packets.udp(CLIENTS[version], VIPS[version]), 0.0)
    return path, packets.read(first.packets[0]).destination


def sent(path: Engine, pieces: Sequence[bytes], now: float = 0.0) -> list[bytes]:
    """Return all that leaves for pieces, in batches of three; the sum of fates holds throughout."""
    out: list[bytes] = []
    for at in range(0, len(pieces), 3):
        for result in path.process_batch(pieces[at : at + 3], now):
            stays = result.verdict in (Verdict.HOLD, Verdict.DROP)
            assert (len(result.packets) == 0) == stays
            out += result.packets
        assert_counts_agree(path.stats())
    return out


def identification_of(fragment: bytes) -> bytes:
    """Return the number that pieces of a datagram share."""
    return fragment[4:6].rjust(4, b"\0") if fragment[0] >> 4 == 4 else fragment[44:48]


@given(st.sampled_from([4, 6]), st.data())
def test_datagrams_arrive_byte_exact_from_pieces_in_any_order(
    version: int, data: st.DataObject
) -> None:
    """Both directions mixed, several under way, some pieces twice; to one backend (U12, R6)."""
    path, backend = opened(version)
    client, vip = CLIENTS[version], VIPS[version]
    expected, pieces = {}, []
    for number in range(data.draw(st.integers(1, 4))):
        asked = data.draw(st.booleans())
        ends, rewritten = (
            ((client, vip), (client, backend)) if asked else ((backend, client), (vip, client))
        )
        header = Header(dont_fragment=False, identification=100 + number)
        whole = packets.udp(*ends, data.draw(st.binary(min_size=97, max_size=300)), header=header)
        expected[number] = judge.rebuilt(whole, *rewritten)
        pieces += in_pieces(whole, 8 * data.draw(st.integers(1, 12)), 100 + number)
    again = data.draw(st.lists(st.sampled_from(pieces), max_size=6))
    out = sent(path, data.draw(st.permutations(pieces + again)))

    start = 20 if version == 4 else 40
    for number, whole in expected.items():
        mine = [each for each in out if identification_of(each)[3] == 100 + number]
        (found,) = put_together(mine)
        assert found == whole[start:]
        assert {ends_of(each) for each in mine} == {ends_of(whole)}
    path.tick(3.0)
    assert path.stats().packets.held == 0
    assert path.stats().flows.current == 1
    assert not broken_laws(path._flows, path._counters)


def ends_of(packet: bytes) -> bytes:
    """Return both addresses of a packet."""
    return packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]


def place_of(fragment: bytes) -> tuple[int, int, bool]:
    """Return where a piece begins and ends in its datagram, and whether it is the last."""
    if fragment[0] >> 4 == 4:
        field = int.from_bytes(fragment[6:8])
        start = (field & 0x1FFF) * 8
        return start, start + len(fragment) - 20, not field & 0x2000
    field = int.from_bytes(fragment[42:44])
    return field & 0xFFF8, (field & 0xFFF8) + len(fragment) - 48, not field & 1


@st.composite
def pieces_of_any_place(draw: Any, version: int) -> list[bytes]:
    """Return pieces of one datagram, and others of its name that fit in anyhow."""
    header = Header(dont_fragment=False, identification=100)
    whole = packets.udp(CLIENTS[version], VIPS[version], bytes(range(120)), header=header)
    head = whole[: 20 if version == 4 else 40]
    size = 8 * draw(st.integers(2, 8))
    honest = cut(whole, [size] * (127 // size), 100)
    body = whole[len(head) :][:8] + bytes([0xEE]) * 200
    sly = [
        piece(head, 17, body[8 * at : 8 * at + 8 * blocks - short], 8 * at, 100, more=not short)
        for at, blocks, short in draw(
            st.lists(
                st.tuples(st.integers(0, 18), st.integers(1, 6), st.integers(0, 7)), min_size=1
            )
        )
    ]
    return list(draw(st.permutations(honest + sly)))


@given(st.sampled_from([4, 6]), st.data())
def test_no_two_pieces_that_leave_overlap(version: int, data: st.DataObject) -> None:
    """So no receiver can mix them, however it treats overlaps (R8, RFC 5722)."""
    path, _ = opened(version)
    here: list[tuple[int, int, bool]] = []
    for each in sent(path, data.draw(pieces_of_any_place(version))):
        start, end, last = place_of(each)
        assert all(end <= first or start >= behind for first, behind, _ in here)
        here.append((start, end, last))
        total = next((behind for _, behind, is_last in here if is_last), None)
        if total == sum(behind - first for first, behind, _ in here):
            here = []  # complete: what comes now is another datagram
    assert "internal" not in path.stats().drops


@given(st.sampled_from([4, 6]), st.lists(st.floats(0, 2), max_size=12), st.data())
def test_every_piece_is_counted_once_whenever_it_goes(
    version: int, pauses: list[float], data: st.DataObject
) -> None:
    """Held, released, timed out, copied, contradicted: received is the sum of the fates."""
    path, _ = opened(version)
    now, count = 0.0, 1
    for pause in pauses:
        now += pause
        if data.draw(st.booleans()):
            path.tick(now)
        pieces = data.draw(pieces_of_any_place(version))
        count += len(pieces)
        sent(path, pieces, now)
        assert path.stats().packets.received == count
        assert path.stats().packets.held == path._core.fragments.holding.numbers[COUNT_HELD]
    path.tick(now + 3)

    assert path.stats().packets.held == 0
    assert_counts_agree(path.stats())
