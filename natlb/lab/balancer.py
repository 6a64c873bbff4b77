"""natlb in a lab: `natlb run` in the balancer's namespace, watched until it says `ready`.

It outlives the command that starts it, so it writes to a file, and that file is what is watched.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from ruamel.yaml import YAML

from natlb.errors import NatlbError, WaitTimeoutError
from natlb.lab.process import ended, remember, start, stop
from natlb.lab.record import save
from natlb.netlink import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from natlb.lab.record import Lab
    from natlb.lab.topology import Topology

NATLB = (sys.executable, "-m", "natlb.cli")
READY_SECONDS = 300.0  # a first compile on a slow and busy machine
LOOK_SECONDS = 0.01  # how often the file is looked at
GRACE_SECONDS = 3.0  # to put the network back


def write_configuration(lab: Lab, topology: Topology) -> None:
    """Write what natlb is told in this lab; what it keeps stays in the lab's directory."""
    configuration = topology.configuration(lab.name)
    configuration.setdefault("state", str(lab.directory / "state"))
    if lab.driver != "auto":
        configuration["datapath"] = {**configuration.get("datapath", {}), "driver": lab.driver}
    with lab.configuration.open("w") as file:
        YAML(typ="rt", pure=True).dump(configuration, file)


def start_balancer(lab: Lab, say: Callable[[str], None]) -> Lab:
    """Return the lab once natlb forwards in it; `say` hears what it tells on the way.

    If it ends instead, what it said is raised, with its exit code.
    """
    log = lab.log(lab.balancer)
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        before = os.fstat(fd).st_size
        command = [*NATLB, "run", "-c", str(lab.configuration)]
        pid = start(lab.netns(lab.balancer), command, stdout=fd, stderr=fd)
    finally:
        os.close(fd)
    lab = save(lab.with_process(remember(lab.balancer, "natlb", pid)))
    try:
        _wait_ready(lab, pid, before, say)
    except BaseException:
        stop([pid], grace=GRACE_SECONDS)
        raise
    inode = identity(lab.netns(lab.balancer))
    return save(replace(lab, socket=f"/run/natlb/{inode}/natlb.sock"))


def _wait_ready(lab: Lab, pid: int, before: int, say: Callable[[str], None]) -> None:
    said = []
    for line in _lines(lab, pid, before):
        if line.startswith("ready"):
            return
        said.append(line)
        if not line.startswith(("error:", "fix:")):
            say(line)
    _fail(pid, said)


def _lines(lab: Lab, pid: int, before: int) -> Iterator[str]:
    """Give what natlb writes, line by line, until it ends; WaitTimeoutError if that takes long."""
    deadline = time.monotonic() + READY_SECONDS
    with lab.log(lab.balancer).open(errors="replace") as log:
        log.seek(before)
        line = ""
        while time.monotonic() < deadline:
            over = ended(pid, LOOK_SECONDS)  # asked first: then what is read is all there is
            while piece := log.readline():
                line += piece
                if line.endswith("\n"):
                    yield line.rstrip("\n")
                    line = ""
            if over:
                return
    raise WaitTimeoutError(
        f"natlb is not ready after {READY_SECONDS:.0f} s", fix=f"see {lab.log(lab.balancer)}"
    )


def _fail(pid: int, said: list[str]) -> NoReturn:
    """Raise what natlb said on its end, as the exception that has its exit code."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    kinds = {kind.exit_code: kind for kind in NatlbError.__subclasses__()}
    errors = [line.removeprefix("error:").strip() for line in said if line.startswith("error:")]
    fixes = [line.removeprefix("fix:").strip() for line in said if line.startswith("fix:")]
    message = "; ".join(errors) or f"natlb ended with {code}: {said[-1] if said else 'no word'}"
    raise kinds.get(code, NatlbError)(message, fix=fixes[-1] if fixes else None)
