"""scapy as the independent judge: what a packet says, and how it reads with other ends.

The fast code never judges itself, nor does the kit that tests are written with.
"""

from __future__ import annotations

import struct
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror, in4_chksum
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    in6_chksum,
)
from scapy.packet import Raw
from scapy.utils import checksum

from natlb.testing.packets import split_endpoint

ERRORS6 = (ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded)

__all__ = [
    "ICMP",
    "IP",
    "TCP",
    "UDP",
    "ICMPv6DestUnreach",
    "ICMPv6PacketTooBig",
    "ICMPv6TimeExceeded",
    "IPerror",
    "IPv6",
    "Raw",
    "TCPerror",
    "UDPerror",
    "crossed",
    "dissect",
    "is_sound",
    "is_sound_error",
    "rebuilt",
]


def dissect(packet: bytes) -> Any:
    """Return a packet as scapy reads it, TCP's and UDP's payload as plain octets."""
    read = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    for layer in (TCP, UDP):
        if layer in read:
            octets = bytes(read[layer].payload)
            read[layer].remove_payload()
            if octets:
                read[layer].add_payload(Raw(octets))
    return read


def rebuilt(packet: bytes, source: str, destination: str, *, hops: int = 0) -> bytes:
    """Return a packet built anew with these ends and a TTL less by `hops`, all sums whole.

    TCP's options are kept as they are: scapy would write some of them otherwise. UDP over IPv4
    keeps a checksum of zero.
    """
    (from_address, from_port), (to_address, to_port) = map(split_endpoint, (source, destination))
    is_ip4 = packet[0] >> 4 == 4
    at = 4 * (packet[0] & 15) if is_ip4 else 40
    read = IP(packet[:at]) if is_ip4 else IPv6(packet[:at])
    protocol = read.proto if is_ip4 else read.nh
    read.src, read.dst = str(from_address), str(to_address)
    if is_ip4:
        read.ttl -= hops
        del read.chksum
    else:
        read.hlim -= hops
    field = {6: 16, 17: 6}[protocol]
    segment = struct.pack("!HH", from_port, to_port) + packet[at + 4 :]
    if protocol == 6 or segment[6:8] != b"\0\0":
        blank = segment[:field] + b"\0\0" + segment[field + 2 :]
        total = (in4_chksum if is_ip4 else in6_chksum)(protocol, read, blank)
        total = total or (0xFFFF if protocol == 17 else 0)
        segment = blank[:field] + struct.pack("!H", total) + blank[field + 2 :]
    return bytes(read / Raw(segment))


def crossed(packet: bytes, source: str, destination: str, identification: int = 0) -> bytes:
    """Return a packet without options built anew in the other IP version, by RFC 7915.

    An IPv4 packet's identification is the translator's to choose.
    """
    (from_address, from_port), (to_address, to_port) = map(split_endpoint, (source, destination))
    read: Any
    made: Any
    if packet[0] >> 4 == 4:
        read, at = IP(packet[:20]), 20
        made = IPv6(tc=read.tos, hlim=read.ttl, nh=read.proto)
        protocol, sum_over = read.proto, in6_chksum
    else:
        read, at = IPv6(packet[:40]), 40
        is_large = len(packet) - 20 > 1260
        made = IP(tos=read.tc, ttl=read.hlim, proto=read.nh, id=identification)
        made.flags = "DF" if is_large else ""
        protocol, sum_over = read.nh, in4_chksum
    made.src, made.dst = str(from_address), str(to_address)
    field = {6: 16, 17: 6}[protocol]
    segment = struct.pack("!HH", from_port, to_port) + packet[at + 4 :]
    blank = segment[:field] + b"\0\0" + segment[field + 2 :]
    total = sum_over(protocol, made, blank) or (0xFFFF if protocol == 17 else 0)
    return bytes(made / Raw(blank[:field] + struct.pack("!H", total) + blank[field + 2 :]))


def is_sound(packet: bytes) -> bool:
    """Return whether every length and checksum is what scapy would have written.

    Of ICMP only its own: what it quotes is cut short, which scapy would write otherwise.
    """
    if packet[9 if packet[0] >> 4 == 4 else 6] in (1, 58):
        return is_sound_error(packet)
    again = dissect(packet)
    for layer in (again, again.payload):
        for name in ("chksum", "cksum", "len", "plen"):
            if name in layer.fields and not (name == "chksum" and layer.fields[name] == 0):
                del layer.fields[name]
    again.clear_cache()
    return bytes(again) == packet


def is_sound_error(packet: bytes) -> bool:
    """Return whether an ICMP message's own lengths and checksums are right, whatever it quotes."""
    if packet[0] >> 4 == 4:
        at = 4 * (packet[0] & 15)
        sums = checksum(packet[:at]), checksum(packet[at:])
        return sums == (0, 0) and IP(packet).len == len(packet)
    read = IPv6(packet[:40])
    return in6_chksum(58, read, packet[40:]) == 0 and read.plen == len(packet) - 40
