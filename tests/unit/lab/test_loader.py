from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from natlb.lab import loader
from natlb.lab.backend import Echo, datagram_sockets, serve_connection
from natlb.lab.loader import Kind, Outcome, Phase, Tally, percentiles, run_phase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PLAN = Phase(
    service="web",
    kind="connections",
    address="127.0.0.1",
    port=0,
    count=60,
    concurrency=6,
    sources=["127.0.0.2", "127.0.0.3"],
)


@asynccontextmanager
async def backend(kind: Kind, answer: bytes | None = None) -> AsyncIterator[int]:
    """Give the port of a backend called b1, or of a server that answers just these octets."""

    async def fixed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer or b"")
        writer.close()

    if kind == "datagrams":
        [sock] = datagram_sockets("127.0.0.1", 0)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Echo("b1"), sock=sock)
        yield sock.getsockname()[1]
        transport.close()
        return
    handler = partial(serve_connection, "b1") if answer is None else fixed
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def outcome_of(phase: Phase, *, answer: bytes | None = None, deadline: float = 20.0) -> Outcome:
    """Return what came of a phase sent to a backend."""

    async def sent() -> Outcome:
        async with backend(phase.kind, answer) as port:
            return await run_phase(replace(phase, port=port), deadline, lambda _: None)

    return asyncio.run(sent())


@pytest.mark.parametrize("kind", ["connections", "requests", "datagrams"])
def test_everything_is_sent_answered_and_counted(kind: Kind) -> None:
    """By the name of who answered, from all the addresses there are."""
    outcome = outcome_of(replace(PLAN, kind=kind))

    assert outcome.sent == outcome.answered == 60
    assert outcome.backends == {"b1": 60}
    assert outcome.errors == {}
    assert (outcome.sources, outcome.moved) == (2, 0)
    assert [*outcome.latency_ms] == ["p50", "p90", "p99", "max"]


def test_without_sources_the_kernel_chooses_one() -> None:
    """A client with one address need not name it."""
    assert outcome_of(replace(PLAN, sources=[])).answered == 60


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 503 Oh\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 503 Oh"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "connection closed before the"),
        (b"", "connection closed before the answer"),
    ],
)
@pytest.mark.parametrize("kind", ["connections", "requests"])
def test_an_answer_that_is_none_is_an_error(kind: Kind, answer: bytes, error: str) -> None:
    """Only a whole 200 counts as answered."""
    outcome = outcome_of(replace(PLAN, kind=kind), answer=answer)

    assert outcome.answered == 0
    [(reason, count)] = outcome.errors.items()
    assert count == 60
    assert reason.startswith(error)


@pytest.mark.parametrize("kind", ["connections", "requests", "datagrams"])
def test_nobody_listening_is_an_error_for_each_request(kind: Kind) -> None:
    """And it ends: what fails at once is not tried for ever."""
    phase = replace(PLAN, kind=kind, port=9)
    outcome = asyncio.run(run_phase(phase, 20.0, lambda _: None))

    assert outcome.errors == {"connection refused": 60}


def test_an_address_that_is_not_ours_is_an_error_for_each_request() -> None:
    """Even before anything is sent."""
    outcome = outcome_of(replace(PLAN, sources=["203.0.113.77"]))

    assert outcome.errors == {"cannot assign requested address": 60}


def test_silence_is_an_error_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost datagram is not waited for to the end of the phase."""
    monkeypatch.setattr(loader, "ANSWER_SECONDS", 0.02)

    async def sent() -> Outcome:
        [sock] = datagram_sockets("127.0.0.1", 0)
        with sock:
            phase = replace(PLAN, kind="datagrams", port=sock.getsockname()[1])
            return await run_phase(phase, 20.0, lambda _: None)

    assert asyncio.run(sent()).errors == {"no answer": 60}


def test_what_is_not_done_by_the_deadline_is_an_error() -> None:
    """So that no errors means that everything was sent and answered."""
    outcome = outcome_of(replace(PLAN, count=1_000_000), deadline=0.1)

    assert outcome.answered + outcome.errors["not done by the deadline"] == 1_000_000


def test_a_source_that_two_backends_answered_has_moved() -> None:
    """A policy that goes by the address promises that none does."""
    tally = Tally(PLAN)
    for source, name in (("a", "b1"), ("a", "b1"), ("b", "b1"), ("b", "b2")):
        tally.answered(source, name, 0)
    outcome = tally.outcome(1.0)

    assert (outcome.sources, outcome.moved) == (2, 1)
    assert outcome.backends == {"b1": 3, "b2": 1}


def test_percentiles_are_by_nearest_rank() -> None:
    """In milliseconds; none of nothing."""
    assert percentiles([]) == {}
    assert percentiles([1_000_000]) == {"p50": 1.0, "p90": 1.0, "p99": 1.0, "max": 1.0}
    hundred = percentiles([each * 1_000_000 for each in range(100)])
    assert hundred == {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 99.0}


def test_the_process_prints_an_outcome_for_each_phase() -> None:
    """One JSON object a line."""
    plan = {"phases": [asdict(replace(PLAN, port=9, count=2))] * 2, "deadline": 10}
    command = [sys.executable, "-m", "natlb.lab.loader", json.dumps(plan)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    assert [[*line] for line in lines] == [["outcome"], ["outcome"]]
    assert Outcome(**lines[0]["outcome"]).errors == {"connection refused": 2}
