from __future__ import annotations

import numpy as np
import pytest

from natlb.errors import UsageError
from natlb.simulation.workload import FIRST_CLIENT, FIRST_PORT, PORTS, draw_workload, settle
from tests.simulations import workload


def test_equal_seeds_give_equal_workloads_and_others_do_not() -> None:
    """A lecture's figures must come out again."""
    forms = {
        "arrivals": "poisson:10", "holding": "exp:1", "clients": "zipf:1:50", "handshake": "exp:1",
    }  # fmt: skip
    one, same, other = (draw_workload(flows=100, seed=seed, **forms) for seed in (1, 1, 2))

    for name in ("starts", "clients", "handshakes", "services"):
        assert (getattr(one, name) == getattr(same, name)).all()
        assert (getattr(one, name) != getattr(other, name)).any()


def test_one_form_changes_no_other() -> None:
    """Two runs with other holding times see the same clients at the same times."""
    short, long = workload(holding="exp:1"), workload(holding="exp:9")

    assert (short.starts == long.starts).all()
    assert (short.clients == long.clients).all()


def test_times_are_microseconds_from_the_first_on() -> None:
    """The last flow's start is the span."""
    flows = workload(3, arrivals="constant:100")

    assert list(flows.starts) == [10_000, 20_000, 30_000]
    assert flows.span_us == 30_000
    assert set(flows.services) == {100_000}


def test_a_client_s_flows_have_ports_of_their_own() -> None:
    """Else two of them would be one."""
    flows = workload(500, clients="uniform:7")
    pairs = set(zip(flows.clients, flows.ports, strict=True))

    assert len(pairs) == 500
    assert flows.clients.min() >= FIRST_CLIENT
    assert flows.ports.min() == FIRST_PORT


def test_ports_begin_anew_after_the_last() -> None:
    """A client that calls very often uses them again."""
    count = PORTS + 2
    nothing = np.zeros(count)
    flows = settle(
        starts=np.arange(count, dtype=np.float64),
        clients=np.zeros(count, np.int64),
        handshakes=nothing,
        services=nothing,
    )

    assert list(flows.ports[-3:]) == [65535, FIRST_PORT, FIRST_PORT + 1]


def test_flows_are_put_in_order() -> None:
    """With all that is theirs."""
    flows = settle(
        starts=np.array([2.0, 1.0]),
        clients=np.array([5, 6]),
        handshakes=np.array([0.2, 0.1]),
        services=np.array([20.0, 10.0]),
    )

    assert list(flows.clients - FIRST_CLIENT) == [6, 5]
    assert list(flows.services) == [10_000_000, 20_000_000]
    assert list(flows.handshakes) == [100_000, 200_000]


def test_a_duration_without_end_is_cut() -> None:
    """Pareto's tail must not pass 63 bits."""
    assert workload(1, holding="pareto:0.001:1e9").services[0] == 1 << 50


@pytest.mark.parametrize("flows", [0, -1, (1 << 24) + 1])
def test_as_many_flows_as_the_table_can_have(flows) -> None:
    """And one at least."""
    with pytest.raises(UsageError, match="--flows"):
        workload(flows)


def test_a_trace_says_when_flows_come(tmp_path) -> None:
    """As many as there are, or as were asked for."""
    file = tmp_path / "trace"
    file.write_text("5\n6\n8\n")

    assert list(workload(10, arrivals=f"trace:{file}").starts) == [0, 1_000_000, 3_000_000]
    assert list(workload(2, arrivals=f"trace:{file}").starts) == [0, 1_000_000]
