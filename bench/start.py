"""From `natlb run` to `ready`, and what its processes hold then.

Cold: nothing was compiled before, the cache of machine code is empty. Warm: it is full, as from
the second start on. Files are in the page cache both times.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.results import OURS, Aim, Measure
from natlb.bench.forwarders import BALANCER, TOPOLOGY
from natlb.bench.memory import KIB, read_rollup
from natlb.bench.stand import bring_up
from natlb.client import Client
from natlb.lab.balancer import GRACE_SECONDS, start_balancer
from natlb.lab.process import inhabitants, stop
from natlb.netlink import identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.results import Session
    from natlb.lab.record import Lab

PART, MEMORY = "start", "memory"
CACHE = "NATLB_CACHE"
SETTLE_SECONDS = 1.0  # the spare worker is there
WARM_AIM = Aim(at_most=3.0)  # what `make demo` promises
FIELDS = {"RSS": "Rss", "PSS": "Pss", "of it memfds": "Pss_Shmem"}
NOTE = "memory: at rest, a second after `ready`; in PSS a page that n processes share counts 1/n"


def run(session: Session) -> Iterator[Measure]:
    """Measure starts and memory in a lab of their own, which stays for `clean_up`."""
    session.notes.append(NOTE)
    lab = bring_up("start", TOPOLOGY)
    with tempfile.TemporaryDirectory(prefix="natlb-bench-") as folder:
        count = session.settings.repetitions
        caches = [Path(folder) / f"{number}" for number in range(count)]
        if session.settings.quick:
            session.left_out["cold start"] = "it takes a minute; without --quick it is measured"
            caches = []
        cold = [timed_start(lab, cache, session) for cache in caches]
        if cold:
            yield seconds("from `natlb run` to `ready`, cold", cold)
        cache = caches[-1] if caches else None
        timed_start(lab, cache, session)  # the first after a compile, or in this tree
        warm = [timed_start(lab, cache, session) for _ in range(count)]
        yield seconds("from `natlb run` to `ready`, warm", warm, WARM_AIM)
        with started(lab, cache, session) as running:
            time.sleep(SETTLE_SECONDS)
            yield from memory(running)


def seconds(name: str, figures: list[float], aim: Aim | None = None) -> Measure:
    """Return a line of this part of the report."""
    return Measure(part=PART, name=name, unit="s", figures={OURS: tuple(figures)}, aim=aim)


def timed_start(lab: Lab, cache: Path | None, session: Session) -> float:
    """Return how many seconds natlb took until it was ready, to a hundredth. It is stopped."""
    began = time.perf_counter()
    with started(lab, cache, session):
        taken = time.perf_counter() - began
        session.say(f"natlb was ready after {taken:.2f} s")
    return taken


@contextmanager
def started(lab: Lab, cache: Path | None, session: Session) -> Iterator[Lab]:
    """Give the lab with natlb forwarding in it; None: with the cache that it would have anyway."""
    with environment(CACHE, None if cache is None else str(cache)):
        lab = start_balancer(lab, lambda line: session.say(f"  {line}"))
    try:
        yield lab
    finally:
        process = lab.process("natlb", BALANCER)
        stop([process.pid] if process else [], grace=GRACE_SECONDS)


@contextmanager
def environment(name: str, value: str | None) -> Iterator[None]:
    """Have a variable set for what is started meanwhile; None changes nothing."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if value is not None:
            os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def memory(lab: Lab) -> Iterator[Measure]:
    """Measure what each process holds, and all together; pages that two share count half in PSS."""
    held = {role: read_rollup(pid) for pid, role in roles(lab).items()}
    for role, fields in held.items():
        yield mebibytes(role, fields, tuple(FIELDS))
    together = {field: sum(each[field] for each in held.values()) for field in FIELDS.values()}
    yield mebibytes("all", together, ("PSS", "of it memfds"))  # a sum of RSS counts pages twice


def mebibytes(name: str, kib: dict[str, int], columns: tuple[str, ...]) -> Measure:
    """Return a line of the table of memory."""
    figures: dict[str, tuple[float, ...]] = {
        column: (kib[FIELDS[column]] / KIB,) for column in columns
    }
    return Measure(part=MEMORY, name=name, unit="MiB", figures=figures)


def roles(lab: Lab) -> dict[int, str]:
    """Return natlb's processes by pid, as what natlb and their command lines call them."""
    pids = Client(lab.socket).status().pid
    found = {pids.supervisor: "supervisor", pids.control: "control"}
    found |= {pid: f"worker {at}" for at, pid in enumerate(pids.workers)}
    others = sorted(set(inhabitants([identity(lab.netns(BALANCER))])) - found.keys())
    for pid in others:
        is_child = parent_of(pid) == pids.supervisor
        found[pid] = "nursery" if is_child else f"spare worker, pid {pid}"
    return found


def parent_of(pid: int) -> int:
    """Return a process's parent."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1])  # Linux: proc(5), field 4
