"""Policies of a user's own in a running natlb: loaded, changed under traffic, refused, kept."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from natlb.errors import ConfigError
from tests.netns.process_lab import CONFIG, Load, ProcessLab, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

WITH_PROGRAM = f"{CONFIG}    policy: {{name: python, file: mine.py}}\n"
FIRST = "def pick(pool, flow):\n    return 0\n"
LAST = "def pick(pool, flow):\n    return len(pool.weights) - 1\n"
BROKEN = "def pick(pool, flow):\n    return open('x')\n"
OUTSIDE = "def pick(pool, flow):\n    return len(pool.weights)\n"
UNTYPED = "def pick(pool, flow):\n\n    return pool.weights[0.5]\n"
RUNAWAY = (  # for 198.51.100.2, which no sample has
    "def pick(pool, flow):\n    while flow.client[3] == 3325256706:\n"
    "        pool.state[0] += 1\n    return 0\n"
)


def write(lab: ProcessLab, text: str) -> None:
    """Write the policy."""
    (lab.folder / "mine.py").write_text(text)


@pytest.fixture(scope="module")
def running() -> Iterator[ProcessLab]:
    """Return one natlb for all tests of this file."""
    with ProcessLab("py") as made:
        made.configure(WITH_PROGRAM)
        write(made, FIRST)
        made.run()
        yield made


@pytest.fixture
def lab(running: ProcessLab) -> ProcessLab:
    """Return natlb as it was at its start."""
    write(running, FIRST)
    running.api.reload()
    return running


def spread(lab: ProcessLab, count: int = 6) -> Counter[str]:
    """Return which backends new connections get."""
    calls = [lab.call() for _ in range(count)]
    got = Counter(call.backend for call in calls)
    for call in calls:
        call.close()
    return got


def test_a_changed_file_is_taken_under_traffic_and_nothing_is_lost(lab: ProcessLab) -> None:
    """Connections stay, new ones are chosen for anew, and a call that comes meanwhile waits."""
    load = Load(lab, 8)
    worker = lab.pids()[2]
    write(lab, LAST)
    done = lab.api.reload()
    load.go_on()
    after = spread(lab)
    load.stop()

    assert list(done.changed) == ["web"]
    assert (set(load.owners), after) == ({"b1"}, {"b2": 6})
    assert load.failures == []
    assert lab.pids()[2] != worker
    assert lab.api.stats().workers[0].restarts == 0
    assert lab.said("child_died") == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [(BROKEN, "mine.py:2:12: calls 'open'"), (OUTSIDE, "mine.py:1:1"), (UNTYPED, "mine.py:3:1")],
)
def test_a_broken_file_is_refused_and_the_old_one_stays(
    lab: ProcessLab, text: str, said: str
) -> None:
    """With its line; the worker is the same."""
    worker, generation = lab.pids()[2], lab.api.status().generation
    write(lab, text)
    with pytest.raises(ConfigError) as caught:
        lab.api.reload()

    assert said in caught.value.message
    assert (lab.pids()[2], lab.api.status().generation) == (worker, generation)
    assert spread(lab) == {"b1": 6}


def test_a_runaway_loop_stops_no_call(lab: ProcessLab) -> None:
    """Turns by weight serve; it is counted, and told once."""
    write(lab, RUNAWAY)
    lab.api.reload()

    assert spread(lab) == {"b1": 3, "b2": 3}
    eventually(lambda: lab.said("policy_fell_back") == 1)


def test_a_worker_that_is_killed_is_replaced_by_one_that_knows_it(lab: ProcessLab) -> None:
    """What serves is what was loaded, though the file is another by now."""
    write(lab, LAST)
    lab.api.reload()
    write(lab, BROKEN)
    call = lab.call()
    _, control, worker = lab.pids()
    os.kill(worker, signal.SIGKILL)
    lab.wait_for_new_worker(worker)

    assert call.echo() == b"hello\n"
    assert spread(lab) == {"b2": 6}

    os.kill(control, signal.SIGKILL)
    eventually(lambda: lab.said("control_replaced"))
    worker = lab.pids()[2]
    os.kill(worker, signal.SIGKILL)
    lab.wait_for_new_worker(worker)

    assert spread(lab) == {"b2": 6}


def test_an_adopted_instance_goes_on_with_it(lab: ProcessLab) -> None:
    """A supervisor that takes over teaches its own nursery."""
    write(lab, LAST)
    lab.api.reload()
    run = lab.runs[-1]
    os.kill(run.pid, signal.SIGKILL)
    run.wait(10)
    lab.run()
    worker = lab.pids()[2]

    assert spread(lab) == {"b2": 6}
    os.kill(worker, signal.SIGKILL)
    lab.wait_for_new_worker(worker)
    assert spread(lab) == {"b2": 6}


@pytest.mark.parametrize("text", [BROKEN, OUTSIDE])
def test_a_broken_file_at_the_start_ends_it(text: str) -> None:
    """Exit 65 with the line, and nothing is left of it."""
    with ProcessLab("px") as lab:
        lab.configure(WITH_PROGRAM)
        write(lab, text)
        before = lab.network()
        run = lab.start()

        assert run.wait(150) == 65
        assert lab.said("error: mine.py:") == 1
        assert lab.network() == before
