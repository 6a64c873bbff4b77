"""What must hold of any packet that leaves, told from octets alone: I1 to I4 of a NAT.

A transport checksum is judged by its residue: the one's complement sum of all that it covers, zero
where it is right. Translation must not change it: right stays right, and what is wrong stays wrong
by as much as before. None of natlb's code has a part in this, nor has the kit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from natlb.core.batch import COUNT_IN, OF_NO_PACKET, OUTPUT
from natlb.core.layout import PRIVATE, PUBLIC
from natlb.engine import Verdict
from natlb.testing.packets import split_endpoint
from tests.datapath import B1, B1_6, B2, B2_6, SOURCE, SOURCE6

if TYPE_CHECKING:
    from natlb.engine import Engine

ONES = 0xFFFF
ICMP4, TCP, UDP, ICMP6, FRAGMENT, AUTHENTICATION = 1, 6, 17, 58, 44, 51
CHECKSUM_AT = {TCP: 16, UDP: 6}
ICMP_HEADER = 8
EXTENSIONS = (0, 43, FRAGMENT, AUTHENTICATION, 60)
MOST_QUOTED = {4: 576, 6: 1280}
OWN = {split_endpoint(each)[0].packed for each in (SOURCE, SOURCE6)}
PRIVATE_ONES = OWN | {split_endpoint(each)[0].packed for each in (B1, B2, B1_6, B2_6)}


class Piece(NamedTuple):
    """A packet taken apart: its IP header's fields, and what lies behind it."""

    version: int
    protocol: int
    source: bytes
    destination: bytes
    tos: int
    ttl: int
    label: int  # IPv6: the flow label
    identification: int
    dont_fragment: bool
    more: bool
    offset: int  # octets of the datagram before it
    segment: bytes  # the transport header, if it has one, and all behind it

    @property
    def is_fragment(self) -> bool:
        """Return whether this is not all of its datagram."""
        return self.more or self.offset > 0

    @property
    def is_icmp(self) -> bool:
        """Return whether an ICMP header is here; what a later fragment says of that counts not."""
        return self.protocol in (ICMP4, ICMP6) and self.offset == 0


class Left(NamedTuple):
    """A packet that left: its octets, the side, and what is left to the device."""

    octets: bytes
    way: int
    needs_checksum: bool = False
    is_super: bool = False


def left_by(path: Engine) -> list[tuple[Verdict, list[Left]]]:
    """Return what became of each packet of an engine's batch: a verdict, and what was put out."""
    batch = path._batch
    count = int(batch.numbers[OUTPUT])
    found: list[tuple[Verdict, list[Left]]] = []
    for outcome in batch.outcomes[: int(batch.numbers[COUNT_IN])].tolist():
        verdict = Verdict(outcome & 0xFF)
        assert outcome >> 8 or verdict is not Verdict.DROP
        found.append((verdict, []))
    frames, origins = batch.output[:count].tolist(), batch.origins[:count].tolist()
    for frame, origin in zip(frames, origins, strict=True):
        slot, start, length, way, needs_checksum, _, _, gso_type, _ = frame
        octets = batch.slots[slot, start : start + length].tobytes()
        assert len(octets) == length
        assert origin != OF_NO_PACKET
        found[origin][1].append(Left(octets, way, bool(needs_checksum), bool(gso_type)))
    return found


def judge(
    verdict: Verdict,
    came: bytes,
    arrived: int,
    several: list[Left],
    mtus: tuple[int, int],
    *,
    unfinished: bool,
) -> None:
    """Hold all that must hold of a packet and what was put out for it."""
    assert bool(several) == (verdict not in (Verdict.HOLD, Verdict.DROP))
    if verdict is Verdict.FORWARD:
        judge_forwarded(came, arrived, several, mtus, unfinished=unfinished)
    elif verdict is Verdict.PASS:
        judge_passed(came, several)
    elif verdict is Verdict.REPLY:
        judge_reply(came, arrived, several)


def sum_of(octets: bytes) -> int:
    """Return the one's complement sum of words; 0 for either of its zeros."""
    if len(octets) % 2:
        octets += b"\0"
    return int.from_bytes(octets) % ONES


def taken_apart(packet: bytes) -> Piece:
    """Return the fields of a packet that stands; padding behind it is left out."""
    if packet[0] >> 4 == 4:
        at, field = (packet[0] & 15) * 4, int.from_bytes(packet[6:8])
        return Piece(
            version=4,
            protocol=packet[9],
            source=packet[12:16],
            destination=packet[16:20],
            tos=packet[1],
            ttl=packet[8],
            label=0,
            identification=int.from_bytes(packet[4:6]),
            dont_fragment=bool(field & 0x4000),
            more=bool(field & 0x2000),
            offset=(field & 0x1FFF) * 8,
            segment=packet[at : int.from_bytes(packet[2:4])],
        )
    first = int.from_bytes(packet[:4])
    protocol, at, identification, field = packet[6], 40, 0, 0
    while protocol in EXTENSIONS and field & 0xFFF8 == 0:
        following, length = packet[at], (packet[at + 1] + 1) * 8
        if protocol == FRAGMENT:
            field, identification = (
                int.from_bytes(packet[at + 2 : at + 4]),
                int.from_bytes(packet[at + 4 : at + 8]),
            )
            length = 8
        elif protocol == AUTHENTICATION:
            length = (packet[at + 1] + 2) * 4
        protocol, at = following, at + length
    return Piece(
        version=6,
        protocol=protocol,
        source=packet[8:24],
        destination=packet[24:40],
        tos=first >> 20 & 0xFF,
        ttl=packet[7],
        label=first & 0xFFFFF,
        identification=identification,
        dont_fragment=True,
        more=bool(field & 1),
        offset=field & 0xFFF8,
        segment=packet[at : 40 + int.from_bytes(packet[4:6])],
    )


def residue(piece: Piece, *, needs_checksum: bool = False) -> int:
    """Return what a packet's transport checksum is wrong by: 0 where it is right.

    Unfinished, its field says the pseudo-header's sum alone.
    """
    pseudo = 0
    if piece.protocol != ICMP4:
        pseudo = sum_of(piece.source + piece.destination) + len(piece.segment) + piece.protocol
    if needs_checksum:
        at = CHECKSUM_AT[piece.protocol]
        return (pseudo - int.from_bytes(piece.segment[at : at + 2])) % ONES
    return (pseudo + sum_of(piece.segment)) % ONES


def assert_sound_header(packet: bytes) -> None:
    """Hold an IP header's sum and length."""
    if packet[0] >> 4 == 4:
        assert sum_of(packet[: (packet[0] & 15) * 4]) == 0
        assert int.from_bytes(packet[2:4]) == len(packet)
    else:
        assert int.from_bytes(packet[4:6]) + 40 == len(packet)


def judge_forwarded(
    came: bytes, arrived: int, several: list[Left], mtus: tuple[int, int], *, unfinished: bool
) -> None:
    """Hold I1 to I4 for what a packet of a flow, or an error about one, became.

    Behind its own pieces there may be such as were held for it.
    """
    before = taken_apart(came)
    for left in several:
        assert_sound_header(left.octets)
        assert left.is_super or len(left.octets) <= mtus[left.way]
        assert PRIVATE in (left.way, arrived)
    after, count = joined([taken_apart(left.octets) for left in several], before)
    assert count == len(several) or before.is_fragment
    assert all(taken_apart(left.octets).offset for left in several[count:])
    assert len({left.way for left in several}) == 1
    way = several[0].way
    if before.is_icmp:
        assert count == 1
        _judge_error(before, after, way)
        return
    judge_header(before, after, arrived)
    if way == PUBLIC:
        assert not {after.source, after.destination} & PRIVATE_ONES
    if before.offset:
        assert after.segment == before.segment
    else:
        _judge_transport(
            before, after, unfinished=unfinished, needs_checksum=several[0].needs_checksum
        )


def joined(pieces: list[Piece], before: Piece) -> tuple[Piece, int]:
    """Return what a packet's own pieces, the first so many, make together, and how many they are.

    An error is one piece, and may be longer or shorter than before.
    """
    first, octets, count = pieces[0], pieces[0].segment, 1
    if before.is_icmp:
        return first, 1
    assert first.offset == before.offset
    while len(octets) < len(before.segment):
        piece = pieces[count]
        assert piece.offset == before.offset + len(octets)
        assert piece.identification == first.identification
        assert pieces[count - 1].more
        octets += piece.segment
        count += 1
    assert len(octets) == len(before.segment)
    assert pieces[count - 1].more == before.more
    return first._replace(segment=octets, more=before.more), count


def judge_header(before: Piece, after: Piece, arrived: int) -> None:
    """Hold I2 for what an IP header says beside sums and lengths."""
    assert (after.tos, after.ttl, after.protocol) == (before.tos, before.ttl, before.protocol)
    if after.version != before.version:
        return
    is_own = bool({before.destination, after.source} & OWN)
    assert after.label == before.label
    assert after.dont_fragment == before.dont_fragment
    assert after.identification == before.identification or is_own
    if is_own:
        return
    if arrived == PUBLIC:
        assert after.source == before.source
        assert before.offset or after.segment[:2] == before.segment[:2]
    else:
        assert after.destination == before.destination
        assert before.offset or after.segment[2:4] == before.segment[2:4]


def _judge_transport(
    before: Piece, after: Piece, *, unfinished: bool, needs_checksum: bool
) -> None:
    """Hold I1 and I2 for what has a transport header: ports and sum may change, a SYN's options."""
    at = CHECKSUM_AT[before.protocol]
    old, new = before.segment, after.segment
    assert new[4:at] == old[4:at]
    behind = at + 2
    if before.protocol == TCP and old[13] & 2:
        assert new[18:20] == old[18:20]
        behind = (old[12] >> 4) * 4
    assert new[behind:] == old[behind:]
    if before.protocol == UDP and old[6:8] == b"\0\0" and not unfinished:
        assert (new[6:8] == b"\0\0") == (after.version == 4)
        return
    left = residue(after, needs_checksum=needs_checksum)
    assert left == residue(before, needs_checksum=unfinished)


def _judge_error(before: Piece, after: Piece, way: int) -> None:
    """Hold I1 and I3 for an ICMP error: its own sum, its quote's header, whom both name."""
    assert residue(before) == residue(after) == 0
    quote = after.segment[ICMP_HEADER:]
    if after.version == 4:
        assert sum_of(quote[: (quote[0] & 15) * 4]) == 0
        quoted = {quote[12:16], quote[16:20]}
    else:
        quoted = {quote[8:24], quote[24:40]}
    assert after.destination in quoted
    if after.version == before.version:
        assert after.segment[:2] == before.segment[:2]
        assert after.segment[4:8] == before.segment[4:8]
        assert len(after.segment) == len(before.segment)
    if way == PUBLIC:
        assert not {after.source, after.destination, *quoted} & PRIVATE_ONES


def judge_passed(came: bytes, several: list[Left]) -> None:
    """Hold that what natlb is not concerned with is untouched, and what was held behind it too."""
    assert several[0].octets == came
    before = taken_apart(came)
    for left in several[1:]:
        assert before.is_fragment
        assert taken_apart(left.octets).offset
        assert left.way == several[0].way


def judge_reply(came: bytes, arrived: int, several: list[Left]) -> None:
    """Hold I1, I3 and I4 for natlb's own answer, and the pieces of an echo."""
    before = taken_apart(came)
    for left in several:
        assert_sound_header(left.octets)
        assert left.way == arrived
    first, octets = taken_apart(several[0].octets), several[0].octets
    if first.is_fragment:
        return
    assert len(several) == 1
    assert residue(first) == 0
    assert len(octets) <= max(len(came), MOST_QUOTED[first.version])
    if before.protocol == TCP and first.protocol == TCP:
        assert len(octets) <= len(came)
    if arrived == PUBLIC:
        assert not [each for each in PRIVATE_ONES if each in octets and each not in came]
