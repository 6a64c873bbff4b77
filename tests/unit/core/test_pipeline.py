from __future__ import annotations

import gc
import sys
from typing import Any

import pytest

from natlb import jit
from natlb.core import arrival, decision, pipeline
from natlb.core.batch import COUNT_IN, FOUND_SO_FAR, OUTPUT, TRACKED_SO_FAR, start_batch
from natlb.core.housekeeping import keep_house
from natlb.core.pipeline import process_batch
from natlb.core.policy import pick
from natlb.core.state import TTL_ROUTE
from natlb.engine import DropReason, Verdict
from natlb.testing import packets
from tests.datapath import CLIENT, VIP, assert_counts_agree, broken_laws, engine

FROM, WEB = f"{CLIENT}:40000", f"{VIP}:80"
STAGES = ["parse", "hash_key", "first_tagged", "lookup", "translate", "arrive", "holds"]


def test_a_batch_is_the_same_as_its_packets_one_by_one() -> None:
    """Two passes must not be seen from outside: an earlier packet's flow is a later one's."""
    server = "10.9.0.11:8080"
    talk = [
        packets.tcp(FROM, WEB, "S"),
        packets.tcp(server, FROM, "SA"),
        packets.tcp(FROM, WEB, "A"),
        packets.tcp(FROM, WEB, "FA"),
        packets.tcp(server, FROM, "FA"),
        packets.tcp(FROM, WEB, "S", sequence=7),  # ends that flow and begins another
        packets.tcp(server, FROM, "A"),  # whose backend this is not
        packets.tcp(FROM, WEB, "PA", payload=b"x"),
        b"nonsense",
        packets.udp(FROM, f"{VIP}:53"),
    ]
    together, apart = engine(), engine()

    assert together.process_batch(talk, 0.0) == [apart.process(each, 0.0) for each in talk]
    assert together.stats() == apart.stats()
    assert together.flows() == apart.flows()
    assert_counts_agree(together.stats())


def test_more_packets_than_a_batch_holds_are_turned_in_several() -> None:
    """In order."""
    path = engine()
    sources = [f"{CLIENT}:{port}" for port in range(40000, 40150)]
    results = path.process_batch([packets.tcp(source, WEB) for source in sources], 0.0)

    assert [packets.read(result.packets[0]).source for result in results] == sources


@pytest.mark.skipif(jit.COMPILED, reason="compiled kernels cannot be made to raise")
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("error", [IndexError, OverflowError, ZeroDivisionError, KeyError])
def test_a_packet_that_raises_is_dropped_as_internal_and_the_rest_goes_on(
    stage: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of ours must not stop forwarding; it has a counter of its own."""
    path = engine()
    known = packets.tcp(FROM, WEB)
    path.process(known, 0.0)
    batch = [
        known,
        packets.tcp(f"{CLIENT}:666", WEB),
        packets.tcp(f"{CLIENT}:40001", WEB),
        packets.tcp(FROM, WEB, "S", payload=b"odd"),
    ]
    victim = 3 if stage in ("translate", "holds") else 1
    module = decision if hasattr(decision, stage) else pipeline
    real = getattr(module, stage)

    def raises(*arguments: Any) -> Any:
        if _is_about(path, stage, arguments, victim):
            raise error
        return real(*arguments)

    monkeypatch.setattr(module, stage, raises)
    results = path.process_batch(batch, 0.0)

    verdicts = [result.verdict for result in results]
    assert verdicts[victim] is Verdict.DROP
    assert results[victim].reason is DropReason.INTERNAL
    assert results[victim].packets == []
    assert [each for at, each in enumerate(verdicts) if at != victim] == [Verdict.FORWARD] * 3
    assert path.stats().drops == {"internal": 1}
    assert_counts_agree(path.stats())


def _is_about(path: Any, stage: str, arguments: tuple[Any, ...], victim: int) -> bool:
    """Return whether a stage was called for a packet of the batch."""
    if stage in ("translate", "arrive"):
        return bool(arguments[1] == victim)
    expected = path._batch.parsed[victim]
    if stage == "first_tagged":
        return bool(arguments[2] == expected["hash"])
    record = {"parse": 2, "hash_key": 1, "lookup": 1, "holds": 2}[stage]
    shown = arguments[record]
    return bool(shown.__array_interface__["data"] == expected.__array_interface__["data"])


@pytest.mark.skipif(jit.COMPILED, reason="compiled kernels cannot be made to raise")
def test_what_a_packet_put_out_before_it_raised_is_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is counted as dropped: then it must not be sent."""
    path = engine()
    real = arrival.arrive

    def raises(*arguments: Any) -> Any:
        real(*arguments)
        raise IndexError

    monkeypatch.setattr(decision, "arrive", raises)
    result = path.process(packets.tcp(FROM, WEB), 0.0)

    assert (result.reason, result.packets) == (DropReason.INTERNAL, [])
    assert path._batch.numbers[OUTPUT] == 0
    assert path.stats().packets.sent == 0
    assert_counts_agree(path.stats())


def test_every_packet_of_a_batch_is_settled_at_its_end() -> None:
    """The numbers say how far it came: a worker that takes over begins with the next."""
    path = engine()
    path.process_batch([packets.tcp(FROM, WEB), b"", packets.udp(FROM, WEB)], 0.0)
    numbers = path._batch.numbers

    assert numbers[COUNT_IN] == numbers[FOUND_SO_FAR] == numbers[TRACKED_SO_FAR] == 3


def test_one_packet_in_gives_at_most_one_out() -> None:
    """I4, over a batch of everything."""
    path = engine()
    batch = [packets.tcp(FROM, WEB)] * 2 + [packets.udp(FROM, f"{VIP}:9")] * 2 + [b"", b"\x45"]
    batch += [packets.echo_request(CLIENT, VIP), packets.tcp("10.9.0.11:1", "198.51.100.9:2")]

    assert all(len(result.packets) <= 1 for result in path.process_batch(batch, 0.0))
    assert not broken_laws(path._flows, path._counters)


@pytest.mark.skipif(not jit.COMPILED, reason="interpreted, every integer is allocated")
def test_turning_batches_allocates_nothing() -> None:
    """Neither in compiled code nor on Python's heap: a worker's memory does not grow (I6)."""
    from numba.core.runtime import _nrt_python, rtsys

    _nrt_python.memsys_enable_stats()
    path = engine()
    batch = [packets.tcp(f"{CLIENT}:{port}", WEB) for port in range(40000, 40060)]
    batch += [packets.udp(FROM, f"{VIP}:9"), packets.echo_request(CLIENT, VIP), b""]
    path.process_batch(batch, 0.0)
    frames = path._batch.frames.copy()
    nothing = rtsys.get_allocation_stats()

    def turn() -> None:
        for now in range(200):
            path._batch.frames[:] = frames
            start_batch(path._batch, len(batch))
            process_batch(path._core, now, TTL_ROUTE, pick)
            keep_house(path._core, now)

    turn()
    grown = []
    for _ in range(3):  # Python keeps a few blocks of its own now and then
        gc.collect()
        before = sys.getallocatedblocks()
        turn()
        grown.append(sys.getallocatedblocks() - before)

    assert rtsys.get_allocation_stats() == nothing
    assert min(grown) < 200, grown  # a batch that kept one block would make it 200
    assert path.stats().packets.received == len(batch) * 801
