from __future__ import annotations

from typing import Any

from natlb.core.assembly import assemble
from natlb.core.batch import make_batch
from natlb.core.layout import WORKERS
from natlb.testing import packets
from tests.datapath import CLIENT, VIP, engine

WEB = f"{VIP}:80"


def taken_over(path: Any) -> Any:
    """Return the core of a worker that begins over an engine's memory."""
    core = path._core
    return assemble(core.tables, core.flows, core.counters, make_batch(1, 256))


def test_a_worker_has_memory_of_its_own_as_large_as_its_tables_ask_for() -> None:
    """Next to none for what is not configured."""
    plain = taken_over(engine(max_flows=1000))
    limited = taken_over(engine(datapath={"max_flows": 1000, "max_flows_per_source": 5}))

    assert plain.sources.counts.size == 1
    assert limited.sources.counts.size == 2048
    assert limited.sources.counts is not taken_over(engine()).sources.counts


def test_a_worker_that_takes_over_knows_how_many_flows_each_client_has() -> None:
    """The counts of the dead one are lost with it, the rows are not."""
    path = engine(datapath={"max_flows": 100, "max_flows_per_source": 9})
    for port in (1, 2, 3):
        path.process(packets.tcp(f"{CLIENT}:{port}", WEB), 0.0)
    path.process(packets.tcp("198.51.100.3:1", WEB), 0.0)
    counts = taken_over(path).sources.counts

    assert sorted(int(each) for each in counts["flows"] if each) == [1, 3]
    assert (counts == path._core.sources.counts).all()


def test_each_of_several_workers_follows_its_share_of_the_fragments() -> None:
    """All together follow what is configured."""
    path = engine()
    alone = taken_over(path).fragments
    path._core.flows.meta[WORKERS] = 4

    assert 3 < alone[0].size / taken_over(path).fragments[0].size < 5
