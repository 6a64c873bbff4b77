"""The worker's loop, whole, over queues that are socket pairs: compiled too."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.compile import Indices, Sides, compile_tables
from natlb.control.compile.requests import flush_commands
from natlb.control.config import config_from_mapping
from natlb.core import pipeline
from natlb.core.commands import GIVEN, TAKEN
from natlb.core.layout import CURRENT, DROPPED, FORWARDED, HELD, PRIVATE, PUBLIC, RECEIVED
from natlb.core.memory import Kind, load_items
from natlb.core.next_hops import ON_LINK
from natlb.io import loop as loop_module
from natlb.io.loop import PacketLoop
from natlb.io.ports import Port, PortKind
from natlb.io.shared import attach, create, create_flows, create_next_hops, create_tables
from natlb.model import FlowFilter
from natlb.testing import packets
from natlb.wire.reasons import INTERNAL
from tests.conformance.pieces import cut
from tests.datapath import B1, CLIENT, VIP, config, one_service
from tests.kernels import why_not_one_by_one
from tests.paper_hops import Paper
from tests.unit.io.queues import FakeQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.io.queues import Wake

CONFIG = config_from_mapping(config(one_service(backends=[f"{B1}:8080"])))
INDICES = Indices().assign(CONFIG, set(), set())


class Stand:
    """A loop over two queues, with the memory that outlives it."""

    def __init__(self, public: FakeQueue, private: FakeQueue, wake: Wake) -> None:
        """Attach a prepared loop."""
        self.public, self.private, self.wake = public, private, wake
        self.fds = {
            "flows": create_flows(1000, bytes(range(12)), 0),
            "counters": create(Kind.COUNTERS),
            "commands": create(Kind.COMMANDS),
            "events": create(Kind.EVENTS),
            "loads": create(Kind.LOADS, **load_items(1)),
        }
        self.flows = attach(Kind.FLOWS, self.fds["flows"])
        self.counters = attach(Kind.COUNTERS, self.fds["counters"])
        self.commands = attach(Kind.COMMANDS, self.fds["commands"])
        self.tables = create_tables(
            compile_tables(
                CONFIG, indices=INDICES, run_time={}, sides=Sides(), seed=1, generation=7
            )
        )
        self.loop = self.new_loop()

    def new_loop(self) -> PacketLoop:
        """Return another worker's loop over the same memory."""
        loop = PacketLoop()
        loop.prepare(lambda _: None)
        queues = (self.public, self.private)
        ports = [each.port(at) for at, each in enumerate(queues)]
        loop.attach(index=0, ports=ports, **self.fds)
        return loop

    def turn(self) -> str:
        """Let the loop take what waits, and be called away."""
        self.wake.call()
        return self.loop.run(self.wake.fd)

    def close(self) -> None:
        """Close what is open."""
        for fd in (*self.fds.values(), self.tables):
            os.close(fd)


@pytest.fixture
def stand(public: FakeQueue, private: FakeQueue, wake: Wake) -> Iterator[Stand]:
    """Return a loop that forwards."""
    made = Stand(public, private, wake)
    with contextlib.closing(made):
        assert made.loop.load_tables(made.tables) == 7
        yield made


def syn(port: int = 40000) -> bytes:
    """Return a client's first segment."""
    return packets.tcp(f"{CLIENT}:{port}", f"{VIP}:80")


def test_a_packet_goes_through_before_the_loop_comes_back(stand: Stand) -> None:
    """What waits in a queue is taken first; the answer finds its way by the other."""
    stand.public.arrive(syn())
    seen = stand.turn()
    ((_, sent),) = stand.private.left()
    stand.private.arrive(packets.tcp(f"{B1}:8080", f"{CLIENT}:40000", "SA"))
    os.eventfd_read(stand.wake.fd)
    stand.turn()
    ((_, answer),) = stand.public.left()

    assert seen == "wake"
    assert packets.read(sent).destination == f"{B1}:8080"
    assert packets.read(answer).source == f"{VIP}:80"
    assert stand.counters.totals[[RECEIVED, FORWARDED]].tolist() == [2, 2]


def test_a_queue_that_is_gone_ends_the_turn(stand: Stand) -> None:
    """The loop does not spin over it: whoever drives it is told."""
    stand.public.vanish()

    assert stand.loop.run(stand.wake.fd) == "queue-lost"


def test_another_loop_goes_on_with_the_same_flows(stand: Stand) -> None:
    """The table is not the worker's: a flow that one made, the next translates."""
    stand.public.arrive(syn())
    stand.turn()
    os.eventfd_read(stand.wake.fd)
    stand.loop = stand.new_loop()
    stand.loop.recover()
    stand.loop.load_tables(stand.tables)
    stand.private.arrive(packets.tcp(f"{B1}:8080", f"{CLIENT}:40000", "SA"))
    stand.turn()
    ((_, answer),) = stand.public.left()

    assert packets.read(answer).source == f"{VIP}:80"
    assert stand.flows.meta[CURRENT] == 1


def test_fragments_that_a_dead_worker_held_are_counted_as_dropped(stand: Stand) -> None:
    """The next one knows nothing of them; until then `held` is what it says."""
    first, later = cut(packets.tcp(f"{CLIENT}:40000", f"{VIP}:80", payload=bytes(64)), [40])
    stand.public.arrive(later)
    stand.turn()
    assert stand.counters.totals[[RECEIVED, HELD]].tolist() == [1, 1]
    os.eventfd_read(stand.wake.fd)
    stand.loop = stand.new_loop()
    stand.loop.recover()
    stand.loop.load_tables(stand.tables)
    stand.public.arrive(first)
    stand.turn()

    totals = stand.counters.totals
    assert totals[[RECEIVED, HELD, DROPPED, FORWARDED]].tolist() == [2, 0, 1, 1]
    assert stand.counters.drops[INTERNAL] == 1


def test_fragments_that_wait_in_vain_are_dropped_without_a_packet_to_move_them(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop looks at them while it waits."""
    if why_not_one_by_one():
        pytest.skip("the compiled loop has its own clock")
    clock = [0]
    monkeypatch.setattr(loop_module, "microseconds_now", lambda *_: 1000 * clock[0])
    _, later = cut(packets.tcp(f"{CLIENT}:40000", f"{VIP}:80", payload=bytes(64)), [40])
    stand.public.arrive(later)
    stand.turn()
    held = [int(stand.counters.totals[HELD])]
    for clock[0] in (2999, 3000):
        stand.turn()
        held.append(int(stand.counters.totals[HELD]))

    assert held == [1, 1, 0]
    assert stand.counters.totals[DROPPED] == 1


def test_a_command_is_done_and_its_resets_are_sent(stand: Stand) -> None:
    """Both ends of a flow that is flushed hear of it, each by its own side."""
    stand.public.arrive(syn())
    stand.private.arrive(packets.tcp(f"{B1}:8080", f"{CLIENT}:40000", "SA"))
    stand.turn()
    os.eventfd_read(stand.wake.fd)
    stand.public.left()
    stand.private.left()
    (command,) = flush_commands(INDICES, FlowFilter(), reset=True)
    stand.commands.ring[0] = command
    stand.commands.counts[GIVEN] = 1
    stand.turn()

    assert stand.commands.counts[TAKEN] == 1
    assert stand.flows.meta[CURRENT] == 0
    assert [len(side.left()) for side in (stand.public, stand.private)] == [1, 1]


def test_output_is_direct_where_next_hops_are_known(stand: Stand) -> None:
    """From the next wake on; of who is not in them, the host takes care."""
    wires = [FakeQueue(), FakeQueue()]
    outputs = [Port(PortKind.OUTPUT, side, each.inner.fileno()) for side, each in enumerate(wires)]
    stand.loop.attach(
        index=0,
        ports=[stand.public.port(PUBLIC), stand.private.port(PRIVATE), *outputs],
        **stand.fds,
    )
    paper = Paper()
    paper.link(0, 7, "0a0000000001")
    paper.route("10.0.0.0/8", ON_LINK, table=1)
    paper.neighbour(B1, table=1, mac="0a000000000b")
    hops = create_next_hops(paper.hops)
    with contextlib.closing(wires[0]), contextlib.closing(wires[1]):
        stand.public.arrive(syn())
        stand.turn()
        assert len(stand.private.left()) == 1
        stand.loop.load_next_hops(hops)
        os.close(hops)
        stand.public.arrive(syn(40001))
        stand.turn()
        ((_, sent),) = wires[PRIVATE].left()

    assert sent[:14].hex() == "0a000000000b" + "0a0000000001" + "0800"
    assert packets.read(sent[14:]).destination == f"{B1}:8080"
    assert stand.private.left() == []


def test_what_was_not_attached_does_not_run(wake: Wake) -> None:
    """A mistake of the caller's is said, not waited for."""
    loop = PacketLoop()
    for mistake in (lambda: loop.run(wake.fd), loop.recover):
        with pytest.raises(RuntimeError, match="attach"):
            mistake()


def test_memory_of_another_kind_is_refused(stand: Stand) -> None:
    """State is never misread."""
    with pytest.raises(ValueError, match="expected"):
        stand.loop.load_tables(stand.fds["flows"])


def test_a_fault_costs_one_packet_and_is_told(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Interpreted, where a fault can be put in: the first packet raises, its neighbours go on."""
    if reason := why_not_one_by_one():
        pytest.skip(reason)
    turn_batch, faults = pipeline.turn_batch, iter(["once"])

    def faulty(core: Any, *rest: Any) -> int:
        for _ in faults:
            core.batch.parsed["segments"] = 1  # which is what parse() begins with
            raise IndexError
        return turn_batch(core, *rest)

    monkeypatch.setattr(loop_module, "turn_batch", faulty)
    for port in (1, 2, 3):
        stand.public.arrive(syn(40000 + port))
    stand.turn()

    assert stand.counters.drops[INTERNAL] == 1
    assert stand.counters.totals[[DROPPED, FORWARDED]].tolist() == [1, 2]
    assert "packet_dropped reason=internal" in capfd.readouterr().err
