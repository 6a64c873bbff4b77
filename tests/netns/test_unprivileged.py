"""natlb as a service manager starts it: a user of its own, five ambient capabilities, no root."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from natlb.client import Client
from natlb.errors import NatlbError
from natlb.netlink import identity
from tests.netns.process_lab import (
    CONFIG,
    ROOT,
    ProcessLab,
    eventually,
    kill,
    kill_marked,
    status_field,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

UID, NOBODY = 64999, 65534
NOTHING = (0, 0, 0, 0)
RIGHTS = "-all,+net_admin,+net_raw,+setuid,+setgid,+kill"
SECONDS = 60.0
SETPRIV = (
    *("setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "--no-new-privs"),
    *(f"--inh-caps={RIGHTS}", f"--ambient-caps={RIGHTS}", f"--bounding-set={RIGHTS}"),
)
# $1 is what becomes /run/natlb; then the folders that all may reach, "--", and the command.
# A folder below one that is closed to others is mounted anew below an empty one in that place.
# /run is one of its own: a mount goes with what it covers, which the last lab elsewhere removes.
MOUNTS = """
set -e
run="$1"; shift
mount -t tmpfs -o mode=0755 tmpfs /mnt
mknod -m 0666 /mnt/tun c 10 200
mount --bind /mnt/tun /dev/net/tun
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir /run/natlb
mount --bind "$run" /run/natlb
covered=
while [ "$1" != -- ]; do
    closed="$1"; place="$2"; shift 2
    mkdir -p "/mnt$place"
    mount --bind "$place" "/mnt$place"
    case "$covered" in *" $closed "*) ;; *) covered="$covered $closed ";; esac
    again="$again $place"
done
for closed in $covered; do mount -t tmpfs -o mode=0755 tmpfs "$closed"; done
for place in $again; do mkdir -p "$place"; mount --bind "/mnt$place" "$place"; done
shift
exec "$@"
"""

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(
        not (shutil.which("setpriv") and shutil.which("unshare")),
        reason="needs setpriv and unshare of util-linux",
    ),
]


def closed_places() -> list[str]:
    """Return what natlb is read from and others may not reach, each behind what closes it."""
    words = []
    for place in dict.fromkeys((Path(sys.base_prefix).resolve(), Path(sys.prefix), ROOT)):
        for above in reversed(place.parents):
            if not above.stat().st_mode & 1:
                words += [str(above), str(place)]
                break
    return words


def as_a_service(lab: ProcessLab) -> tuple[str, ...]:
    """Return words before a command that have it run as the lab's unprivileged service."""
    words = (str(lab.folder / "run"), *closed_places(), "--", *SETPRIV)
    return ("unshare", "--mount", "sh", "-c", MOUNTS, "sh", *words)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessLab]:
    """Return a network whose folder belongs to the user."""
    monkeypatch.setenv("NATLB_JIT", "0")  # who may do what is the same
    with ProcessLab("u") as made:
        directory = made.folder / "run"
        directory.mkdir()
        for place in (made.folder, directory):
            os.chown(place, UID, UID)
        made.directory = directory / str(identity(made.gateway))
        made.api = Client(str(made.directory / "natlb.sock"), timeout=20)
        yield made


def rights(pid: int) -> tuple[int, ...]:
    """Return a process's uid, and what it has and could have of capabilities."""
    sets = ("CapEff", "CapPrm", "CapInh", "CapAmb")
    return int(status_field(pid, "Uid").split()[1]), *(int(status_field(pid, s), 16) for s in sets)


def next_worker(lab: ProcessLab, old: int) -> int:
    """Return the worker in the old one's place, once it forwards."""

    def new() -> int:
        with contextlib.suppress(NatlbError):
            status = lab.api.status()
            if status.ready and status.pid.workers not in ([], [old]):
                return status.pid.workers[0]
        return 0

    return int(eventually(new, SECONDS))


def is_new(lab: ProcessLab, control: int) -> bool:
    """Return whether another control answers."""
    with contextlib.suppress(NatlbError):
        return lab.pids()[1] not in (0, control)
    return False


def test_without_root_everything_holds(lab: ProcessLab) -> None:
    """Forwarding, deaths, a worker that hangs, requests, an adoption, and a host as it was."""
    before = lab.network()
    run = lab.run(prefix=as_a_service(lab))
    supervisor, control, worker = lab.pids()
    nursery = int(status_field(worker, "PPid"))
    others = (worker, nursery, control, lab.keeper())

    assert (supervisor, rights(supervisor)[0]) == (run.pid, UID)
    assert [rights(each) for each in others] == [(NOBODY, *NOTHING)] * 2 + [(UID, *NOTHING)] * 2
    assert [status_field(each, "NoNewPrivs") for each in others] == ["1"] * 4
    assert (status_field(worker, "Seccomp"), lab.said("workers_unfiltered")) == ("2", 0)
    assert lab.network() != before

    kept = lab.call()
    kill(worker)
    worker = next_worker(lab, worker)
    assert kept.echo() == b"hello\n"
    os.kill(worker, signal.SIGSTOP)
    worker = next_worker(lab, worker)
    assert (kept.echo(), lab.said("worker_hung")) == (b"hello\n", 1)
    kill(control)
    eventually(partial(is_new, lab, control), SECONDS)
    assert rights(worker) == (NOBODY, *NOTHING)
    assert rights(lab.pids()[1]) == (UID, *NOTHING)

    lab.api.set_backend("web", "b1", state="draining")
    lab.configure(CONFIG.replace("web:", "site:"))
    lab.api.reload()
    assert [service.name for service in lab.api.services()] == ["site"]

    kill(run.pid)
    run = lab.run(prefix=as_a_service(lab))
    assert (kept.echo(), lab.said("instance_adopted")) == (b"hello\n", 1)
    kill_marked(lab.gateway)
    run = lab.run(prefix=as_a_service(lab))
    assert lab.call().echo() == b"hello\n"
    assert lab.stop(run) == 0
    assert lab.network() == before
    assert not lab.directory.exists()
