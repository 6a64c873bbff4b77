"""What a forwarder's processes hold, in PSS: a page that n processes share counts 1/n in each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from natlb.bench.forwarders import BALANCER
from natlb.bench.results import NONE, MeasureError
from natlb.lab.process import inhabitants
from natlb.netlink import identity

if TYPE_CHECKING:
    from natlb.bench.stand import Stand

KIB = 1024
PROC = Path("/proc")
NOTE = (
    "memory is the PSS of all processes of a forwarder; what the kernel holds for it (the flows of "
    "nft, the buffers of sockets) is not in it"
)


def held_by(stand: Stand) -> float | None:
    """Return the MiB that the forwarder's processes hold; None where it has none."""
    if stand.name == NONE:
        return None
    pids = inhabitants([identity(stand.lab.netns(BALANCER))])
    return sum(read_rollup(pid)["Pss"] for pid in pids) / KIB if pids else None


def read_rollup(pid: int) -> dict[str, int]:
    """Return what a process holds, in KiB, by the names of /proc/PID/smaps_rollup."""
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text()
    except OSError as error:
        raise MeasureError(f"memory of pid {pid}: {error.strerror}") from error
    return parse_rollup(text)


def parse_rollup(text: str) -> dict[str, int]:
    """Return the fields of a smaps_rollup, in KiB."""
    lines = (line.split() for line in text.splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[-1] == "kB"}
