"""Any process may be killed at any instant: no established flow breaks."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from natlb.client import Client
from natlb.errors import NatlbError
from natlb.netlink import Netlink
from tests.netns.process_lab import Load, ProcessLab, eventually, kill, status_field

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns


@pytest.fixture
def lab() -> Iterator[ProcessLab]:
    """Return a running natlb with its network."""
    with ProcessLab("s") as made:
        made.run()
        yield made


def is_replaced(lab: ProcessLab, control: int) -> bool:
    """Return whether another control answers."""
    with contextlib.suppress(NatlbError):
        return lab.pids()[1] != control
    return False


def test_a_killed_worker_is_replaced_and_connections_survive(lab: ProcessLab) -> None:
    """The flow table and the queues are not the worker's, and a warm spare waits."""
    load = Load(lab, 8)
    _, _, worker = lab.pids()
    before = lab.api.flows()
    for _ in range(5):
        load.go_on()
        kill(worker)
        worker = lab.wait_for_new_worker(worker)
    load.go_on()
    load.stop()

    assert load.failures == []
    assert {(flow.client, flow.backend) for flow in lab.api.flows()} == {
        (flow.client, flow.backend) for flow in before
    }
    assert lab.api.stats().workers[0].restarts == 5
    assert set(load.owners) == {"b1", "b2"}


def test_the_next_worker_takes_over_in_a_moment(lab: ProcessLab) -> None:
    """An import of Numba would take a second; the nursery has done that before, and forks."""
    _, _, worker = lab.pids()
    call = lab.call()
    kill(worker)
    started = time.monotonic()

    assert call.echo() == b"hello\n"
    assert time.monotonic() - started < 1.0


def test_a_killed_nursery_is_no_matter(lab: ProcessLab) -> None:
    """The worker is its child and does not die with it; the next worker comes of the next one."""
    call = lab.call()
    _, _, worker = lab.pids()
    nursery = int(status_field(worker, "PPid"))
    kill(nursery)

    assert call.echo() == b"hello\n"
    kill(worker)
    assert call.echo() == b"hello\n"
    assert lab.wait_for_new_worker(worker)


def test_a_killed_control_finds_drained_backends_still_drained(lab: ProcessLab) -> None:
    """The registry outlives control; rows still point at the same server."""
    kept = lab.call()
    lab.api.set_backend("web", "b1", state="draining")
    _, control, worker = lab.pids()
    kill(control)

    eventually(partial(is_replaced, lab, control))
    status = lab.api.status()

    assert status.ready
    assert status.generation == 2
    assert [(c.backend, c.field, c.now) for c in status.changes] == [
        ("web/b1", "state", "draining")
    ]
    assert status.pid.workers == [worker]
    assert {lab.call().backend for _ in range(4)} == {"b2"}
    assert kept.echo() == b"hello\n"


def test_a_request_without_control_is_answered_by_the_next(lab: ProcessLab) -> None:
    """The socket is the supervisor's too: the request waits in it, as long as a client does."""
    _, control, _ = lab.pids()
    kill(control)

    assert Client(str(lab.directory / "natlb.sock")).status().pid.control not in (0, control)


def test_control_killed_again_and_again_forwards_on(lab: ProcessLab) -> None:
    """Control is not on the way of a packet."""
    load = Load(lab, 4)
    for _ in range(3):
        _, control, _ = lab.pids()
        kill(control)
        eventually(partial(is_replaced, lab, control))
    load.stop()

    assert load.failures == []


def test_a_dead_supervisor_is_succeeded_by_the_next_run(lab: ProcessLab) -> None:
    """Workers and control go on, and the next run adopts them as they are."""
    load = Load(lab, 4)
    supervisor, control, worker = lab.pids()
    kill(supervisor)
    lab.api.set_backend("web", "b2", state="draining")
    load.go_on()
    orphaned = lab.api.status()
    run = lab.run()
    adopted = lab.api.status()
    load.stop()

    assert load.failures == []
    assert (orphaned.pid.supervisor, adopted.pid.supervisor) == (0, run.pid)
    assert (adopted.pid.control, adopted.pid.workers) == (control, [worker])
    assert [change.backend for change in adopted.changes] == ["web/b2"]
    assert lab.said("instance_adopted") == 1
    assert adopted.generation == orphaned.generation


def test_an_upgrade_in_place_breaks_no_connection(lab: ProcessLab) -> None:
    """Another version's code takes over from every process, one after the other."""
    load = Load(lab, 4)
    first, before = lab.runs[0], {*lab.pids(), lab.keeper()}
    run = lab.run("--replace", prefix=lab.next_version())
    assert first.wait(20) == 0
    eventually(lambda: lab.said("worker_replaced") and lab.said("control_replaced"), 60.0)
    load.go_on()
    load.stop()

    assert load.failures == []
    assert not before & {*lab.pids(), lab.keeper()}
    assert lab.stop(run) == 0


def test_an_adopted_worker_is_replaced_when_it_dies(lab: ProcessLab) -> None:
    """The new supervisor holds all that the old one held."""
    call = lab.call()
    supervisor, control, worker = lab.pids()
    kill(supervisor)
    run = lab.run()
    kill(worker)
    kill(control)
    lab.wait_for_new_worker(worker)
    eventually(partial(is_replaced, lab, control))

    assert call.echo() == b"hello\n"
    assert lab.stop(run) == 0


def test_a_worker_that_died_without_a_supervisor_is_replaced_by_the_next(lab: ProcessLab) -> None:
    """Two deaths, and the third process still has everything."""
    call = lab.call()
    supervisor, _, worker = lab.pids()
    kill(supervisor)
    kill(worker)
    lab.run()

    assert call.echo() == b"hello\n"


@pytest.mark.parametrize("device", ["natlb-pub", "natlb-prv"])
def test_a_deleted_tun_is_rebuilt_within_a_second(lab: ProcessLab, device: str) -> None:
    """Noticed, made again with its routes and rules, and not a flood of log lines."""
    call = lab.call()
    lines = len(lab.output.read_text().splitlines())
    with Netlink(lab.gateway) as netlink:
        netlink.delete_link(device)
        started = time.monotonic()
        eventually(lambda: netlink.has_link(device), 1.0)

    assert call.echo() == b"hello\n"
    assert time.monotonic() - started < 2.0
    assert lab.call().echo() == b"hello\n"
    assert len(lab.output.read_text().splitlines()) - lines <= 10
    assert lab.said("device_rebuilt") == 1
