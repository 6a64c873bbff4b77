"""scapy as the independent judge: what a packet says, and how it reads with other ends.

The fast code never judges itself, nor does the kit that tests are written with.
"""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPv6
from scapy.packet import Raw

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
    "dissect",
    "is_sound",
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

    UDP over IPv4 keeps a checksum of zero.
    """
    read = dissect(packet)
    (from_address, from_port), (to_address, to_port) = map(split_endpoint, (source, destination))
    transport = read[TCP] if TCP in read else read[UDP]
    read.src, read.dst = str(from_address), str(to_address)
    transport.sport, transport.dport = from_port, to_port
    if IP in read:
        read.ttl -= hops
        del read.chksum
    else:
        read.hlim -= hops
    if TCP in read or transport.chksum != 0 or IPv6 in read:
        del transport.chksum
    return bytes(read)


def is_sound(packet: bytes) -> bool:
    """Return whether every length and checksum is what scapy would have written."""
    again = dissect(packet)
    for layer in (again, again.payload):
        for name in ("chksum", "cksum", "len", "plen"):
            if name in layer.fields and not (name == "chksum" and layer.fields[name] == 0):
                del layer.fields[name]
    again.clear_cache()
    return bytes(again) == packet
