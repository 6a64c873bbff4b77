"""What tests of ICMP errors share: a conversation of each kind, and errors about its packets."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from natlb.testing import packets
from natlb.testing.packets import join_endpoint, split_endpoint
from tests.datapath import CLIENT, CLIENT6, VIP, VIP6, engine

if TYPE_CHECKING:
    from natlb.engine import Engine

KINDS = list(product(("tcp", "udp"), (4, 6)))
ROUTER = {4: "192.0.2.77", 6: "2001:db8:7::77"}  # on the public side
INNER_ROUTER = {4: "10.50.0.1", 6: "fd00:50::1"}  # between natlb and the backends
UNREACHABLE = {4: (3, 3), 6: (1, 4)}
HEADER = {4: 20, 6: 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A flow with a packet each way: as its sender sent it, and as natlb sent it on."""

    path: Engine
    version: int
    client: str  # addresses
    vip: str
    server: str
    request: bytes
    request_sent: bytes
    answer: bytes
    answer_sent: bytes

    def quoted(self, packet: bytes, transport: int = 8) -> bytes:
        """Return the piece of a packet that a router quotes: so many octets of transport."""
        return packet[: HEADER[self.version] + transport]


def converse(
    protocol: str, version: int, path: Engine | None = None, *, payload: bytes = b"hello natlb"
) -> Conversation:
    """Have a client and a backend send one packet each, and return what they sent."""
    path = path or engine()
    client, vip = (CLIENT, VIP) if version == 4 else (CLIENT6, VIP6)
    source = join_endpoint(split_endpoint(client)[0], 40000)
    target = join_endpoint(split_endpoint(vip)[0], 80 if protocol == "tcp" else 53)
    if protocol == "tcp":
        request = packets.tcp(source, target, "S", payload=payload)
    else:
        request = packets.udp(source, target, payload)
    sent = path.process(request, 0.0).packets[0]
    server = packets.read(sent).destination
    if protocol == "tcp":
        answer = packets.tcp(server, source, "SA", acknowledgement=1001, payload=payload)
    else:
        answer = packets.udp(server, source, payload)
    answer_sent = path.process(answer, 0.0).packets[0]
    return Conversation(
        path=path,
        version=version,
        client=client,
        vip=vip,
        server=str(split_endpoint(server)[0]),
        request=request,
        request_sent=sent,
        answer=answer,
        answer_sent=answer_sent,
    )


def extended(version: int, quote: bytes, octets: int, extension: bytes) -> tuple[int, bytes]:
    """Return `rest` and text of an error with extensions behind `octets` of quote (RFC 4884)."""
    unit, shift = (4, 16) if version == 4 else (8, 24)
    return octets // unit << shift, quote[:octets].ljust(octets, b"\0") + extension


def extension_object() -> bytes:
    """Return an extension structure with one object, its checksum right (RFC 4884 section 7)."""
    text = struct.pack("!HHHBBI", 0x2000, 0, 8, 1, 1, 0x00012345)
    checksum = ~packets.sum_words(text) & 0xFFFF
    return text[:2] + struct.pack("!H", checksum) + text[4:]
