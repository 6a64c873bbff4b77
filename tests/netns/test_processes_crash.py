"""How natlb begins and ends: cleanly, refused, after a crash, with the host as it was."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from natlb.control.process import hold
from tests.netns.process_lab import CONFIG, ProcessLab, eventually, kill, kill_marked, status_field

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns


@pytest.fixture
def lab() -> Iterator[ProcessLab]:
    """Return a network in which no natlb runs yet."""
    with ProcessLab("c") as made:
        yield made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_stop_leaves_the_host_as_it_was(lab: ProcessLab, number: signal.Signals) -> None:
    """Routes, rules, sysctls, devices, files, processes: nothing is left."""
    before = lab.network()
    run = lab.run()
    children = lab.pids()[1:]
    assert lab.call().echo() == b"hello\n"
    run.send_signal(number)

    assert run.wait(20) == 0
    assert lab.network() == before
    assert not lab.directory.exists()
    assert all(hold(pid) is None for pid in children)


def test_a_run_after_everything_was_killed_starts_normally(lab: ProcessLab) -> None:
    """What the crash left is undone first, so its end leaves the host as before the crash."""
    before = lab.network()
    lab.run()
    kill_marked(lab.gateway)
    run = lab.run()

    assert lab.call().echo() == b"hello\n"
    assert lab.said("leftovers_undone") == 1
    assert lab.stop(run) == 0
    assert lab.network() == before


def test_supervisor_and_control_may_die_at_once(lab: ProcessLab) -> None:
    """The keeper hands over: connections, worker and what was changed at run time go on."""
    before = lab.network()
    lab.run()
    call = lab.call()
    lab.api.set_backend("web", "b2", state="draining")
    supervisor, control, worker = lab.pids()
    kill(supervisor)
    kill(control)
    run = lab.run()

    assert call.echo() == b"hello\n"
    assert lab.pids()[2] == worker
    assert [change.backend for change in lab.api.status().changes] == ["web/b2"]
    assert lab.stop(run) == 0
    assert lab.network() == before


def test_a_control_that_hangs_is_not_waited_for_for_ever(lab: ProcessLab) -> None:
    """It cannot hand over; the keeper can, and another control takes its place."""
    lab.run()
    call = lab.call()
    supervisor, control, _ = lab.pids()
    os.kill(control, signal.SIGSTOP)
    kill(supervisor)
    lab.run()

    assert call.echo() == b"hello\n"
    assert control not in lab.pids()


def test_a_second_run_in_the_namespace_is_refused(lab: ProcessLab) -> None:
    """Exit code 75, with the pid of the holder, and the first one is not disturbed."""
    first = lab.run()
    call = lab.call()
    second = lab.start()

    assert second.wait(30) == 75
    assert (
        lab.said(f"error: natlb runs in this network namespace already: process {first.pid}") == 1
    )
    assert call.echo() == b"hello\n"
    assert lab.api.status().ready


def test_a_run_on_a_socket_in_use_is_refused(lab: ProcessLab) -> None:
    """Exit code 75, with the pid of who listens, before anything of the host is changed."""
    before = lab.network()
    path = lab.folder / "taken.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        lab.configure(f"api: {{listen: 'unix:{path}'}}\n{CONFIG}")
        run = lab.start()

        assert run.wait(30) == 75
    assert lab.said(f"error: the socket {path} is in use: process {os.getpid()}") == 1
    assert lab.network() == before


def test_a_socket_file_that_nobody_listens_behind_is_replaced(lab: ProcessLab) -> None:
    """A crash leaves the file."""
    path = lab.folder / "stale.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    lab.configure(f"api: {{listen: 'unix:{path}'}}\n{CONFIG}")
    run = lab.run()
    with socket.socket(socket.AF_UNIX) as api:
        api.connect(str(path))

    assert path.stat().st_mode & 0o7777 == 0o660
    assert lab.stop(run) == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("services: {web: {listn: 1}}", 65, "listn"),
        (CONFIG.replace("10.77.0.12", "192.0.2.99"), 78, "192.0.2.99"),
        (CONFIG + "datapath: {private: [nosuch0]}", 78, "nosuch0"),
    ],
    ids=["unknown key", "no route", "no such interface"],
)
def test_what_cannot_be_is_refused_before_the_start(
    lab: ProcessLab, text: str, code: int, word: str
) -> None:
    """Exit code and words are control's or the host's; nothing stays changed."""
    before = lab.network()
    lab.configure(text)
    run = lab.start()

    assert run.wait(60) == code
    assert lab.said(word) >= 1
    assert lab.said("ready ") == 0
    assert lab.network() == before
    assert not lab.directory.exists()


def test_a_missing_configuration_is_said(lab: ProcessLab) -> None:
    """Exit code 65, as for any that cannot be read."""
    lab.config.unlink()

    assert lab.start().wait(60) == 65
    assert lab.said("No such file") == 1


def test_a_configuration_in_a_private_home_can_be_read(lab: ProcessLab) -> None:
    """Control is root without its powers; the supervisor opens the file for it."""
    lab.config.chmod(0o600)
    for path in (lab.config, lab.folder):
        os.chown(path, 12345, 12345)
    lab.folder.chmod(0o700)
    lab.run()
    lab.configure(CONFIG.replace("b2", "b3"))

    assert lab.api.reload().added == ["web/b3"]


def test_workers_and_control_have_no_capability(lab: ProcessLab) -> None:
    """Worker and nursery are nobody; control keeps its uid, since files are root's."""
    lab.run()
    _, control, worker = lab.pids()
    nursery = int(status_field(worker, "PPid"))
    for pid in (control, worker, nursery):
        for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
            assert int(status_field(pid, name), 16) == 0
        assert status_field(pid, "NoNewPrivs") == "1"
    assert status_field(worker, "Seccomp") == "2"
    for pid in (worker, nursery):
        assert status_field(pid, "Uid").split() == ["65534"] * 4
        assert status_field(pid, "Groups") == ""
    assert status_field(control, "Uid").split() == ["0"] * 4


def test_no_child_holds_the_lock_or_another_childs_fds(lab: ProcessLab) -> None:
    """A lock in a child would outlive the supervisor; a queue in control's child, the worker."""
    lab.run()
    _, control, worker = lab.pids()
    for pid in (control, worker):
        assert not any(link.endswith("/lock") for link in _fds(pid))
    in_worker = _fds(worker)

    assert not any("registry" in link or "natlb-plan" in link for link in in_worker)
    assert sum(link == "/dev/net/tun" for link in in_worker) == 2


def test_without_capabilities_it_says_which_are_missing(lab: ProcessLab) -> None:
    """Exit code 77, and how to get them."""
    run = lab.start(prefix=("setpriv", "--bounding-set=-all", "--inh-caps=-all"))

    assert run.wait(30) == 77
    assert lab.said("error: need CAP_NET_ADMIN to set up devices, routes and rules") == 1
    assert lab.said("fix: sudo natlb run") == 1


def test_in_a_user_namespace_with_one_id_the_uid_stays(lab: ProcessLab) -> None:
    """The capabilities go all the same, and it says so."""
    # A network namespace of the user namespace's own has no wires: it is made ready by its root.
    script = "ip link set lo up; ip link add p0 type veth peer name s0; ip link set p0 up; \
ip link set s0 up; ip address add 198.51.100.1/24 dev p0; ip address add 10.77.0.1/24 dev s0; exec "
    lab.configure("datapath: {public: [p0], private: [s0]}\n" + CONFIG)
    prefix = ("unshare", "--user", "--map-root-user", "--net", "sh", "-c", script + '"$0" "$@"')
    run = lab.run(prefix=prefix)
    worker = eventually(lambda: _worker_of(run.pid))

    assert lab.said("workers_keep_uid") == 1
    assert int(status_field(worker, "CapEff"), 16) == 0
    assert status_field(worker, "NoNewPrivs") == "1"
    assert lab.stop(run) == 0


def _fds(pid: int) -> list[str]:
    """Return what a process has open."""
    return [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]


def _worker_of(supervisor: int) -> int:
    """Return a grandchild of the supervisor: the nursery's child."""
    for child in _children(supervisor):
        for grandchild in _children(child):
            return grandchild
    return 0


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
