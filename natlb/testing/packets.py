"""Packets from words, and back: the plain way, one field after the other, whole sums each time.

    tcp("198.51.100.2:40000", "203.0.113.10:80", "S")
    udp("[2001:db8::2]:5000", "[2001:db8:1::10]:53", b"hello")

Independent of `natlb.wire`, so that neither can hide the other's mistakes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

ICMP4, TCP, UDP, ICMP6 = 1, 6, 17, 58
CHECKSUM_AT = {TCP: 16, UDP: 6, ICMP4: 2, ICMP6: 2}
TCP_FLAGS = "FSRPAUEC"  # from the lowest bit up, as scapy spells them
TCP_HEADER, UDP_HEADER, IP4_HEADER, IP6_HEADER = 20, 8, 20, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a packet's IP header says beside its addresses; for IPv6, as far as it has it."""

    ttl: int = 64
    tos: int = 0
    identification: int = 1
    dont_fragment: bool = True
    more_fragments: bool = False
    fragment_offset: int = 0
    flow_label: int = 0
    options: bytes = b""


PLAIN = Header()
FIRST_SEQUENCE = 1000  # of a connection, unless the test says otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A packet's fields as words and numbers; ports, flags and numbers where there are any."""

    version: int
    protocol: int
    source: str
    destination: str
    ttl: int
    flags: str = ""
    sequence: int = 0
    acknowledgement: int = 0
    window: int = 0
    options: bytes = b""
    payload: bytes = b""

    @property
    def length(self) -> int:
        """How many sequence numbers a segment takes."""
        return len(self.payload) + ("S" in self.flags) + ("F" in self.flags)


def split_endpoint(text: str) -> tuple[Address, int]:
    """Return address and port of `198.51.100.2:80` or `[2001:db8::2]:80`; 0 where there is none."""
    host, _, port = text.rpartition(":")
    if "]:" in text or text.count(":") == 1:
        return ip_address(host.strip("[]")), int(port)
    return ip_address(text.strip("[]")), 0


def join_endpoint(address: Address, port: int) -> str:
    """Return `address:port`, IPv6 in brackets."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def sum_words(octets: bytes) -> int:
    """Return the one's complement sum of big-endian words, an odd octet padded with zero."""
    if len(octets) % 2:
        octets += b"\0"
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo_header(source: Address, destination: Address, protocol: int, length: int) -> bytes:
    """Return the pseudo-header that a transport checksum covers."""
    if source.version == 4:
        return source.packed + destination.packed + struct.pack("!BBH", 0, protocol, length)
    return source.packed + destination.packed + struct.pack("!IxxxB", length, protocol)


def ip(
    source: Address, destination: Address, protocol: int, payload: bytes, header: Header = PLAIN
) -> bytes:
    """Return an IP packet around a payload that is taken as it is."""
    if source.version == 6:
        first = 6 << 28 | header.tos << 20 | header.flow_label
        head = struct.pack("!IHBB", first, len(payload), protocol, header.ttl)
        return head + source.packed + destination.packed + payload
    options = header.options + bytes(-len(header.options) % 4)
    words = (IP4_HEADER + len(options)) // 4
    fragment = header.dont_fragment << 14 | header.more_fragments << 13 | header.fragment_offset
    head = struct.pack(
        "!BBHHHBBH",
        4 << 4 | words,
        header.tos,
        4 * words + len(payload),
        header.identification,
        fragment,
        header.ttl,
        protocol,
        0,
    )
    head += source.packed + destination.packed + options
    checksum = ~sum_words(head) & 0xFFFF
    return head[:10] + struct.pack("!H", checksum) + head[12:] + payload


def _with_checksum(source: Address, destination: Address, protocol: int, segment: bytes) -> bytes:
    """Return a segment whose checksum field is zero with that field filled in."""
    covered = segment
    if protocol != ICMP4:
        covered = pseudo_header(source, destination, protocol, len(segment)) + segment
    checksum = ~sum_words(covered) & 0xFFFF
    if protocol == UDP and checksum == 0:
        checksum = 0xFFFF
    at = CHECKSUM_AT[protocol]
    return segment[:at] + struct.pack("!H", checksum) + segment[at + 2 :]


def tcp(
    source: str,
    destination: str,
    flags: str = "S",
    *,
    sequence: int | None = None,
    acknowledgement: int | None = None,
    payload: bytes = b"",
    options: bytes = b"",
    window: int = 65535,
    header: Header = PLAIN,
) -> bytes:
    """Return a TCP segment; `flags` are letters as in `SA`.

    Numbers that are left out are those of a connection that has carried no data yet, of two ends
    that both began with 1000.
    """
    if sequence is None:
        sequence = FIRST_SEQUENCE if "S" in flags else FIRST_SEQUENCE + 1
    if acknowledgement is None:
        acknowledgement = FIRST_SEQUENCE + 1 if "A" in flags else 0
    (from_address, from_port), (to_address, to_port) = map(split_endpoint, (source, destination))
    options += bytes(-len(options) % 4)
    bits = sum(1 << TCP_FLAGS.index(letter) for letter in flags)
    segment = struct.pack(
        "!HHIIBBHHH",
        from_port,
        to_port,
        sequence & 0xFFFFFFFF,
        acknowledgement & 0xFFFFFFFF,
        (TCP_HEADER + len(options)) // 4 << 4,
        bits,
        window,
        0,
        0,
    )
    segment = _with_checksum(from_address, to_address, TCP, segment + options + payload)
    return ip(from_address, to_address, TCP, segment, header)


def udp(
    source: str,
    destination: str,
    payload: bytes = b"",
    *,
    checksum: int | None = None,
    header: Header = PLAIN,
) -> bytes:
    """Return a UDP datagram; with `checksum` 0, one whose sender computed none."""
    (from_address, from_port), (to_address, to_port) = map(split_endpoint, (source, destination))
    datagram = struct.pack("!HHHH", from_port, to_port, UDP_HEADER + len(payload), 0) + payload
    if checksum is None:
        datagram = _with_checksum(from_address, to_address, UDP, datagram)
    else:
        datagram = datagram[:6] + struct.pack("!H", checksum) + payload
    return ip(from_address, to_address, UDP, datagram, header)


def icmp(
    source: str,
    destination: str,
    kind: int,
    code: int = 0,
    rest: int = 0,
    payload: bytes = b"",
    *,
    header: Header = PLAIN,
) -> bytes:
    """Return an ICMP message of the addresses' version; `rest` is the header's second word."""
    from_address, to_address = ip_address(source), ip_address(destination)
    protocol = ICMP4 if from_address.version == 4 else ICMP6
    message = struct.pack("!BBHI", kind, code, 0, rest) + payload
    message = _with_checksum(from_address, to_address, protocol, message)
    return ip(from_address, to_address, protocol, message, header)


def echo_request(
    source: str, destination: str, payload: bytes = b"natlb", *, header: Header = PLAIN
) -> bytes:
    """Return a ping, identifier 7 and number 1."""
    kind = 8 if ip_address(source).version == 4 else 128
    return icmp(source, destination, kind, 0, 7 << 16 | 1, payload, header=header)


def transport_at(packet: bytes) -> int:
    """Return where the transport header of a packet without extension headers begins."""
    return (packet[0] & 0x0F) * 4 if packet[0] >> 4 == 4 else IP6_HEADER


def read(packet: bytes) -> Read:
    """Return a packet's fields; extension headers are not looked behind."""
    at = transport_at(packet)
    version = packet[0] >> 4
    if version == 4:
        addresses = ip_address(packet[12:16]), ip_address(packet[16:20])
        ttl, protocol, end = packet[8], packet[9], struct.unpack_from("!H", packet, 2)[0]
    else:
        addresses = ip_address(packet[8:24]), ip_address(packet[24:40])
        ttl, protocol = packet[7], packet[6]
        end = IP6_HEADER + struct.unpack_from("!H", packet, 4)[0]
    ports, fields, payload_at = (0, 0), {}, at
    if protocol in (TCP, UDP):
        ports = struct.unpack_from("!HH", packet, at)
        payload_at = at + UDP_HEADER
    if protocol == TCP:
        numbers = struct.unpack_from("!IIBBH", packet, at + 4)
        sequence, acknowledgement, offset, bits, window = numbers
        flags = "".join(letter for bit, letter in enumerate(TCP_FLAGS) if bits >> bit & 1)
        fields = {"flags": flags, "sequence": sequence, "acknowledgement": acknowledgement}
        payload_at = at + (offset >> 4) * 4
        fields |= {"window": window, "options": packet[at + TCP_HEADER : payload_at]}
    ends = [
        join_endpoint(address, port) if protocol in (TCP, UDP) else str(address)
        for address, port in zip(addresses, ports, strict=True)
    ]
    return Read(
        version=version,
        protocol=protocol,
        source=ends[0],
        destination=ends[1],
        ttl=ttl,
        payload=packet[payload_at:end],
        **fields,
    )


def readdressed(packet: bytes, source: str, destination: str) -> bytes:
    """Return a TCP or UDP packet with these ends, and whole sums instead of its own.

    UDP without a checksum stays without.
    """
    (from_address, from_port), (to_address, to_port) = map(split_endpoint, (source, destination))
    at = transport_at(packet)
    protocol = packet[9] if packet[0] >> 4 == 4 else packet[6]
    segment = struct.pack("!HH", from_port, to_port) + packet[at + 4 :]
    field = CHECKSUM_AT[protocol]
    if protocol == TCP or segment[field : field + 2] != bytes(2):
        segment = segment[:field] + bytes(2) + segment[field + 2 :]
        segment = _with_checksum(from_address, to_address, protocol, segment)
    if at == IP6_HEADER:
        return packet[:8] + from_address.packed + to_address.packed + segment
    head = packet[:10] + bytes(2) + from_address.packed + to_address.packed + packet[20:at]
    total = ~sum_words(head) & 0xFFFF
    return head[:10] + struct.pack("!H", total) + head[12:] + segment


def unfinished(packet: bytes) -> bytes:
    """Return a TCP or UDP packet as a sender with checksum offload leaves it.

    Its checksum field holds the pseudo-header's sum alone, not inverted.
    """
    at, protocol, addresses = _transport_of(packet)
    total = sum_words(pseudo_header(*addresses, protocol, len(packet) - at))
    field = at + CHECKSUM_AT[protocol]
    return packet[:field] + struct.pack("!H", total) + packet[field + 2 :]


def finished(packet: bytes) -> bytes:
    """Return such a packet as the device sends it: its field covers the segment now.

    The field's own value is part of the sum, as in Linux's skb_checksum_help(): a device knows no
    pseudo-header.
    """
    at, protocol, _ = _transport_of(packet)
    checksum = ~sum_words(packet[at:]) & 0xFFFF
    if protocol == UDP and checksum == 0:
        checksum = 0xFFFF
    field = at + CHECKSUM_AT[protocol]
    return packet[:field] + struct.pack("!H", checksum) + packet[field + 2 :]


def _transport_of(packet: bytes) -> tuple[int, int, tuple[Address, Address]]:
    """Return where the transport header begins, its protocol, and both addresses."""
    fields = read(packet)
    ends = split_endpoint(fields.source)[0], split_endpoint(fields.destination)[0]
    return transport_at(packet), fields.protocol, ends


def faults(packet: bytes) -> list[str]:
    """Return what a receiver would hold against a packet: its lengths and its checksums."""
    found = []
    at, protocol, addresses = _transport_of(packet)
    length_at = 2 if packet[0] >> 4 == 4 else 4
    said = struct.unpack_from("!H", packet, length_at)[0] + (0 if length_at == 2 else IP6_HEADER)
    if said != len(packet):
        found.append(f"says {said} octets and has {len(packet)}")
    if length_at == 2 and sum_words(packet[:at]) != 0xFFFF:
        found.append("wrong header checksum")
    if protocol not in CHECKSUM_AT or _is_unchecked(packet, at, protocol):
        return found
    covered = packet[at:]
    if protocol != ICMP4:
        covered = pseudo_header(*addresses, protocol, len(packet) - at) + covered
    if sum_words(covered) != 0xFFFF:
        found.append("wrong transport checksum")
    return found


def _is_unchecked(packet: bytes, at: int, protocol: int) -> bool:
    """Return whether a packet is UDP over IPv4 whose sender computed no checksum."""
    return protocol == UDP and packet[0] >> 4 == 4 and packet[at + 6 : at + 8] == b"\0\0"
