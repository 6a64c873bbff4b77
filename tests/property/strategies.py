"""What properties draw: ends, payloads with the words that checksums stumble over, packets."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from natlb.engine import Engine
from natlb.testing import packets
from natlb.testing.packets import Header, join_endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

EDGE_WORDS = st.sampled_from([b"\0\0", b"\xff\xff", b"\0\1", b"\xff\xfe", b"\x80\0", b"\x7f\xff"])
PAYLOADS = st.one_of(
    st.binary(max_size=64),
    st.lists(EDGE_WORDS, max_size=40).map(b"".join),
    st.lists(EDGE_WORDS, max_size=40).map(lambda words: b"".join(words)[:-1]),
)
PORTS = st.one_of(st.sampled_from([1, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF]), st.integers(1, 0xFFFF))
WORDS = st.one_of(st.sampled_from([0, 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF]), st.integers(0, 0xFFFF))
NUMBERS = st.one_of(st.sampled_from([0, 1, 0x7FFFFFFF, 0xFFFFFFFF]), st.integers(0, 0xFFFFFFFF))
FLAGS = st.sampled_from(["S", "SEC", "A", "PA", "FA", "FPA", "PAU", "R", "RA", "SA"])


def addresses(version: int, network: int) -> Any:
    """Return unicast addresses of one network: 0 the clients', 1 the VIPs', 2 the backends'."""
    if version == 4:
        high = st.just((0xC633, 0xCB00, 0x0A09)[network])
        return st.builds(lambda a, b: IPv4Address(a << 16 | b), high, WORDS)
    first = (0x20010DB8, 0x2A0100FF, 0xFD000009)[network]
    lanes = st.tuples(*[WORDS] * 6)
    return lanes.map(
        lambda words: IPv6Address(
            first << 96 | sum(word << 16 * (5 - at) for at, word in enumerate(words))
        )
    )


@dataclass(frozen=True)
class Ends:
    """Who talks to whom: a client, a VIP and a backend, as `address:port`."""

    version: int
    client: str
    vip: str
    backend: str

    def engine(self, nat: str = "dnat", source: Sequence[str] = (), **options: Any) -> Engine:
        """Return an engine with that one backend behind that one VIP, for TCP and UDP."""
        services = {
            protocol: {"listen": f"{protocol}://{self.vip}", "backends": [self.backend], "nat": nat}
            for protocol in ("tcp", "udp")
        }
        datapath = {"max_flows": 16, "source": list(source)}
        return Engine({"datapath": datapath, "services": services}, **options)


@st.composite
def ends(draw: Any) -> Ends:
    """Return ends of either version; ports and addresses of all kinds."""
    version = draw(st.sampled_from([4, 6]))
    names = [join_endpoint(draw(addresses(version, network)), draw(PORTS)) for network in range(3)]
    return Ends(version, *names)


@st.composite
def headers(draw: Any) -> Header:
    """Return what an IP header may say and NAT must leave alone."""
    return Header(
        ttl=draw(st.integers(2, 255)),
        tos=draw(st.integers(0, 255)),
        identification=draw(WORDS),
        dont_fragment=draw(st.booleans()),
        flow_label=draw(st.integers(0, 0xFFFFF)),
    )


@st.composite
def segments(draw: Any, source: str, destination: str, flags: Any = FLAGS) -> bytes:
    """Return a TCP segment between two ends; options are whole and of any kind."""
    option = st.tuples(st.integers(2, 254), st.binary(max_size=6))
    options = b"".join(
        bytes([kind, len(body) + 2]) + body for kind, body in draw(st.lists(option, max_size=4))
    )
    return packets.tcp(
        source,
        destination,
        draw(flags),
        sequence=draw(NUMBERS),
        acknowledgement=draw(NUMBERS),
        window=draw(WORDS),
        options=options,
        payload=draw(PAYLOADS),
        header=draw(headers()),
    )


@st.composite
def datagrams(draw: Any, source: str, destination: str) -> bytes:
    """Return a UDP datagram between two ends, over IPv4 perhaps without a checksum."""
    without = ":" not in source.rpartition(":")[0] and draw(st.booleans())
    checksum = 0 if without and draw(st.booleans()) else None
    header = draw(headers())
    return packets.udp(source, destination, draw(PAYLOADS), checksum=checksum, header=header)
