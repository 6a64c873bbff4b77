"""The supervisor over a host of values and processes that pretend: who is started, and again."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.directory import Holder
from natlb.control.fd_store import Stored
from natlb.control.process import hold, kill_all_with
from natlb.control.roles import Role
from natlb.control.supervisor_watchdog import SECONDS_A_LOOK
from tests.service_manager import ServiceManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent.parent.parent


def eventually(
    what: Callable[[], Any], seconds: float = 60.0, else_show: Callable[[], object] = str
) -> Any:
    """Return the first true answer."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, else_show()
        time.sleep(0.01)
    return answer


class Instance:
    """A supervisor in a process of its own, with all that it says."""

    def __init__(
        self, folder: Path, manager: ServiceManager | None = None, **environment: str
    ) -> None:
        """Start it, or have a service manager do so."""
        self.folder = folder
        self.directory = folder / "run"
        self.output = folder / "output"
        self.environment = {"FAKE_API": str(self.directory / "natlb.sock"), **environment}
        self.supervisor = self.start_by(manager) if manager else self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start a supervisor in this directory."""
        with self.output.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.unit.control.fakes", str(self.directory)],
                cwd=ROOT,
                env=os.environ | self.environment | {"PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def start_by(self, manager: ServiceManager) -> subprocess.Popen[bytes]:
        """Have a service manager start a supervisor, with what it stored."""
        manager.hear()
        with self.output.open("ab") as output:
            return manager.start(
                [sys.executable, "-m", "tests.unit.control.fakes", str(self.directory)],
                os.environ | self.environment | {"PYTHONPATH": str(ROOT)},
                cwd=ROOT,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def succeed(self) -> None:
        """Have another supervisor take the place of a dead one."""
        self.supervisor.wait(60)
        self.supervisor = self.start()

    def said(self, words: str) -> int:
        """Return how many lines have these words."""
        return sum(words in line for line in self.output.read_text().splitlines())

    def wait_for(self, words: str, times: int = 1) -> None:
        """Wait for a line; an end comes first only in an error."""
        eventually(
            lambda: self.said(words) >= times,
            else_show=lambda: f"no {words!r} in:\n{self.output.read_text()}",
        )

    def leave_words_unread(self, pid: int) -> None:
        """Have the supervisor stopped where it asked a child, and the answer lies unread."""
        os.kill(pid, signal.SIGSTOP)
        time.sleep(3 * SECONDS_A_LOOK)  # asked by now
        os.kill(self.supervisor.pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGCONT)
        eventually(lambda: _state(pid) == "S")

    def host(self) -> list[str]:
        """Return what was asked of the host."""
        return (self.directory / "host-log").read_text().split("\n")[:-1]

    def children(self, word: str) -> list[int]:
        """Return this instance's processes with this word in their command."""
        found = []
        for process in _processes(self.token):
            with contextlib.suppress(OSError):  # it ended meanwhile
                if word in Path(f"/proc/{process}/cmdline").read_text():
                    found.append(process)
        return sorted(found)

    @property
    def token(self) -> str:
        """The instance's token."""
        holder = Holder.parse((self.directory / "lock").read_text())
        assert holder is not None
        return holder.token

    @property
    def worker(self) -> int:
        """The worker: the nursery's child."""

        def child_of_nursery() -> int:
            for pid in self.children("fake_nursery"):
                with contextlib.suppress(OSError):  # it ended meanwhile
                    if _parent(pid) != self.supervisor.pid:
                        return pid
            return 0

        return int(eventually(child_of_nursery))

    def trio(self) -> tuple[int, int, int]:
        """Return control, worker and keeper, once the keeper has everything."""
        (control,) = self.children("fake_control")
        (keeper,) = eventually(lambda: self.children("control.keeper"))
        eventually(partial(_holds, keeper, "standing"))
        return control, self.worker, keeper

    def hears(self, pid: int) -> bool:
        """Return whether this process's standard error is the log."""
        return Path(f"/proc/{pid}/fd/2").readlink() == self.output

    def has_another_worker(self, than: int) -> bool:
        """Return whether another took this one's place."""
        return self.worker != than

    def stop(self) -> int:
        """Stop it cleanly."""
        self.supervisor.send_signal(signal.SIGTERM)
        return self.supervisor.wait(60)

    def close(self) -> None:
        """Leave no process."""
        token = self.token if (self.directory / "lock").exists() else None
        if self.supervisor.poll() is None:
            self.supervisor.kill()
        self.supervisor.wait(60)
        if token:
            kill_all_with(token)


def _processes(token: str) -> Iterator[int]:
    mark = f"NATLB_INSTANCE={token}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)
            except OSError:
                continue


def _holds(pid: int, word: str) -> bool:
    """Return whether a process has an fd of something with this word in its name."""
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile: what stands is said anew
            if word in str(fd.readlink()):
                return True
    return False


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def kill(pid: int) -> None:
    """Kill a process and wait for its end."""
    pidfd = os.pidfd_open(pid)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert select.select([pidfd], [], [], 60)[0]
    os.close(pidfd)


@pytest.fixture
def instance(folder: Path) -> Iterator[Instance]:
    """Return a running instance."""
    made = Instance(folder)
    try:
        made.wait_for("ready fresh, interpreted, generation 7")
        yield made
    finally:
        made.close()


def test_it_says_ready_once_and_ends_without_a_trace(instance: Instance) -> None:
    """Everything is asked of the host in its order, and every file goes."""
    assert instance.host() == ["recover", "apply"]
    token, directory = instance.token, instance.directory
    host_log = directory / "host-log"
    assert instance.stop() == 0
    assert host_log.read_text().split("\n")[:-1] == ["recover", "apply", "undo"]
    assert [file.name for file in directory.iterdir()] == ["host-log"]
    assert list(_processes(token)) == []
    assert instance.said("ready ") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_stop_it(instance: Instance, number: signal.Signals) -> None:
    """A terminal's Ctrl-C is a clean stop too."""
    instance.supervisor.send_signal(number)

    assert instance.supervisor.wait(60) == 0


def test_a_hangup_reloads(instance: Instance) -> None:
    """Control reads the configuration again; nobody is restarted."""
    control = instance.children("fake_control")
    instance.supervisor.send_signal(signal.SIGHUP)
    time.sleep(0.2)

    assert instance.supervisor.poll() is None
    assert instance.children("fake_control") == control


def test_a_killed_worker_has_a_successor_that_recovers(instance: Instance) -> None:
    """Forked at once; told that another died over the memory."""
    worker = instance.worker
    kill(worker)
    instance.wait_for("worker_replaced")

    assert instance.worker != worker
    assert instance.said("child_died child=worker") == 1


def test_a_killed_nursery_is_restarted_and_the_worker_lives(instance: Instance) -> None:
    """The worker's life does not hang on it."""
    worker = instance.worker
    kill(_parent(worker))
    instance.wait_for("preparing", 2)

    assert hold(worker) is not None
    kill(worker)
    instance.wait_for("worker_replaced")


def test_a_killed_control_is_restarted_with_all_that_is_held(instance: Instance) -> None:
    """It finds tables, so it does not begin anew."""
    (control,) = instance.children("fake_control")
    kill(control)
    eventually(lambda: instance.children("fake_control") not in ([], [control]))

    assert instance.host() == ["recover", "apply"]
    assert instance.supervisor.poll() is None


def test_a_dead_supervisor_is_succeeded(instance: Instance) -> None:
    """The same control, the same worker, the same host."""
    control, worker = instance.children("fake_control"), instance.worker
    kill(instance.supervisor.pid)
    instance.succeed()
    instance.wait_for("instance_adopted")
    instance.wait_for("ready reloaded /etc/natlb.yaml")

    assert instance.children("fake_control") == control
    assert worker in instance.children("fake_nursery")
    assert instance.host() == ["recover", "apply", "adopt plan"]
    assert instance.stop() == 0


@pytest.mark.parametrize("answering", ["control", "worker", "keeper"])
def test_a_supervisor_that_dies_with_an_answer_unread_is_succeeded(
    instance: Instance, answering: str
) -> None:
    """Its children then read a reset, and not an end, and live on all the same."""
    trio = instance.trio()
    instance.leave_words_unread(trio[["control", "worker", "keeper"].index(answering)])
    kill(instance.supervisor.pid)
    instance.succeed()
    instance.wait_for("ready reloaded /etc/natlb.yaml")

    eventually(lambda: instance.trio() == trio)  # a nursery of the dead one may be ending still
    assert instance.said("Traceback") == 0


def test_a_worker_that_died_meanwhile_is_replaced_at_adoption(instance: Instance) -> None:
    """The successor has all that a new worker needs."""
    worker = instance.worker
    kill(instance.supervisor.pid)
    kill(worker)
    instance.succeed()
    instance.wait_for("ready reloaded")

    assert instance.worker != worker


@pytest.mark.parametrize("also", ["keeper", "control", "control worker"])
def test_supervisor_and_others_may_die_at_once(instance: Instance, also: str) -> None:
    """Whoever is left has everything, and the host is not touched."""
    control, worker, keeper = instance.trio()
    kill(instance.supervisor.pid)
    victims = {"control": control, "worker": worker, "keeper": keeper}
    for name in also.split():
        kill(victims[name])
    instance.succeed()
    instance.wait_for("ready ", 2)

    assert instance.host() == ["recover", "apply", "adopt plan"]
    assert (instance.children("fake_control") == [control]) == ("control" not in also)
    assert (worker in instance.children("fake_nursery")) == ("worker" not in also)
    assert (instance.children("control.keeper") == [keeper]) == ("keeper" not in also)
    assert instance.stop() == 0


def test_without_control_and_keeper_nobody_hands_over_and_all_begins_anew(
    instance: Instance,
) -> None:
    """Orphans are ended, the journal is undone."""
    control, worker, keeper = instance.trio()
    for pid in (instance.supervisor.pid, control, keeper):
        kill(pid)
    instance.succeed()
    instance.wait_for("ready fresh", 2)

    assert instance.said("orphans_killed") == 1
    assert hold(worker) is None
    assert instance.host() == ["recover", "apply", "recover journal", "apply"]


def test_those_that_hang_are_replaced(instance: Instance) -> None:
    """Stopped, they answer no question; one that only waits for work does."""
    control, worker, keeper = instance.trio()
    for hung in (control, worker):
        os.kill(hung, signal.SIGSTOP)
    instance.wait_for(f"worker_hung pid={worker}")
    instance.wait_for(f"control_hung pid={control}")
    eventually(lambda: instance.children("fake_control") not in ([], [control]))
    instance.wait_for("worker_replaced")

    assert instance.children("control.keeper") == [keeper]
    assert instance.said("_hung ") == 2


def test_another_version_takes_the_place_of_one_that_lives(instance: Instance) -> None:
    """It steps aside; keeper, worker and control follow, and the host is not touched."""
    before, first = instance.trio(), instance.supervisor
    instance.environment |= {"FAKE_REPLACE": "1", "FAKE_CODE": "next"}
    instance.supervisor = instance.start()
    assert first.wait(60) == 0
    instance.wait_for("upgrade_begun before=unknown now=next")
    instance.wait_for("worker_replaced")
    instance.wait_for("ready ", 2)
    eventually(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in before))
    after = instance.trio()

    assert not set(before) & set(after)
    assert instance.said("stepped_aside") == 1
    assert instance.host() == ["recover", "apply", "adopt plan"]
    assert instance.stop() == 0


def test_who_supervises_next_gets_the_log_of_those_adopted(instance: Instance) -> None:
    """Their standard error is the new supervisor's: a reader of its log misses nothing."""
    control, worker, _ = instance.trio()
    kill(instance.supervisor.pid)
    instance.output = instance.folder / "another"
    instance.succeed()
    instance.wait_for("ready reloaded")

    for pid in (control, worker):
        eventually(partial(instance.hears, pid))


def test_after_the_death_of_all_the_next_starts_normally(instance: Instance) -> None:
    """Stale sockets, a stale lock and a journal are no hindrance."""
    for pid in [instance.supervisor.pid, *instance.trio()]:
        kill(pid)
    instance.succeed()
    instance.wait_for("ready fresh", 2)

    assert instance.stop() == 0


@pytest.fixture
def managed(folder: Path) -> Iterator[tuple[Instance, ServiceManager]]:
    """Return an instance that a service manager started, and that manager."""
    with ServiceManager(folder / "notify") as manager:
        made = Instance(folder, manager)
        try:
            manager.wait_for(lambda it: "READY=1" in it.said)
            yield made, manager
        finally:
            made.close()


def all_stored(instance: Instance, manager: ServiceManager) -> bool:
    """Return whether a worker is among what is stored, and what the supervisor knows."""
    roles = [each.said.role for name in manager.store if (each := Stored.parse(name))]
    return {Role.STANDING, Role.LIFE_CHANNEL, Role.TABLES_CHANNEL} <= set(roles)


@pytest.mark.parametrize("spared", ["", "worker"])
def test_after_the_death_of_all_a_service_manager_has_everything(
    managed: tuple[Instance, ServiceManager], spared: str
) -> None:
    """Another worker, control and keeper over the same memory and queues; a living worker stays."""
    instance, manager = managed
    control, worker, keeper = instance.trio()
    manager.wait_for(partial(all_stored, instance))
    for pid in (instance.supervisor.pid, control, keeper, _parent(worker)):
        kill(pid)
    if not spared:
        kill(worker)
    instance.supervisor.wait(60)
    manager.said.clear()
    instance.supervisor = instance.start_by(manager)
    manager.wait_for(lambda it: "READY=1" in it.said)
    instance.wait_for("ready ", 2)

    assert instance.said("instance_adopted stored=") == 1
    assert instance.host() == ["recover", "apply", "adopt plan"]
    assert (worker in instance.children("fake_nursery")) == bool(spared)
    instance.supervisor.send_signal(signal.SIGTERM)
    manager.wait_for(lambda _: instance.supervisor.poll() is not None)
    assert instance.supervisor.returncode == 0
    assert manager.hear().store == {}
    assert "STOPPING=1" in manager.said


def test_a_store_of_another_layout_is_no_hindrance(
    managed: tuple[Instance, ServiceManager],
) -> None:
    """Nobody lives: all begins anew, and says why."""
    instance, manager = managed
    manager.wait_for(partial(all_stored, instance))
    for pid in [instance.supervisor.pid, *instance.trio()]:
        kill(pid)
    instance.supervisor.wait(60)
    manager.hear()
    manager.store = {name.replace("-0-", "-9-", 1): fd for name, fd in manager.store.items()}
    instance.supervisor = instance.start_by(manager)
    manager.wait_for(lambda _: instance.said("ready fresh") == 2)
    manager.wait_for(partial(all_stored, instance))

    assert instance.said("stored_state_refused layout=9 reads=0") == 1
    assert instance.stop() == 0


def test_who_lives_is_asked_before_the_store(managed: tuple[Instance, ServiceManager]) -> None:
    """A dead supervisor alone: control goes on, and everything is stored again."""
    instance, manager = managed
    control, worker, _ = instance.trio()
    manager.wait_for(partial(all_stored, instance))
    count = len(manager.store)
    kill(instance.supervisor.pid)
    instance.supervisor.wait(60)
    instance.supervisor = instance.start_by(manager)
    instance.wait_for("ready reloaded")
    manager.wait_for(lambda it: len(it.store) == count)

    assert instance.children("fake_control") == [control]
    assert worker in instance.children("fake_nursery")
    assert instance.stop() == 0


def test_a_service_manager_is_told_of_reloads_and_of_life(
    managed: tuple[Instance, ServiceManager],
) -> None:
    """Half as long as the watchdog waits is the longest silence."""
    instance, manager = managed
    manager.said.clear()
    instance.supervisor.send_signal(signal.SIGHUP)
    manager.wait_for(lambda it: "READY=1" in it.said and it.said.count("WATCHDOG=1") >= 2)

    assert "RELOADING=1" in manager.said
    assert instance.stop() == 0


def test_a_second_one_is_refused(instance: Instance) -> None:
    """The first is not disturbed."""
    second = instance.start()

    assert second.wait(60) != 0
    assert instance.said(f"process {instance.supervisor.pid} holds") == 1
    assert instance.supervisor.poll() is None
    assert instance.directory.joinpath("natlb.sock").exists()


def test_many_deaths_cost_a_few_lines_and_then_patience(instance: Instance) -> None:
    """Nine deaths in a row: the first eight are replaced at once."""
    for deaths in range(9):
        worker = instance.worker
        kill(worker)
        eventually(partial(instance.has_another_worker, worker))
        instance.wait_for("worker_replaced", min(deaths + 1, 8))

    assert instance.said("child_died child=worker") == 4  # the 1st, 2nd, 4th and 8th


def test_a_refusal_of_the_host_does_not_end_a_control(folder: Path) -> None:
    """It is told, and decides what to make of it."""
    made = Instance(folder, FAKE_WANTED="impossible")
    try:
        eventually((made.directory / "natlb.sock").exists)
        eventually(lambda: made.children("fake_control"))

        assert made.supervisor.poll() is None
        assert made.stop() == 0
    finally:
        made.close()
