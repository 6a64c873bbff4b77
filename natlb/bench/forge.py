"""Many packets at once, as rows of an array: the load of the benchmarks. Valid, checksums and all.

Plain NumPy on whole columns: a million packets take a second, where one by one they take minutes.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

IP4 = [
    ("version", "u1"),
    ("tos", "u1"),
    ("length", ">u2"),
    ("identification", ">u2"),
    ("fragment", ">u2"),
    ("ttl", "u1"),
    ("protocol", "u1"),
    ("checksum", ">u2"),
    ("source", ">u4"),
    ("destination", ">u4"),
]
PORTS = [("source_port", ">u2"), ("destination_port", ">u2")]
UDP4 = np.dtype([*IP4, *PORTS, ("udp_length", ">u2"), ("sum", ">u2")])
TCP4 = np.dtype(
    [
        *IP4,
        *PORTS,
        ("sequence", ">u4"),
        ("acknowledgement", ">u4"),
        ("offset", "u1"),
        ("flags", "u1"),
        ("window", ">u2"),
        ("sum", ">u2"),
        ("urgent", ">u2"),
    ]
)
IP4_OCTETS = 20
UDP, TCP = 17, 6
SYN, ACK = 0x02, 0x10
DONT_FRAGMENT = 0x4000


class Ends(NamedTuple):
    """Where packets come from and go to: a column each."""

    source: NDArray[np.int64]
    source_port: NDArray[np.int64]
    destination: NDArray[np.int64]
    destination_port: NDArray[np.int64]

    def back(self) -> Ends:
        """Return the ends of the answers."""
        return Ends(self.destination, self.destination_port, self.source, self.source_port)

    def chosen(self, rows: NDArray[np.int64]) -> Ends:
        """Return the ends of these rows, in this order."""
        return Ends(*(column[rows] for column in self))


def call(count: int, first: str, addresses: int, server: str, port: int) -> Ends:
    """Return `count` clients that call a server: so many addresses in turn, then the next port."""
    numbers = np.arange(count, dtype=np.int64)
    client_ports = 10_000 + numbers // addresses
    if count and client_ports[-1] > 0xFFFF:
        message = f"{addresses} addresses have no {count} ports"
        raise ValueError(message)
    return Ends(
        int(IPv4Address(first)) + numbers % addresses,
        client_ports,
        np.full(count, int(IPv4Address(server)), np.int64),
        np.full(count, port, np.int64),
    )


def udp4(ends: Ends, payload: int) -> NDArray[np.uint8]:
    """Return a datagram for each row of `ends`, its payload all zero: `[row, octet]`."""
    packets = _ip4(UDP4, ends, UDP, payload)
    packets["udp_length"] = UDP4.itemsize - IP4_OCTETS + payload
    _set_transport_sum(packets, UDP, payload)
    packets["sum"] = np.where(packets["sum"] == 0, 0xFFFF, packets["sum"])
    return _octets(packets, payload)


def tcp4(ends: Ends, flags: int, payload: int = 0) -> NDArray[np.uint8]:
    """Return a segment for each row of `ends`: `[row, octet]`."""
    packets = _ip4(TCP4, ends, TCP, payload)
    packets["sequence"] = 1000
    packets["acknowledgement"] = 1001 if flags & ACK else 0
    packets["offset"] = (TCP4.itemsize - IP4_OCTETS) // 4 << 4
    packets["flags"] = flags
    packets["window"] = 0xFFFF
    _set_transport_sum(packets, TCP, payload)
    return _octets(packets, payload)


def _ip4(record: np.dtype[Any], ends: Ends, protocol: int, payload: int) -> NDArray[np.void]:
    """Return headers with all that IP says, its checksum included."""
    packets = np.zeros(ends.source.size, record)
    packets["version"] = 0x45
    packets["length"] = record.itemsize + payload
    packets["fragment"] = DONT_FRAGMENT
    packets["ttl"] = 64
    packets["protocol"] = protocol
    for name, column in ends._asdict().items():
        packets[name] = column
    packets["checksum"] = _checksum(_octets(packets)[:, :IP4_OCTETS])
    return packets


def _set_transport_sum(packets: NDArray[np.void], protocol: int, payload: int) -> None:
    """Write the transport checksum of segments whose payload is all zero."""
    octets = _octets(packets)[:, IP4_OCTETS - 8 :]  # addresses, then the segment
    length = octets.shape[1] - 8 + payload
    packets["sum"] = _checksum(octets, protocol + length)


def _checksum(octets: NDArray[np.uint8], more: int = 0) -> NDArray[np.int64]:
    """Return each row's Internet checksum (RFC 1071); rows have an even number of octets."""
    words = np.ascontiguousarray(octets).view(">u2")
    total: NDArray[np.int64] = words.sum(axis=1, dtype=np.int64) + more
    for _ in range(2):
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _octets(packets: NDArray[np.void], payload: int = 0) -> NDArray[np.uint8]:
    """Return records as rows of octets, with so many zeros behind each."""
    octets = packets.view(np.uint8).reshape(packets.size, packets.dtype.itemsize)
    return np.pad(octets, ((0, 0), (0, payload))) if payload else octets


def words_of(octets: NDArray[np.uint8], words: int) -> NDArray[np.uint64]:
    """Return the first `words` 64-bit words of each row, rows padded with zeros: to copy fast."""
    rows = np.zeros((octets.shape[0], 8 * words), np.uint8)
    width = min(octets.shape[1], 8 * words)
    rows[:, :width] = octets[:, :width]
    return rows.view(np.uint64)
