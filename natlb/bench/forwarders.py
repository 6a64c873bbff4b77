"""What a column is: something that forwards from one VIP to one backend, in a lab of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from natlb.bench.results import MeasureError
from natlb.lab.process import ended, start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from natlb.lab.record import Lab

    Say = Callable[[str], None]

VIP, BACKEND = "203.0.113.10", "10.77.0.11"
HTTP_PORT, IPERF3_PORT, UDP_PORT = 80, 5201, 7000
TCP_PORTS = (HTTP_PORT, IPERF3_PORT)
BALANCER = "lb"
TOPOLOGY = Path(__file__).with_name("topology.yaml")
END_SECONDS = 0.2  # a process that cannot begin has ended by then, most often


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarder:
    """A column. `why_not` says why it cannot be measured here, or nothing.

    `packets`: it forwards packets, not connections alone. `whole_sums`: what comes to it must have
    its checksums made, so the offload of them is turned off at both ends. `seconds` is about what
    it takes to begin.
    """

    name: str
    about: str
    why_not: Callable[[], str]
    begin: Callable[[Lab, Say], Lab]
    packets: bool = True
    whole_sums: bool = False
    topology: Path = TOPOLOGY
    seconds: float = 0.3


def nothing() -> str:
    """Return that nothing stands in the way."""
    return ""


def begin_process(
    lab: Lab, host: str, command: Sequence[str], name: str, stdout: int | None = None
) -> int:
    """Return the pid of a process started in a host; what it says is in its log.

    MeasureError where it ends at once. The lab ends it: it is in the lab's namespace.
    """
    log = os.open(lab.log(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        out = log if stdout is None else stdout
        pid = start(lab.netns(host), command, stdout=out, stderr=log)
    finally:
        os.close(log)
    if ended(pid, END_SECONDS):
        raise MeasureError(f"{name} ended at once: {last_line(lab, name)}")
    return pid


def last_line(lab: Lab, name: str) -> str:
    """Return the last that a process of the lab said."""
    log = lab.log(name)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1] if lines else "it said nothing"
