"""A simulated network around an engine: clients, backends, and what happens on the way.

Packets are lost, doubled and delayed by a seeded generator, so a run is exact. Time is the
network's own and moves in steps.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from natlb.engine import Engine, PacketMeta, SideName, Verdict
from natlb.testing import packets
from natlb.testing.ends import TcpEnd

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

STEP = 0.01
REPEAT_AFTER = 0.2


class Flight(NamedTuple):
    """A packet on its way: `to` is an end's name, or the side of natlb it comes in by."""

    due: float
    number: int
    to: str
    octets: bytes


@dataclass(kw_only=True)
class Weather:
    """What happens to packets, each by chance."""

    lost: float = 0.0
    doubled: float = 0.0
    slowest: float = 0.02


@dataclass
class Network:
    """Clients on the public side of an engine, backends that answer anybody on the private one."""

    engine: Engine
    chance: random.Random
    weather: Weather
    answer: Callable[[str, bytes], bytes]
    now: float = 0.0
    clients: dict[str, TcpEnd] = field(default_factory=dict)
    servers: dict[tuple[str, str], TcpEnd] = field(default_factory=dict)
    seen_publicly: set[str] = field(default_factory=set)
    _flights: list[Flight] = field(default_factory=list)
    _number: int = 0

    def connect(self, client: str, vip: str, request: bytes) -> TcpEnd:
        """Have a client open a connection and send a request."""
        end = TcpEnd(client, vip, self.chance.getrandbits(32), request=request)
        self.clients[client] = end
        self._send("public", end.start())
        return end

    def run(self, until: float) -> None:
        """Let time pass."""
        repeated = self.now
        while self.now < until:
            self.now = round(self.now + STEP, 6)
            while self._flights and self._flights[0].due <= self.now:
                self._deliver(heapq.heappop(self._flights))
            if self.now - repeated >= REPEAT_AFTER:
                repeated = self.now
                self._repeat_all()
        self.engine.tick(self.now)

    def _repeat_all(self) -> None:
        """Let every timer run, natlb's too."""
        self.engine.tick(self.now)
        for end in self.clients.values():
            self._send("public", end.repeat())
        for end in self.servers.values():
            self._send("private", end.repeat())

    def deliver_resets(self, several: Iterable[bytes]) -> None:
        """Bring packets that a command sent to the ends that they name."""
        for octets in several:
            is_clients = packets.read(octets).destination in self.clients
            self._hand_over(octets, "public" if is_clients else "private")

    def _deliver(self, flight: Flight) -> None:
        if flight.to in ("public", "private"):
            side: SideName = "public" if flight.to == "public" else "private"
            result = self.engine.process(flight.octets, self.now, PacketMeta(side=side))
            if result.verdict is not Verdict.PASS:  # what was passed is the host's to route
                for octets, way in zip(result.packets, result.sides, strict=True):
                    self._hand_over(octets, way)
        elif flight.to == "client":
            fields = packets.read(flight.octets)
            if (end := self.clients.get(fields.destination)) is not None:
                self._send("public", end.take(flight.octets))
        else:
            self._send("private", self._server_of(flight.octets).take(flight.octets))

    def _hand_over(self, octets: bytes, way: SideName) -> None:
        """Send what left natlb to whom it names."""
        fields = packets.read(octets)
        if way == "public":
            self.seen_publicly |= {fields.source, fields.destination}
        if fields.flags:
            self._send("client" if way == "public" else "server", [octets])

    def _server_of(self, octets: bytes) -> TcpEnd:
        """Return the backend's end of a connection; a new one for a SYN of a new number."""
        fields = packets.read(octets)
        key = fields.destination, fields.source
        known = self.servers.get(key)
        if known is None or (known.is_done and fields.flags == "S"):
            known = TcpEnd(
                fields.destination,
                fields.source,
                self.chance.getrandbits(32),
                answer=lambda request: self.answer(fields.destination, request),
            )
            self.servers[key] = known
        return known

    def _send(self, to: str, several: Iterable[bytes]) -> None:
        for octets in several:
            copies = 1 + (self.chance.random() < self.weather.doubled)
            for _ in range(copies * (self.chance.random() >= self.weather.lost)):
                due = self.now + self.chance.random() * self.weather.slowest
                self._number += 1
                heapq.heappush(self._flights, Flight(due, self._number, to, octets))
