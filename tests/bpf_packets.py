"""Random packets of all the kinds that steering tells apart, and whose they are by its rules.

A packet is made from its answer, so that no parser judges a parser. Octets that steering must not
look at are random.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import pack
from typing import TYPE_CHECKING

from natlb.core.steering import worker_of, worker_of_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Address = IPv4Address | IPv6Address

ICMP, TCP, UDP, ICMP6, SCTP = 1, 6, 17, 58, 132
VIPS = [ip_address(each) for each in ("203.0.113.10", "203.0.113.11", "2001:db8:2::10")]
SOURCES = [ip_address(each) for each in ("10.77.0.1", "10.77.0.9", "fd77::1", "fd77::8000:1")]
BACKENDS = [
    *(ip_address(f"10.77.1.{last}") for last in (*range(10, 40), 77, 255)),
    *(ip_address(f"fd77::1:{last:x}") for last in (*range(10, 40), 77, 0xFFFF)),
    ip_address("fd78::5"),
]


@dataclass(frozen=True)
class Case:
    """A packet and what tells its worker: an address, a port, or nothing (worker 0)."""

    packet: bytes
    by: Address | int | None
    word: str

    def worker(self, workers: int) -> int:
        """Return whose the packet is."""
        if self.by is None:
            return 0
        if isinstance(self.by, int):
            return worker_of_port(self.by, workers)
        return worker_of(lanes_of(self.by), workers)


def lanes_of(address: Address) -> tuple[int, int, int, int]:
    """Return an address as the core keeps it."""
    number = int(address) | (0xFFFF << 32 if address.version == 4 else 0)
    a, b, c, d = (number >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0))
    return a, b, c, d


def ip4(
    source: Address, destination: Address, protocol: int, rest: bytes, offset: int = 0
) -> bytes:
    """Return an IPv4 packet, with options now and then."""
    options = random.randbytes(4 * random.choice((0, 0, 1, 10)))
    head = pack(
        ">BBHHHBBH",
        0x45 + len(options) // 4,
        random.getrandbits(8),
        20 + len(options) + len(rest),
        random.getrandbits(16),
        offset | random.choice((0, 0x2000, 0x4000)),
        random.getrandbits(8),
        protocol,
        random.getrandbits(16),
    )
    return head + source.packed + destination.packed + options + rest


def ip6(
    source: Address, destination: Address, protocol: int, rest: bytes, offset: int = 0
) -> bytes:
    """Return an IPv6 packet, with extension headers now and then."""
    extensions: list[tuple[int, bytes]] = [
        (kind, extension(kind, 0)) for kind in random.choices((0, 43, 44, 51, 60), k=draw_count())
    ]
    if offset:
        extensions.append((44, extension(44, offset)))
    for kind, octets in reversed(extensions):
        rest = bytes([protocol]) + octets + rest
        protocol = kind
    head = pack(">IHBB", 0x60000000 | random.getrandbits(28), len(rest), protocol, 64)
    return head + source.packed + destination.packed + rest


def draw_count() -> int:
    """Return how many extension headers a packet has: none, most often."""
    return random.choice((0, 0, 0, 0, 0, 1, 2, 3, 7))


def extension(kind: int, offset: int) -> bytes:
    """Return an extension header without its first octet."""
    if kind == 44:
        return bytes([random.getrandbits(8)]) + pack(">HI", offset | 1, random.getrandbits(32))
    words = random.choice((0, 1, 2))
    if kind == 51:
        return bytes([words + 1]) + random.randbytes(4 * (words + 3) - 2)
    return bytes([words]) + random.randbytes(8 * (words + 1) - 2)


def ip(source: Address, destination: Address, protocol: int, rest: bytes, offset: int = 0) -> bytes:
    """Return a packet of the addresses' version."""
    make = ip4 if source.version == 4 else ip6
    return make(source, destination, protocol, rest, offset)


def stranger(version: int) -> Address:
    """Return an address that is nobody's."""
    if version == 4:
        return IPv4Address(0xC6120000 | random.getrandbits(16))
    return IPv6Address(0x20010DB8_00090000 << 64 | random.getrandbits(64))


def ports(source: int, destination: int) -> bytes:
    """Return the beginning of a TCP or UDP header, and a little more."""
    return pack(">HH", source, destination) + random.randbytes(16)


def random_port() -> int:
    """Return a port."""
    return random.randrange(1, 65536)


def error(version: int, quoted: bytes) -> bytes:
    """Return an ICMP error about a packet."""
    kind = random.choice((3, 4, 5, 11, 12) if version == 4 else (1, 2, 3, 4))
    return bytes([kind, random.getrandbits(8)]) + random.randbytes(6) + quoted


def echo(version: int) -> bytes:
    """Return an ICMP question: no error, whatever its octets look like."""
    return bytes([8 if version == 4 else 128, 0]) + random.randbytes(60)


def icmp(version: int) -> int:
    """Return ICMP's number."""
    return ICMP if version == 4 else ICMP6


def own(addresses: list[Address], version: int) -> Address:
    """Return one of the addresses."""
    return random.choice([each for each in addresses if each.version == version])


def called(version: int) -> Iterator[Case]:
    """Yield packets to a VIP: of clients, from either side."""
    client, vip = stranger(version), own(VIPS, version)
    rest = ports(random_port(), 80)
    for protocol in (TCP, UDP, SCTP):
        yield Case(ip(client, vip, protocol, rest), client, "call")
    yield Case(ip(client, vip, UDP, random.randbytes(30), offset=0x100), client, "fragment")
    yield Case(ip(client, vip, icmp(version), echo(version)), client, "echo")
    quoted = ip(vip, client, TCP, rest)
    router = stranger(version)
    yield Case(ip(router, vip, icmp(version), error(version, quoted)), client, "error")
    late = ip(router, vip, icmp(version), error(version, quoted), offset=0x100)
    yield Case(late, router, "fragment of an error")


def answered(version: int) -> Iterator[Case]:
    """Yield packets to clients: of backends, or of routers before them."""
    client, backend = stranger(version), own(BACKENDS, version)
    rest = ports(80, random_port())
    for protocol in (TCP, UDP, SCTP):
        yield Case(ip(backend, client, protocol, rest), client, "answer")
    yield Case(ip(backend, client, UDP, random.randbytes(30), offset=0x100), client, "fragment")
    quoted = ip(client, backend, TCP, rest)
    router = stranger(version)
    yield Case(ip(router, client, icmp(version), error(version, quoted)), client, "error")


def full_nat(version: int) -> Iterator[Case]:
    """Yield packets to a source address of natlb's."""
    source, backend, port = own(SOURCES, version), own(BACKENDS, version), random_port()
    for protocol in (TCP, UDP):
        yield Case(ip(backend, source, protocol, ports(80, port)), port, "answer")
        quoted = ip(source, backend, protocol, ports(port, 80))
        whole = ip(stranger(version), source, icmp(version), error(version, quoted))
        yield Case(whole, port, "error")
    quoted = ip(source, backend, UDP, random.randbytes(30), offset=0x100)
    whole = ip(stranger(version), source, icmp(version), error(version, quoted))
    yield Case(whole, None, "error about a fragment")
    quoted = ip(source, backend, SCTP, random.randbytes(30))
    whole = ip(stranger(version), source, icmp(version), error(version, quoted))
    yield Case(whole, None, "error about what has no ports")
    yield Case(ip(backend, source, UDP, random.randbytes(30), offset=0x100), None, "fragment")
    yield Case(ip(backend, source, SCTP, ports(80, port)), None, "no ports")
    yield Case(ip(backend, source, icmp(version), echo(version)), None, "echo")


def neighbours() -> Iterator[Case]:
    """Yield what is nobody's flow."""
    group, neighbour = ip_address("ff02::1:ff00:10"), ip_address("fe80::5")
    for kind in (133, 134, 135, 136, 137):
        head = pack(">IHBB", 0x60000000, 24, ICMP6, 255)
        rest = bytes([kind, 0]) + random.randbytes(22)
        yield Case(head + neighbour.packed + group.packed + rest, None, "discovery")
    yield Case(pack(">HHHH", 1, 0x0800, 0x0604, 1) + random.randbytes(20), None, "arp")
    yield Case(b"", None, "nothing")
    yield Case(b"\x45\x00", None, "cut off")


PUBLIC_CASES = [called]
PRIVATE_CASES = [called, answered, full_nat]


def cases(side: int, count: int) -> Iterator[Case]:
    """Yield so many packets of a side, or a few more."""
    yield from neighbours()
    makers: Sequence[Callable[[int], Iterator[Case]]] = PRIVATE_CASES if side else PUBLIC_CASES
    made = 0
    while made < count:
        for maker in makers:
            for version in (4, 6):
                for case in maker(version):
                    made += 1
                    yield case
