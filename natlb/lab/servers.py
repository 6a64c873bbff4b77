"""The backends of a lab: one process in each backend's namespace."""

from __future__ import annotations

import os
import select
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from natlb.errors import HostError, WaitTimeoutError
from natlb.lab.process import Process, remember, start
from natlb.lab.record import save

if TYPE_CHECKING:
    from natlb.lab.record import Lab
    from natlb.lab.topology import Server, Topology

START_SECONDS = 20.0  # an interpreter on a busy machine; 0.1 s on an idle one


def start_backends(lab: Lab, topology: Topology) -> Lab:
    """Start the backends that do not run, and return the lab once all of them listen."""
    with ExitStack() as stack:
        pipes = {}
        for host, server in topology.backends.items():
            if lab.process("backend", host) is None:
                process, pipe = _start(lab, host, server)
                stack.callback(os.close, pipe)
                pipes[host] = pipe
                lab = save(lab.with_process(process))
        for host, pipe in pipes.items():
            _wait(lab, host, pipe)
    return lab


def _start(lab: Lab, host: str, server: Server) -> tuple[Process, int]:
    """Return a backend's process just started, and the pipe on which it says when it is ready."""
    command = [sys.executable, "-m", "natlb.lab.backend", "--name", host]
    for option, port in (("--http", server.http), ("--udp", server.udp)):
        command += [] if port is None else [option, str(port)]
    ours, theirs = os.pipe()
    log = os.open(lab.log(host), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        pid = start(lab.netns(host), command, stdout=theirs, stderr=log)
    finally:
        os.close(theirs)
        os.close(log)
    return remember(host, "backend", pid), ours


def _wait(lab: Lab, host: str, pipe: int) -> None:
    if not select.select([pipe], [], [], START_SECONDS)[0]:
        raise WaitTimeoutError(f"backend {host} does not listen after {START_SECONDS:.0f} s")
    if not os.read(pipe, 64):
        lines = lab.log(host).read_text().splitlines()
        raise HostError(f"backend {host} ended: {lines[-1] if lines else 'without a word'}")
