"""The five packets of a flow's life, without payload: what the core follows is read from them.

All flows use the same numbers, so one packet of each kind serves all: the core keeps what it saw
of a flow in that flow's own row.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from natlb.core.layout import HEADROOM, PRIVATE, PUBLIC
from natlb.simulation.kernels.world import (
    ANSWER,
    BACKEND_FIN,
    CLIENT_FIN,
    CONFIRMATION,
    OPENING_PACKET,
    PACKETS,
)
from natlb.wire.fields import ACK, FIN, SYN, TCP, UDP
from natlb.wire.frame import set_plain
from natlb.wire.parse import parse
from natlb.wire.reasons import ACCEPTED

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from natlb.core.batch import Batch

CLIENT4 = bytes([100, 64, 0, 0])
CLIENT6 = bytes.fromhex("20010db8" + "00" * 12)
CLIENT_PORT = 1024
BEGIN, OTHER_BEGIN = 1000, 5000  # sequence numbers: the client's and the backend's first
WINDOW = 65535
HOPS = 64
FROM_BACKEND = (ANSWER, BACKEND_FIN)

# Packet -> flags, sequence number, acknowledgement.
SEGMENTS = {
    OPENING_PACKET: (SYN, BEGIN, 0),
    ANSWER: (SYN | ACK, OTHER_BEGIN, BEGIN + 1),
    CONFIRMATION: (ACK, BEGIN + 1, OTHER_BEGIN + 1),
    CLIENT_FIN: (FIN | ACK, BEGIN + 1, OTHER_BEGIN + 1),
    BACKEND_FIN: (FIN | ACK, OTHER_BEGIN + 1, BEGIN + 2),
}


def place_packets(batch: Batch, vip: IPv4Address | IPv6Address, port: int, protocol: int) -> None:
    """Put the packets into the batch's first slots, parsed as they would be off the wire."""
    for slot in range(PACKETS):
        client = CLIENT4 if vip.version == 4 else CLIENT6
        ends = [(client, CLIENT_PORT), (vip.packed, port)]
        if slot in FROM_BACKEND:
            ends.reverse()
        transport = _datagram(ends[0][1], ends[1][1])
        if protocol == TCP:
            transport = _segment(ends[0][1], ends[1][1], *SEGMENTS[slot])
        _place(batch, slot, _finished(ends[0][0], ends[1][0], protocol, transport))


def _place(batch: Batch, slot: int, packet: bytes) -> None:
    """Put a packet into its slot, and parse it."""
    frame, parsed = batch.frames[slot], batch.parsed[slot]
    batch.slots[slot, HEADROOM : HEADROOM + len(packet)] = np.frombuffer(packet, np.uint8)
    frame["slot"], frame["start"], frame["length"] = slot, HEADROOM, len(packet)
    frame["way"] = PRIVATE if slot in FROM_BACKEND else PUBLIC
    set_plain(frame)
    parse(batch.slots[slot, HEADROOM : HEADROOM + len(packet)], frame, parsed)
    assert parsed["refusal"] == ACCEPTED


def _segment(source: int, destination: int, flags: int, sequence: int, acknowledged: int) -> bytes:
    """Return a TCP header (RFC 9293 section 3.1), its checksum 0."""
    ports = source, destination, sequence, acknowledged
    return struct.pack("!HHIIBBHHH", *ports, 5 << 4, flags, WINDOW, 0, 0)


def _datagram(source: int, destination: int) -> bytes:
    """Return a UDP header (RFC 768), its checksum 0."""
    return struct.pack("!HHHH", source, destination, 8, 0)


def _finished(source: bytes, destination: bytes, protocol: int, transport: bytes) -> bytes:
    """Return an IP packet with all its checksums."""
    pseudo = source + destination + struct.pack("!HH", protocol, len(transport))
    at = 6 if protocol == UDP else 16
    total = struct.pack("!H", _checksum(pseudo + transport))
    transport = transport[:at] + total + transport[at + 2 :]
    if len(source) == 16:
        head = struct.pack("!IHBB", 6 << 28, len(transport), protocol, HOPS)
        return head + source + destination + transport
    start = struct.pack("!BBHHHBB", 4 << 4 | 5, 0, 20 + len(transport), 0, 1 << 14, HOPS, protocol)
    checksum = struct.pack("!H", _checksum(start + source + destination))
    return start + checksum + source + destination + transport


def _checksum(octets: bytes) -> int:
    """Return the Internet checksum (RFC 1071); never 0, which UDP takes for none."""
    total = sum(word for (word,) in struct.iter_unpack("!H", octets))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF
