"""A flood of SYNs from forged addresses, with honest clients in the middle of it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from natlb.engine import Engine, Verdict
from natlb.testing import packets
from tests.datapath import VIP, VIP6, assert_counts_agree, broken_laws, engine

ROWS = 1000
ESTABLISHED = 50
EVERY = 20  # flood packets for one honest handshake
LATER = 5  # flood packets between two steps of a handshake


class Crowd:
    """Honest clients and a flood at one engine; `vip` says of which IP version all of them are."""

    def __init__(self, vip: str) -> None:
        """Begin at time 0 with an empty table."""
        self.path: Engine = engine(max_flows=ROWS)
        self.vip = vip
        self.now = 0.0
        self.random = Random(7)
        self.servers: dict[str, str] = {}
        self.refused = 0

    def send(self, source: str, destination: str, flags: str, **numbers: Any) -> Any:
        """Send a segment, and return what it became."""
        packet = packets.tcp(source, destination, flags, **numbers)
        return self.path.process(packet, self.now)

    def client(self, number: int) -> str:
        """Return an honest client's endpoint."""
        port = 1024 + number
        return f"[2001:db8:c::{number:x}]:{port}" if "[" in self.vip else f"198.51.100.2:{port}"

    def forged(self) -> str:
        """Return an endpoint that nobody has."""
        port = self.random.randrange(1024, 65536)
        if "[" in self.vip:
            return f"[2001:db8:{self.random.randrange(65536):x}::1]:{port}"
        return f"198.18.{self.random.randrange(256)}.{self.random.randrange(256)}:{port}"

    def call(self, client: str) -> None:
        """A SYN; the backend that gets it answers later."""
        result = self.send(client, self.vip, "S", sequence=1000)
        if result.verdict is Verdict.FORWARD:
            self.servers[client] = packets.read(result.packets[0]).destination

    def answer(self, client: str) -> None:
        """The backend's SYN-ACK."""
        server = self.servers[client]
        self.send(server, client, "SA", sequence=5000, acknowledgement=1001)

    def confirm(self, client: str) -> None:
        """The client's ACK."""
        self.send(client, self.vip, "A", sequence=1001, acknowledgement=5001)

    def reaches(self, client: str) -> bool:
        """Return whether a client's data still gets to the server it began with."""
        numbers = {"sequence": 1001, "acknowledgement": 5001}
        result = self.send(client, self.vip, "PA", **numbers)
        if result.verdict is not Verdict.FORWARD:
            return False
        return packets.read(result.packets[0]).destination == self.servers[client]


@pytest.mark.parametrize("vip", [f"{VIP}:80", f"[{VIP6}]:80"])
def test_a_flood_of_syns_harms_neither_the_established_nor_honest_handshakes(vip: str) -> None:
    """It fills the table twice over; what it leaves behind runs out, and the table is empty."""
    crowd = Crowd(vip)
    old = [crowd.client(number) for number in range(ESTABLISHED)]
    for client in old:
        for step in (crowd.call, crowd.answer, crowd.confirm):
            step(client)
    new: list[str] = []
    for turn in range(2 * ROWS):
        crowd.now += 0.001
        if turn % EVERY == 0:
            new.append(crowd.client(1000 + turn))
            crowd.call(new[-1])
        elif turn % EVERY == LATER:
            crowd.answer(new[-1])
        elif turn % EVERY == 2 * LATER:
            crowd.confirm(new[-1])
        assert crowd.send(crowd.forged(), vip, "S").verdict is Verdict.FORWARD
        if turn % 50 == 0:
            crowd.path.tick(crowd.now)
    path = crowd.path

    assert all(crowd.reaches(client) for client in old + new)
    states = [flow.state for flow in path.flows()]
    assert states.count("established") == len(old + new) == ESTABLISHED + 2 * ROWS // EVERY
    assert path.stats().flows.evicted > ROWS
    assert path.stats().drops == {}
    assert not broken_laws(path._flows, path._counters)
    path.tick(crowd.now + 7441)
    assert path.flows() == []
    assert not broken_laws(path._flows, path._counters)
    assert_counts_agree(path.stats())


def test_the_flood_runs_out_by_itself_while_the_pressure_lasts() -> None:
    """Three minutes before its own timers would, down to three quarters of the table."""
    crowd = Crowd(f"{VIP}:80")
    for _ in range(2 * ROWS):
        crowd.send(crowd.forged(), crowd.vip, "S")
    assert len(crowd.path.flows()) == ROWS
    crowd.path.tick(120.0)

    assert ROWS * 3 // 4 <= len(crowd.path.flows()) < ROWS * 0.9
    crowd.path.tick(240.0)
    assert crowd.path.flows() == []
