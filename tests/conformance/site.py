"""A site for rows of conformance: a client, a VIP and two backends of one IP version, an engine.

Every packet goes through `Site.send()`, which holds what must be true after each of them:

    I1  sums are right on output exactly if they were right on input
    I3  no private address leaves on the public side, in a header or in a quote
    I4  one packet in gives at most one out (but for pieces, and what was held)
    I6  no exception: nothing is dropped as `internal`
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Literal

from natlb.engine import Engine, PacketMeta, Result, SideName, Verdict
from natlb.testing import packets
from tests.datapath import assert_counts_agree
from tests.judge import is_sound

Version = Literal[4, 6]


def joined(address: str, port: int) -> str:
    """Return `address:port`, IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass
class Site:
    """Addresses by their part, and the engine between them; time is the site's own."""

    version: Version
    service: dict[str, Any] = field(default_factory=dict)
    datapath: dict[str, Any] = field(default_factory=dict)
    timeouts: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    backends: int = 2
    now: float = 0.0

    def __post_init__(self) -> None:
        """Start the engine: `web` on TCP 80 and `dns` on UDP 53, backends on 8080 and 5353."""
        four = self.version == 4
        self.client = "198.51.100.2" if four else "2001:db8:c::2"
        self.other_client = "198.51.100.3" if four else "2001:db8:c:1::3"
        self.router = "198.51.100.254" if four else "2001:db8:c::fe"
        self.inner_router = "10.9.0.254" if four else "fd00:9::fe"
        self.vip = "203.0.113.10" if four else "2001:db8:f::10"
        self.source = "10.9.0.100" if four else "fd00:9::100"
        host = "10.9.0.1{}" if four else "fd00:9::1{}"
        self.servers = [host.format(number + 1) for number in range(self.backends)]
        self.engine = Engine(self.config(), **self.options)

    def config(self, **service: Any) -> dict[str, Any]:
        """Return the configuration; words change both services."""
        changes = {**self.service, **service}
        web = {"backends": [joined(each, 8080) for each in self.servers], **changes}
        dns = {"backends": [joined(each, 5353) for each in self.servers], **changes}
        return {
            "datapath": {"max_flows": 1000, **self.datapath},
            "timeouts": self.timeouts,
            "services": {
                "web": {"listen": f"tcp://{joined(self.vip, 80)}", **web},
                "dns": {"listen": f"udp://{joined(self.vip, 53)}", **dns},
            },
        }

    def send(
        self, packet: bytes, side: SideName | None = None, *, many: bool = False, **meta: Any
    ) -> Result:
        """Send a packet, hold the invariants, and return what became of it.

        `many` lets more than one packet come out: pieces, and packets that were held.
        """
        given = PacketMeta(side=side, **meta) if side or meta else None
        result = self.engine.process(packet, self.now, given)
        self.hold(packet, result, many=many)
        return result

    def hold(self, packet: bytes, result: Result, *, many: bool = False) -> None:
        """Hold what must be true after every packet."""
        stats = self.engine.stats()
        assert_counts_agree(stats)
        assert "internal" not in stats.drops
        assert many or len(result.packets) <= 1
        private = [ip_address(each).packed for each in (*self.servers, self.inner_router)]
        for octets, way in zip(result.packets, result.sides, strict=True):
            if way == "public" and result.verdict is not Verdict.PASS:
                assert not any(each in octets for each in private), "a private address shows"
            if not many and result.verdict is Verdict.FORWARD and is_sound_whole(packet):
                assert is_sound(octets), octets.hex()

    def wait(self, seconds: float) -> None:
        """Let time pass, timers included."""
        self.now += seconds
        self.engine.tick(self.now)

    def at(self, who: str, port: int) -> str:
        """Return `address:port` of `client`, `vip`, ... by its name here, or of an address."""
        return joined(getattr(self, who, who), port)

    def udp(self, payload: bytes = b"x", *, sport: int = 5000, **words: Any) -> bytes:
        """Return a client's datagram to the VIP."""
        return packets.udp(self.at("client", sport), self.at("vip", 53), payload, **words)

    def answer(self, forwarded: bytes, payload: bytes = b"y", **words: Any) -> bytes:
        """Return the backend's datagram back to whoever a forwarded one came from."""
        seen = packets.read(forwarded)
        return packets.udp(seen.destination, seen.source, payload, **words)

    def tcp(self, flags: str, *, sport: int = 40000, **words: Any) -> bytes:
        """Return a client's segment to the VIP."""
        return packets.tcp(self.at("client", sport), self.at("vip", 80), flags, **words)

    def opened(self, sport: int = 40000, *, isn: int = 1000, server_isn: int = 5000) -> str:
        """Open a connection all the way; return the backend's end as the backend sees it."""
        syn = packets.read(self.send(self.tcp("S", sport=sport, sequence=isn)).packets[0])
        server, seen_as = syn.destination, syn.source
        self.send(packets.tcp(server, seen_as, "SA", sequence=server_isn, acknowledgement=isn + 1))
        ack = {"sequence": isn + 1, "acknowledgement": server_isn + 1}
        self.send(self.tcp("A", sport=sport, **ack))
        mine = self.at("client", sport)
        assert [flow.state for flow in self.engine.flows() if flow.client == mine] == [
            "established"
        ]
        return server

    def state(self, at: int = 0) -> str | None:
        """Return the state of a flow, or None where there is none."""
        flows = self.engine.flows()
        return flows[at].state if len(flows) > at else None


def is_sound_whole(packet: bytes) -> bool:
    """Return whether a packet came in with right sums, padding behind it apart."""
    return not packets.faults(packet)
