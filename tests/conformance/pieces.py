"""Fragments made and put together again by hand: neither natlb's code nor scapy's."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from natlb.testing import packets
from natlb.testing.packets import sum_words

NEXT_HEADER = 44


def cut(packet: bytes, sizes: list[int], identification: int = 77) -> list[bytes]:
    """Return a packet as fragments whose payloads have these sizes; the last takes the rest."""
    head, body, protocol = _parts(packet)
    pieces, at = [], 0
    for number, size in enumerate([*sizes, len(body)]):
        is_last = number == len(sizes)
        octets = body[at:] if is_last else body[at : at + size]
        pieces.append(piece(head, protocol, octets, at, identification, more=not is_last))
        at += len(octets)
    return pieces


def _parts(packet: bytes) -> tuple[bytes, bytes, int]:
    at = 20 if packet[0] >> 4 == 4 else 40
    return packet[:at], packet[at:], packet[9] if packet[0] >> 4 == 4 else packet[6]


def piece(
    head: bytes, protocol: int, octets: bytes, offset: int, identification: int, *, more: bool
) -> bytes:
    """Return one fragment under a plain IP header."""
    if head[0] >> 4 == 4:
        new = bytearray(head[:20])
        struct.pack_into("!HHH", new, 2, 20 + len(octets), identification, more << 13 | offset // 8)
        new[10:12] = b"\0\0"
        struct.pack_into("!H", new, 10, ~sum_words(bytes(new)) & 0xFFFF)
        return bytes(new) + octets
    header = struct.pack("!BBHI", protocol, 0, offset | more, identification)
    first = head[:4] + struct.pack("!HB", 8 + len(octets), NEXT_HEADER) + head[7:40]
    return first + header + octets


def joined(pieces: list[bytes]) -> bytes:
    """Return the datagram that fragments make, in any order; they must fit without a gap."""
    head, protocol = b"", 0
    parts: dict[int, tuple[bytes, int]] = {}
    ids = set()
    for each in pieces:
        if each[0] >> 4 == 4:
            length, identification, field = struct.unpack_from("!HHH", each, 2)
            assert sum_words(each[:20]) == 0xFFFF
            offset, more, body = (field & 0x1FFF) * 8, field >> 13 & 1, each[20:length]
            protocol, head = each[9], each[:20]
        else:
            protocol, _, field, identification = struct.unpack_from("!BBHI", each, 40)
            offset, more, body = field & 0xFFF8, field & 1, each[48:]
            head = each[:40]
        ids.add(identification)
        parts[offset] = (body, more)
    assert len(ids) == 1, f"pieces of {len(ids)} datagrams"
    whole, at = b"", 0
    for offset in sorted(parts):
        assert offset == at, f"a gap at {at}"
        whole += parts[offset][0]
        at += len(parts[offset][0])
    assert not parts[max(parts)][1], "the last piece is missing"
    source, destination = _ends(head)
    return packets.ip(source, destination, protocol, whole)


def _ends(head: bytes) -> tuple[packets.Address, packets.Address]:
    if head[0] >> 4 == 4:
        return ip_address(head[12:16]), ip_address(head[16:20])
    return ip_address(head[8:24]), ip_address(head[24:40])
