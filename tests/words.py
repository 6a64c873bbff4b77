"""Packets as a line of words, as tests/cases/ has them.

    tcp 198.51.100.2:40000 > 203.0.113.10:80 S seq=1000 ack=0 ttl=64 "hello"
    udp [2001:db8::2]:5000 > [2001:db8:f::10]:53 sum=0 zeros=1400
    icmp 203.0.113.10 > 198.51.100.2 3/4 rest=1400 quoting=548
    ip 198.51.100.2 > 203.0.113.10 47 zeros=20
    hex 4500001400000000400000000a0000010a000002

`quoting=N` puts the first N octets of the packet answered into an ICMP error. `piece=N` is the
packet's fragment N of three: 64 octets, 80, and the rest. `padded=N` and `cut=N` add zeros behind a
packet and take its last octets away; `flip=N` changes a bit of octet N.
"""

from __future__ import annotations

import shlex
from ipaddress import ip_address

from natlb.testing import packets
from natlb.testing.packets import Header
from tests.conformance.pieces import cut

HEADER_WORDS = {
    "ttl": "ttl",
    "tos": "tos",
    "id": "identification",
    "df": "dont_fragment",
    "mf": "more_fragments",
    "offset": "fragment_offset",
    "flow": "flow_label",
}


def packet_of(line: str, answered: bytes = b"") -> bytes:
    """Return the packet that a line names; `answered` is what an ICMP error quotes."""
    kind, *words = shlex.split(line)
    if kind == "hex":
        return bytes.fromhex("".join(words))
    source, arrow, destination, *rest = words
    assert arrow == ">", line
    numbers = {key: int(value, 0) for key, _, value in (w.partition("=") for w in rest) if value}
    plain = [word for word in rest if "=" not in word]
    packet = _built(kind, (source, destination), plain, numbers, answered)
    packet += bytes(numbers.pop("padded", 0))
    packet = packet[: len(packet) - numbers.pop("cut", 0)]
    if (at := numbers.pop("piece", None)) is not None:
        packet = cut(packet, [64, 80])[at]
    if (at := numbers.pop("flip", None)) is not None:
        packet = packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1 :]
    assert not numbers, f"{line}: what is {numbers}?"
    return packet


def _built(
    kind: str, ends: tuple[str, str], plain: list[str], numbers: dict[str, int], answered: bytes
) -> bytes:
    header = Header(
        **{name: numbers.pop(word) for word, name in HEADER_WORDS.items() if word in numbers},  # type: ignore[arg-type]
        options=bytes([1] * numbers.pop("options", 0)),
    )
    first = plain.pop(0) if kind in ("icmp", "ip") else ""
    flags = plain.pop(0) if kind == "tcp" and plain and plain[0].isupper() else ""
    payload = "".join(plain).encode() + bytes(numbers.pop("zeros", 0))
    if kind == "tcp":
        sequence, acknowledgement = numbers.pop("seq", None), numbers.pop("ack", None)
        return packets.tcp(
            *ends,
            flags,
            sequence=sequence,
            acknowledgement=acknowledgement,
            window=numbers.pop("window", 65535),
            payload=payload,
            header=header,
        )
    if kind == "udp":
        return packets.udp(*ends, payload, checksum=numbers.pop("sum", None), header=header)
    if kind == "icmp":
        kind_of_error, code = map(int, first.split("/"))
        quote = answered[: numbers.pop("quoting", 0)]
        rest = numbers.pop("rest", 0)
        return packets.icmp(*ends, kind_of_error, code, rest, quote + payload, header=header)
    assert kind == "ip", kind
    return packets.ip(ip_address(ends[0]), ip_address(ends[1]), int(first), payload, header)
