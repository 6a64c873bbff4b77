"""Through the engine, compiled too: pieces of datagrams, and where they go."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from natlb.core import fragments as fragments_module
from natlb.core.fragment_table import make_fragments
from natlb.core.holding import LARGE_PLACES, MOST_HELD
from natlb.core.layout import ACTION_IPID, ACTION_XLAT
from natlb.core.tables import FRAGMENT_MS
from natlb.engine import DropReason, PacketMeta, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header
from tests import judge
from tests.conformance.pieces import cut, joined, piece
from tests.datapath import (
    B1,
    B1_6,
    CLIENT,
    CLIENT6,
    VIP,
    VIP6,
    assert_counts_agree,
    broken_laws,
    engine,
)

if TYPE_CHECKING:
    from natlb.engine import Engine, Result

MAY = Header(dont_fragment=False)
PAYLOAD = bytes(at * 31 & 0xFF for at in range(400))
SIZES = [160, 96, 80]
ENDS = {
    4: (f"{CLIENT}:5000", f"{VIP}:53", f"{B1}:5353"),
    6: (f"[{CLIENT6}]:5000", f"[{VIP6}]:53", f"[{B1_6}]:5353"),
}


class Path:
    """An engine whose counters are held to agree after every packet."""

    def __init__(self, version: int = 4, **options: Any) -> None:
        """Start with an empty table."""
        self.engine: Engine = engine(**options)
        self.now = 0.0
        self.client, self.vip, self.backend = ENDS[version]

    def size(self, datagrams: int) -> Path:
        """Follow so many datagrams at once."""
        core = self.engine._core
        self.engine._core = core._replace(fragments=make_fragments(datagrams))
        return self

    def limit(self, milliseconds: int) -> Path:
        """Set `timeouts.fragment`."""
        core = self.engine._core
        numbers = core.tables.numbers.copy()
        numbers[FRAGMENT_MS] = milliseconds
        numbers.flags.writeable = core.tables.numbers.flags.writeable
        self.engine._core = core._replace(tables=core.tables._replace(numbers=numbers))
        return self

    def asks(self, payload: bytes = PAYLOAD, port: int = 5000) -> bytes:
        """Return a datagram of the client's."""
        source = self.client.replace(":5000", f":{port}")
        return packets.udp(source, self.vip, payload, header=MAY)

    def answers(self, payload: bytes = PAYLOAD) -> bytes:
        """Return the backend's answer to it."""
        return packets.udp(self.backend, self.client, payload, header=MAY)

    def send(self, packet: bytes, side: Any = None, **meta: Any) -> Result:
        """Return what becomes of a packet."""
        result = self.engine.process(packet, self.now, PacketMeta(side=side, **meta))
        self.look()
        return result

    def send_all(self, pieces: list[bytes], side: Any = None) -> list[bytes]:
        """Return all that leaves, piece after piece."""
        return [octets for each in pieces for octets in self.send(each, side).packets]

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        assert self.engine.tick(self.now) == []
        self.look()

    def look(self) -> None:
        """Hold the laws of counters and table."""
        assert_counts_agree(self.engine.stats())
        assert not broken_laws(self.engine._flows, self.engine._counters)

    @property
    def held(self) -> int:
        """How many packets are held."""
        return self.engine.stats().packets.held

    @property
    def drops(self) -> dict[str, int]:
        """What was dropped, by reason."""
        return self.engine.stats().drops

    @property
    def used(self) -> int:
        """How many datagrams are followed."""
        return int(self.engine._core.fragments.records["used"].sum())


def with_octet(packet: bytes, at: int, value: int) -> bytes:
    """Return an IPv4 packet with an octet of its header changed, and the sum right."""
    changed = bytearray(packet)
    changed[at] = value
    changed[10:12] = b"\0\0"
    changed[10:12] = (~packets.sum_words(bytes(changed[:20])) & 0xFFFF).to_bytes(2)
    return bytes(changed)


BOTH = pytest.mark.parametrize("version", [4, 6])


@BOTH
@pytest.mark.parametrize("seed", range(12))
def test_pieces_in_any_order_reach_one_backend_and_their_client(version: int, seed: int) -> None:
    """Byte-exact both ways; nothing is left behind."""
    path, chance = Path(version, ttl="own"), random.Random(seed)
    for packet, ends in (
        (path.asks(), (path.client, path.backend)),
        (path.answers(), (path.vip, path.client)),
    ):
        pieces = cut(packet, SIZES)
        out = path.send_all(chance.sample(pieces, len(pieces)))
        assert len(out) == len(pieces)
        assert joined(out) == joined(cut(judge.rebuilt(packet, *ends, hops=1), SIZES))
        assert {packets.read(each).ttl for each in out} == {63}

    assert (path.held, path.used, path.drops) == (0, 0, {})
    assert path.engine.stats().flows.current == 1


def test_what_waits_goes_on_behind_the_first_piece_in_its_order() -> None:
    """A held piece has no packets of its own; it is counted where it ends."""
    path = Path()
    pieces = cut(path.asks(), SIZES)
    for number, each in enumerate(pieces[:0:-1]):
        result = path.send(each)
        assert (result.verdict, result.reason, result.packets) == (Verdict.HOLD, None, [])
        assert path.held == number + 1
    result = path.send(pieces[0])

    assert result.verdict is Verdict.FORWARD
    assert [judge.IP(each).frag for each in result.packets] == [0, 42, 32, 20]
    assert result.sides == ["private"] * 4
    counts = path.engine.stats()
    assert (counts.packets.forwarded, counts.packets.sent, counts.packets.held) == (4, 4, 0)
    assert counts.bytes.received == counts.bytes.forwarded == sum(map(len, pieces))
    (flow,) = path.engine.flows()
    assert flow.packets.original == 4
    assert flow.bytes.original == sum(map(len, pieces))


@BOTH
def test_datagrams_under_way_together_do_not_mix(version: int) -> None:
    """Of one client, and of one identification with another one's."""
    path = Path(version)
    path.send(path.asks(b""))
    wholes = [path.asks(bytes([n]) * 350) for n in range(6)] + [path.answers()]
    pieces = [each for n, whole in enumerate(wholes) for each in cut(whole, SIZES, 70 + n % 6)]
    out = path.send_all(random.Random(3).sample(pieces, len(pieces)))

    at = slice(4, 6) if version == 4 else slice(44, 48)
    found = sorted(out, key=lambda each: (each[8:20] if version == 6 else each[12:16], each[at]))
    datagrams = [joined(found[n : n + 4]) for n in range(0, len(found), 4)]
    bodies = {packets.read(each).payload for each in datagrams}
    assert bodies == {bytes([n]) * 350 for n in range(6)} | {PAYLOAD}


@BOTH
def test_a_copy_is_dropped_and_its_datagram_lives(version: int) -> None:
    """Of a piece that went on, of one that is held, of the first."""
    path = Path(version)
    pieces = cut(path.asks(), SIZES)
    order = [1, 1, 0, 0, 2, 1, 2, 3]
    out = path.send_all([pieces[at] for at in order])

    assert packets.read(joined(out)).payload == PAYLOAD
    assert path.drops == {"fragment-overlap": 4}


@BOTH
@pytest.mark.parametrize("first", [True, False])
def test_an_overlap_ends_its_datagram(version: int, first: bool) -> None:
    """What is held goes too, and what comes later (RFC 5722); other datagrams are not touched."""
    path = Path(version)
    pieces, other = cut(path.asks(), SIZES), cut(path.asks(b"x" * 80), [48], 78)
    sly = cut(path.asks(b"y" * 400), [152, 200])[1]
    path.send(other[1])
    before = pieces[:2] if first else pieces[1:3]
    path.send_all(before)
    result = path.send(sly)

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.FRAGMENT_OVERLAP)
    assert path.send_all(pieces) == []
    assert path.held == 1
    assert path.drops == {"fragment-overlap": 5 if first else 7}
    assert len(path.send(other[0]).packets) == 2
    path.tick(31)
    assert len(path.send_all(pieces)) == 4


def test_what_is_held_waits_three_seconds() -> None:
    """Then it is dropped with all of its datagram that waits."""
    path = Path()
    pieces = cut(path.asks(), SIZES)
    path.send(pieces[1])
    path.tick(2)
    path.send(pieces[2])
    path.tick(0.999)
    assert path.held == 2
    path.tick(0.001)

    assert (path.held, path.used, path.drops) == (0, 0, {"fragment-timeout": 2})


def test_a_first_piece_does_not_release_what_is_overdue() -> None:
    """Also where no timer ran in between."""
    path = Path()
    pieces = cut(path.asks(), SIZES)
    path.send(pieces[1])
    path.now += 3

    assert len(path.send(pieces[0]).packets) == 1
    assert path.drops == {"fragment-timeout": 1}


def test_a_datagram_is_followed_so_long_and_no_longer() -> None:
    """`timeouts.fragment`, which bounds what is held as well."""
    path = Path().limit(2000)
    pieces = cut(path.asks(), SIZES)
    path.send(pieces[0])
    path.now += 1.999
    assert path.send(pieces[1]).verdict is Verdict.FORWARD
    path.now += 0.001
    assert path.send(pieces[2]).verdict is Verdict.HOLD
    path.tick(2)

    assert path.drops == {"fragment-timeout": 1}


def test_the_oldest_datagram_of_a_set_gives_way() -> None:
    """What is held of it is dropped: `fragment-limit`, or what it was overdue for."""
    path = Path().size(2)
    laters = [cut(path.asks(), SIZES, number)[1] for number in range(4)]
    for number, later in enumerate(laters[:3]):
        path.now += 0.5
        path.send(later)
        assert path.held == min(number + 1, 2)
    assert path.drops == {"fragment-limit": 1}
    path.now += 3
    path.send(laters[3])

    assert path.drops == {"fragment-limit": 1, "fragment-timeout": 1}


@pytest.mark.parametrize(("size", "most"), [(40, MOST_HELD), (3000, LARGE_PLACES)])
def test_no_more_is_held_than_there_is_room_for(size: int, most: int) -> None:
    """What does not fit is dropped, and not taken for here: it may come again."""
    path = Path()
    whole = path.asks(bytes(64 + size))
    for number in range(most + 3):
        path.send(cut(whole, [64], number)[1])
    assert (path.held, path.drops) == (most, {"fragment-limit": 3})
    path.tick(3)
    assert path.send(cut(whole, [64], most + 1)[1]).verdict is Verdict.HOLD

    assert len(path.send(cut(whole, [64], most + 1)[0]).packets) == 2


def test_a_flood_of_first_pieces_is_bounded_and_hurts_no_whole_packet() -> None:
    """Each takes a record from another; flows are limited by their table alone."""
    path = Path().size(64)
    for number in range(1000):
        path.engine.process(cut(path.asks(), SIZES, number)[number % 2], 0.0)
    path.look()

    assert path.used == 64
    assert path.held <= 64
    assert path.send(path.asks(port=6000)).verdict is Verdict.FORWARD


def test_an_identification_used_again_is_another_datagram() -> None:
    """The record of a datagram that is complete is given up at once."""
    path = Path()
    for payload in (PAYLOAD, PAYLOAD[::-1]):
        out = path.send_all(cut(path.asks(payload), SIZES))
        assert packets.read(joined(out)).payload == payload


@pytest.mark.parametrize("order", [1, -1])
def test_the_pieces_of_a_refused_datagram_are_dropped_for_its_reason(order: int) -> None:
    """One answer for all of them, and none about a later one."""
    path = Path()
    packet = packets.udp(path.client, f"{VIP}:54", PAYLOAD, header=MAY)
    out = path.send_all(cut(packet, SIZES)[::order])

    assert [judge.ICMP in judge.IP(each) for each in out] == [True]
    counts = path.engine.stats()
    assert counts.replies == {"no-service": 1}
    assert counts.drops == {"no-service": 3}


def test_a_first_piece_that_is_dropped_takes_the_others_along() -> None:
    """A forged source, say."""
    path = Path()
    pieces = cut(path.answers(), SIZES)

    assert path.send_all([pieces[1], pieces[0], pieces[2]], "public") == []
    assert path.drops == {"martian": 3}


@BOTH
@pytest.mark.parametrize("order", [1, -1])
def test_a_backends_own_datagram_is_passed_piece_by_piece(version: int, order: int) -> None:
    """Untouched, by the other side."""
    path = Path(version)
    pieces = cut(packets.udp(path.backend, path.client, PAYLOAD, header=MAY), SIZES)[::order]
    out = path.send_all(pieces, "private")

    assert sorted(out) == sorted(pieces)
    counts = path.engine.stats().packets
    assert (counts.passed, counts.sent, counts.held) == (4, 4, 0)


@BOTH
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("wrong", [False, True])
def test_an_echo_request_in_pieces_is_answered_in_pieces(
    version: int, seed: int, wrong: bool
) -> None:
    """As many octets out as came in; a wrong sum, which nobody sees yet, stays as wrong."""
    path = Path(version)
    ends = (CLIENT, VIP) if version == 4 else (CLIENT6, VIP6)
    request = bytearray(packets.echo_request(*ends, PAYLOAD, header=Header(ttl=1)))
    request[-1] ^= wrong
    pieces = cut(bytes(request), SIZES)
    out = path.send_all(random.Random(seed).sample(pieces, len(pieces)))
    reply = joined(out)

    assert sorted(map(len, out)) == sorted(map(len, pieces))
    assert packets.faults(reply) == ["wrong transport checksum"] * wrong
    at = packets.transport_at(reply)
    assert reply[at] == (0 if version == 4 else 129)
    assert reply[at + 4 :] == bytes(request)[at + 4 :]
    assert (packets.read(reply).source, packets.read(reply).destination) == ends[::-1]
    assert {packets.read(each).ttl for each in out} == {64}
    assert path.engine.stats().replies == {"echo": 4}


def test_an_icmp_error_in_pieces_is_not_carried() -> None:
    """None is that long: errors quote 548 octets at the most."""
    path = Path()
    error = packets.icmp(CLIENT, VIP, 3, 4, 1300, bytes(400), header=MAY)

    assert path.send_all(cut(error, [200])) == []
    assert path.drops == {"unsupported": 2}


@pytest.mark.parametrize(("version", "mtu", "reason"), [(4, 190, None), (6, 1300, "mtu-exceeded")])
def test_pieces_larger_than_their_way_out(version: int, mtu: int, reason: str | None) -> None:
    """With df=0 they are cut again; else the sender hears of the first, the others are dropped."""
    path = Path(version, mtu=(9000, mtu))
    pieces = cut(path.asks(bytes(3000)), [64, 1400])
    out = path.send_all(pieces[::-1])

    if reason is None:
        assert packets.read(joined(out)).payload == bytes(3000)
    else:
        assert [len(each) for each in out] == [64 + 48]
        assert path.drops == {reason: 2}


@BOTH
def test_a_first_piece_too_large_is_answered(version: int) -> None:
    """Or the sender would never learn it (RFC 8201); the rest is dropped for that reason."""
    path = Path(version, mtu=(9000, 1300))
    header = Header(dont_fragment=True)
    packet = packets.udp(path.client, path.vip, bytes(3000), header=header)
    pieces = cut(packet, [1400])
    if version == 4:
        pieces[0] = with_octet(pieces[0], 6, pieces[0][6] | 0x40)
    (answer,) = path.send_all(pieces)

    assert judge.dissect(answer).payload.type == (3 if version == 4 else 2)
    assert path.drops == {"mtu-exceeded": 1}


def test_a_piece_without_a_hop_left_is_dropped() -> None:
    """An answer about a later one is forbidden (RFC 1122 section 3.2.2)."""
    path = Path()
    pieces = cut(path.asks(), SIZES)
    path.send(pieces[0])
    result = path.send(with_octet(pieces[1], 8, 1))

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.TTL_EXPIRED)


def test_a_piece_with_options_is_not_carried() -> None:
    """As no whole packet with options is."""
    path = Path()
    pieces = cut(path.asks(), SIZES)
    read = judge.IP(pieces[1])
    header = Header(
        dont_fragment=False,
        more_fragments=True,
        fragment_offset=read.frag,
        identification=77,
        options=b"\1\1\1\0",
    )
    ends = packets.split_endpoint(path.client)[0], packets.split_endpoint(path.vip)[0]
    path.send(pieces[0])
    result = path.send(packets.ip(*ends, 17, pieces[1][20:], header))

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.UNSUPPORTED)


@pytest.mark.parametrize("again", [False, True])
def test_pieces_do_not_outlive_their_flow(again: bool) -> None:
    """Flushed: also where the row is another flow's by then."""
    path = Path()
    pieces = cut(path.asks(), SIZES)
    path.send(pieces[0])
    path.engine.command("flush", 0.0)
    if again:
        path.send(path.asks(port=5001))
    result = path.send(pieces[1])

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.OUT_OF_STATE)


def test_a_flow_that_is_not_found_behind_its_first_piece_is_followed_by_none(
    monkeypatch: pytest.MonkeyPatch, one_by_one: None
) -> None:
    """A first piece that was forwarded has a flow; if not, the others are not guessed."""
    path = Path()
    monkeypatch.setattr(fragments_module, "lookup", lambda *_: 0)
    pieces = cut(path.asks(), SIZES)
    path.send(pieces[0])

    assert path.send(pieces[1]).reason is DropReason.OUT_OF_STATE


@BOTH
def test_all_pieces_of_a_datagram_get_the_same_new_identification(version: int) -> None:
    """Where flows share natlb's own address (RFC 6864); IPv6 has 32 bits of it, which stay."""
    path = Path(version)
    path.send(path.asks(b""))
    path.engine._flows.rows[1]["actions"] |= ACTION_IPID
    pieces = cut(path.asks(), SIZES, 4711)
    first = path.send(pieces[0]).packets[0]
    mine = int.from_bytes(first[4:6]) if version == 4 else 0
    out = [first, *path.send_all(pieces[1:])]

    assert joined(out)[-400:] == PAYLOAD
    if version == 4:
        assert {judge.IP(each).id for each in out} == {mine}


def test_pieces_of_a_flow_between_versions_are_crossed(
    monkeypatch: pytest.MonkeyPatch, one_by_one: None
) -> None:
    """By the part that knows how."""
    path = Path()
    pieces = cut(path.asks(), SIZES)
    path.send(pieces[0])
    path.engine._flows.rows[1]["actions"] |= ACTION_XLAT
    seen: list[Any] = []

    def note(*given: Any) -> int:
        seen.append(given)
        return 3 << 8 | 5

    monkeypatch.setattr(fragments_module, "cross_fragment", note)
    result = path.send(pieces[1])

    assert result.reason is DropReason.MARTIAN
    assert len(seen) == 1


@pytest.mark.parametrize("short", ["room", "frames"])
def test_what_cannot_be_released_is_dropped(
    short: str, monkeypatch: pytest.MonkeyPatch, one_by_one: None
) -> None:
    """Where packets that were cut took all the room of a batch."""
    path = Path()
    pieces = cut(path.asks(), SIZES)
    path.send(pieces[1])
    if short == "room":
        monkeypatch.setattr(fragments_module, "take_room", lambda *_: (-1, -1))
    else:
        monkeypatch.setattr(fragments_module, "is_output_full", lambda _: True)

    assert len(path.send(pieces[0]).packets) == 1
    assert (path.held, path.drops) == (0, {"queue-full": 1})


def test_a_whole_hold_is_released_at_once() -> None:
    """The pieces of a datagram as long as can be, backwards, and each of them small."""
    path = Path()
    pieces = cut(path.asks(bytes(2040)), [8] * 255)
    assert path.send_all(pieces[:0:-1]) == []
    out = path.send(pieces[0]).packets

    assert len(out) == 256
    assert packets.read(joined(out)).payload == bytes(2040)


def test_a_piece_by_the_other_side_is_of_another_datagram() -> None:
    """A forged one cannot poison what it cannot see."""
    path = Path()
    pieces = cut(path.asks(), SIZES)
    path.send(pieces[0])

    assert path.send(pieces[1], "private").verdict is Verdict.HOLD
    assert path.send(pieces[1], "public").verdict is Verdict.FORWARD


def test_a_tcp_segment_in_pieces_reaches_its_backend() -> None:
    """Rare, but legal; the first piece moves the flow."""
    path = Path()
    packet = packets.tcp(f"{CLIENT}:40000", f"{VIP}:80", "S", payload=PAYLOAD, header=MAY)
    out = path.send_all(cut(packet, SIZES)[::-1])

    assert joined(out)[20:] == judge.rebuilt(packet, f"{CLIENT}:40000", f"{B1}:8080")[20:]
    assert [flow.state for flow in path.engine.flows()] == ["opening"]


@BOTH
def test_a_header_of_extension_in_the_first_piece_is_no_gap(version: int) -> None:
    """IPv6: what stands behind the fragment header is part of the datagram."""
    path = Path(6)
    whole = path.asks()
    head, body = whole[:40], bytes([17, 0, 1, 4, 0, 0, 0, 0]) + whole[40:]
    pieces = [
        piece(head, 60, body[at : at + 104], at, 7, more=at + 104 < len(body))
        for at in range(0, len(body), 104)
    ]
    out = path.send_all(pieces[::-1] if version == 4 else pieces)

    assert len(out) == len(pieces)
    assert joined(out)[-400:] == PAYLOAD
    assert path.used == 0
