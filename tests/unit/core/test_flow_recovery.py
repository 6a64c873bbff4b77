"""A worker may be killed between any two stores; whoever takes over must find a sound table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from natlb.core.flow_recovery import recover
from natlb.core.layout import (
    CLOSED,
    CLOSING,
    CURRENT,
    ESTABLISHED,
    EVICTED,
    EXPIRED,
    FREE_HEAD,
    FRESH,
    MOST_BACKENDS,
    OPENED,
    SWEEP,
)
from natlb.core.lifetime import sweep_piece
from natlb.testing import packets
from tests.datapath import B1, B2, CLIENT, VIP, VIP6, broken_laws, engine, full_nat, live_rows
from tests.kernels import add_flow, client_key, needs_plain_kernels, table_of
from tests.watched import copy_of, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.core.counters import Counters
    from natlb.engine import Engine

needs_plain_kernels()

OTHER_VIP = "203.0.113.11"
SERVICES: dict[str, Any] = {
    "web": {
        "listen": [f"tcp://{VIP}:80", f"tcp://{OTHER_VIP}:80"],
        "backends": [f"{B1}:8080", f"{B2}:8080"],
    },
    "dns": {
        "listen": f"udp://{VIP}:53",
        "backends": [f"{B1}:5353", f"{B2}:5353"],
        "timeouts": {"udp": 30, "udp_unreplied": 10},
    },
    "web6": {"listen": f"tcp://[{VIP6}]:80", "backends": ["[fd00:9::11]:8080"]},
}
ROWS = 6
BYSTANDER = f"{CLIENT}:1111"


class Scenario:
    """A life of a table in steps; each is one thing that a worker does."""

    STORES, UNSOUND = 1000, 300  # of all its stores: at least so many, and so many mid-way

    @staticmethod
    def make_engine() -> Engine:
        """Return the engine whose table it is."""
        return engine(SERVICES, max_flows=ROWS)

    def __init__(self) -> None:
        """Begin with one established flow, which nothing below touches."""
        self.engine = self.make_engine()
        small = {"backends": 8, "services": 4, "notes": 8, "policy": 64, "affinities": 64}
        small |= {"programs": 1}
        counters = self.engine._counters
        self.counters = counters._replace(
            **{name: getattr(counters, name)[:size].copy() for name, size in small.items()}
        )
        self.flows = self.engine._flows
        self._use(self.flows, self.counters)
        self.now = 0.0
        self.server = self.call("S", BYSTANDER)
        self.answer("SA", BYSTANDER, self.server)
        self.call("A", BYSTANDER)

    def _use(self, flows: Any, counters: Any) -> None:
        self.engine._flows, self.engine._counters = flows, counters
        self.engine._core = self.engine._core._replace(flows=flows, counters=counters)

    def call(self, flags: str, client: str, vip: str = f"{VIP}:80") -> str:
        """Send a segment to a VIP; return which backend got it, if any."""
        result = self.engine.process(packets.tcp(client, vip, flags), self.now)
        return packets.read(result.packets[0]).destination if result.packets else ""

    def answer(self, flags: str, client: str, server: str) -> None:
        """Send a segment from a backend."""
        self.engine.process(packets.tcp(server, client, flags), self.now)

    def query(self, client: str) -> str:
        """Send a datagram to the VIP; return which backend got it."""
        result = self.engine.process(packets.udp(client, f"{VIP}:53", b"?"), self.now)
        return packets.read(result.packets[0]).destination

    def respond(self, client: str, server: str) -> None:
        """Send a datagram from a backend."""
        self.engine.process(packets.udp(server, client, b"!"), self.now)

    def open_a_flow(self) -> None:
        """SYN, SYN-ACK, ACK."""
        self.server = self.call("S", f"{CLIENT}:2001")
        self.answer("SA", f"{CLIENT}:2001", self.server)
        self.call("A", f"{CLIENT}:2001")

    def close_it(self) -> None:
        """FIN both ways."""
        self.call("FA", f"{CLIENT}:2001")
        self.answer("FA", f"{CLIENT}:2001", self.server)

    def reuse_its_port(self) -> None:
        """A SYN meets the closing flow: that one ends, and another begins."""
        self.call("S", f"{CLIENT}:2001")

    def meet_a_conflict(self) -> None:
        """The same client port, another VIP: the other backend has to do."""
        self.call("S", f"{CLIENT}:2001", f"{OTHER_VIP}:80")

    def find_no_way(self) -> None:
        """One more, and every backend's reply key is taken: a row is given back half made."""
        for port in (3001, 3002):
            for vip in (VIP, OTHER_VIP):
                self.call("S", f"{CLIENT}:{port}", f"{vip}:80")

    def be_refused(self) -> None:
        """A backend's reset: the flow is closing and was never confirmed."""
        server = self.call("S", f"{CLIENT}:2002")
        self.answer("RA", f"{CLIENT}:2002", server)

    def talk_udp(self) -> None:
        """A datagram each way."""
        self.respond(f"{CLIENT}:5000", self.query(f"{CLIENT}:5000"))

    def fill_up(self) -> None:
        """More flows than there are rows, one of them over IPv6."""
        self.call("S", "[2001:db8::2]:1000", f"[{VIP6}]:80")
        for port in range(4001, 4004):
            self.call("S", f"{CLIENT}:{port}")

    def reset_some(self) -> None:
        """A command ends flows, and tells both ends."""
        self.engine.command("flush service=web state=opening --reset", self.now)

    def let_one_run_out(self) -> None:
        """A packet meets a flow whose time is up."""
        self.query(f"{CLIENT}:5001")
        self.now += 20
        self.query(f"{CLIENT}:5001")

    def sweep(self) -> None:
        """The timer ends what has run out."""
        self.now += 60
        sweep_piece(self.engine._core, int(self.now * 1000))

    STEPS: tuple[Callable[[Any], None], ...] = (
        open_a_flow,
        close_it,
        reuse_its_port,
        meet_a_conflict,
        find_no_way,
        reset_some,
        be_refused,
        talk_udp,
        let_one_run_out,
        fill_up,
        sweep,
        reset_some,
        open_a_flow,
    )

    def play(self, before_store: Callable[[], None], at_step: Callable[[int], None]) -> None:
        """Do all steps over watched memory, and say before each which it is."""
        self._use(watch(self.flows, before_store), watch(self.counters, before_store))
        for number, step in enumerate(self.STEPS):
            at_step(number)
            step(self)
        at_step(len(self.STEPS))

    def live(self) -> dict[bytes, Any]:
        """Return the live flows: both keys, and the row."""
        rows = [self.flows.rows[number] for number in live_rows(self.flows)]
        return {_keys(row): row.item() for row in rows}


class Corners(Scenario):
    """What rows with one key, and full NAT, do to a table."""

    STORES, UNSOUND = 600, 100

    @staticmethod
    def make_engine() -> Engine:
        """Have a service of its own for each."""
        services = {
            "web": {"listen": f"tcp://{VIP}:80", "backends": [f"{B1}:8080"]},
            "dns": SERVICES["dns"] | {"datagrams": 1},
            "full": {"listen": f"tcp://{VIP}:81", "backends": [f"{B1}:81"], "nat": "full"},
        }
        return full_nat(services, max_flows=8, ports="2000-2001")

    def ask_twice(self) -> None:
        """Two datagrams to one backend, and one answer."""
        self.server = self.query(f"{CLIENT}:5000")
        self.query(f"{CLIENT}:5000")
        self.respond(f"{CLIENT}:5000", self.server)

    def detach(self) -> None:
        """The next goes to the other backend; the first still has to answer."""
        assert self.query(f"{CLIENT}:5000") != self.server

    def come_back(self) -> None:
        """Answered there, the client is given the first again, whose row is taken back."""
        other = f"{B2}:5353" if self.server.startswith(B1) else f"{B1}:5353"
        self.respond(f"{CLIENT}:5000", other)
        assert self.query(f"{CLIENT}:5000") == self.server

    def be_answered(self) -> None:
        """All that was asked: the next choice is a flow of its own."""
        for _ in range(3):
            self.respond(f"{CLIENT}:5000", self.server)
        self.query(f"{CLIENT}:5000")

    def talk_directly(self) -> None:
        """A backend answers a client that did not call the VIP."""
        for flags in ("SA", "A", "FA"):
            self.answer(flags, f"{CLIENT}:2002", f"{B1}:8080")

    def call_as_well(self) -> None:
        """By the same port: a source of natlb's own keeps the two apart."""
        assert self.call("S", f"{CLIENT}:2002") == f"{B1}:8080"

    def use_up_the_ports(self) -> None:
        """The third has none; the row is given back half made."""
        for port in (3001, 3002, 3003):
            self.call("S", f"{CLIENT}:{port}", f"{VIP}:81")

    def wait(self) -> None:
        """All timers run out but those of what is established."""
        self.now += 300
        sweep_piece(self.engine._core, int(self.now * 1000))

    STEPS = (
        ask_twice,
        detach,
        come_back,
        be_answered,
        ask_twice,
        detach,
        talk_directly,
        call_as_well,
        use_up_the_ports,
        wait,
        talk_directly,
        ask_twice,
        detach,
        wait,
    )


both = pytest.mark.parametrize("kind", [Scenario, Corners])


def _keys(row: Any) -> bytes:
    names = [f"{end}{lane}" for end in ("source", "destination") for lane in range(4)]
    names += ["source_port", "destination_port"]
    return b"".join(row[half][name].tobytes() for half in ("original", "reply") for name in names)


def killed_and_recovered(flows: Any, counters: Counters) -> tuple[Any, Counters]:
    """Return what a worker that takes over finds, recovered."""
    flows, counters = copy_of(flows), copy_of(counters)
    recover(flows, counters)
    return flows, counters


@both
def test_a_table_is_sound_again_whichever_store_the_worker_was_killed_at(
    kind: type[Scenario],
) -> None:
    """And every flow that the step in hand did not end is there, as it was."""
    survivors: list[set[bytes]] = []
    rehearsal = kind()
    rehearsal.play(lambda: None, lambda _: survivors.append(set(rehearsal.live())))
    scenario = kind()
    bystander = next(iter(scenario.live().items()))
    stores, unsound, step = [0], [0], [0]

    def look() -> None:
        stores[0] += 1
        unsound[0] += bool(broken_laws(scenario.flows, scenario.counters))
        flows, counters = killed_and_recovered(scenario.flows, scenario.counters)
        where = f"store {stores[0]}, step {kind.STEPS[step[0]].__name__}"
        assert not broken_laws(flows, counters), where
        found = {_keys(flows.rows[n]): flows.rows[n].item() for n in live_rows(flows)}
        assert found[bystander[0]] == bystander[1], where
        assert survivors[step[0]] & survivors[step[0] + 1] <= set(found), where

    def at_step(number: int) -> None:
        step[0] = min(number, len(kind.STEPS) - 1)

    scenario.play(look, at_step)

    assert survivors[-1] == set(scenario.live())
    assert stores[0] > kind.STORES
    assert unsound[0] > kind.UNSOUND  # that is what recovery is for


@both
def test_recovery_may_be_killed_too(kind: type[Scenario]) -> None:
    """At every one of its own stores, for some of the worker's: the next recovery ends it."""
    scenario = kind()
    stores = [0]

    def look() -> None:
        stores[0] += 1
        if stores[0] % 61 == 0 and broken_laws(scenario.flows, scenario.counters):
            flows, counters = copy_of(scenario.flows), copy_of(scenario.counters)

            def look_again() -> None:
                assert not broken_laws(*killed_and_recovered(flows, counters))

            recover(watch(flows, look_again), watch(counters, look_again))

    scenario.play(look, lambda _: None)

    assert stores[0] > kind.STORES


@both
def test_a_sound_table_is_not_changed(kind: type[Scenario]) -> None:
    """But for the order of the free list, which is lowest first then: the table stays dense."""
    scenario = kind()
    scenario.play(lambda: None, lambda _: None)
    before = {name: getattr(scenario.flows, name).copy() for name in ("rows", "buckets")}
    meta = scenario.flows.meta.copy()

    assert recover(scenario.flows, scenario.counters) == 0
    for name in ("link", "back"):
        before["rows"][name] = scenario.flows.rows[name]
    assert (scenario.flows.rows == before["rows"]).all()
    assert (scenario.flows.buckets == before["buckets"]).all()
    for place in set(range(meta.size)) - {FREE_HEAD, SWEEP}:
        assert scenario.flows.meta[place] == meta[place]


def test_half_made_and_half_ended_rows_are_counted() -> None:
    """The answer says how much was mended."""
    flows = table_of(8)
    for number in range(5):
        add_flow(flows, number)
    flows.rows["state"][[2, 4]] = 1, 2  # MAKING, ENDING
    counters = engine()._counters

    assert recover(flows, counters) == 2
    assert int(flows.meta[CURRENT]) == 3
    assert int(flows.meta[FREE_HEAD]) == 2
    assert int(flows.meta[FRESH]) == 6


def test_counts_left_by_the_dead_are_counted_anew() -> None:
    """A backend that holds nothing must not look as if it held something for ever."""
    flows = table_of(8)
    counters = engine()._counters
    counters.backends["current"] = 9
    counters.services["opening"] = 9
    counters.backends["closing"] = counters.services["closing"] = 9
    counters.backends["total"] = 9
    counters.loads[:] = 9
    number = add_flow(flows, 1)
    flows.rows[number]["backend"] = MOST_BACKENDS - 1
    closing = flows.rows[add_flow(flows, 2)]
    closing["state"], closing["backend"], closing["service"] = CLOSING, 7, 2
    recover(flows, counters)

    for counts in (counters.backends, counters.services):
        sums = [int(counts[field].sum()) for field in ("current", "opening", "closing")]
        assert sums == [2, 1, 1]
    assert counters.backends["current"][-1] == 1
    assert counters.backends["closing"][7] == counters.services["closing"][2] == 1
    assert (counters.backends["total"] == 9).all()
    assert int(counters.loads.sum()) == int(counters.loads[-1]) == 1
    assert client_key(1)["source_port"] == flows.rows[number]["original"]["source_port"]


@pytest.mark.parametrize("ended", [CLOSED, EXPIRED, EVICTED])
def test_every_kind_of_ending_is_balanced(ended: int) -> None:
    """What was opened is what ended, of whatever cause, and what lives."""
    flows = table_of(8)
    add_flow(flows, 1, ESTABLISHED)
    flows.meta[OPENED], flows.meta[ended] = 5, 4
    before = flows.meta.copy()
    recover(flows, engine()._counters)
    assert (flows.meta == before).all()
    flows.meta[ended] -= 1  # killed before it was counted
    recover(flows, engine()._counters)

    assert int(flows.meta[CLOSED] + flows.meta[EXPIRED] + flows.meta[EVICTED]) == 4
    flows.meta[OPENED] -= 1
    recover(flows, engine()._counters)
    assert int(flows.meta[OPENED]) == 5
