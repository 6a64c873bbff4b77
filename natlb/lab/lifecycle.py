"""Labs brought up, taken down, listed, entered.

`up` may be called in any state: it removes what was left half-made, makes what is not there, and
starts what has died. `down` ends every process it finds in the lab's namespaces, known or not,
and removes the namespaces and all files.
"""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from natlb.errors import BusyError, UsageError
from natlb.lab.balancer import GRACE_SECONDS, start_balancer, write_configuration
from natlb.lab.network import build_network, check_free, remove_namespaces
from natlb.lab.process import inhabitants, network_of, start_attached, stop, wait
from natlb.lab.record import Lab, LabStatus, find, forget, load, locked, names, save
from natlb.lab.servers import start_backends
from natlb.lab.topology import Topology, load_topology
from natlb.netlink import identity, namespaces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from natlb.lab.process import Process

    Say = Callable[[str], None]

INSTANCES = Path("/run/natlb")


def up_lab(
    name: str,
    topology: str,
    say: Say,
    *,
    balancer: bool = True,
    owner: Process | None = None,
    driver: str = "auto",
) -> Lab:
    """Return the lab of that name, up: made if it is not there, mended if some of it has died.

    A failure while it is made leaves nothing. `owner`: the process that has it for itself, and
    with whose end it counts as left behind. `driver`: what natlb is to receive by.
    """
    paper = load_topology(topology)
    while True:
        with locked(name):
            lab = load(name)
            if lab is None:
                return _make(name, paper, say, balancer=balancer, owner=owner, driver=driver)
            if not _is_left_behind(lab):
                _check_usable(lab, paper.source, owner, driver)
                return _mend(lab, paper, say, balancer=balancer)
            _remove(lab, say)  # and with it the directory that is locked: begin anew
            say(f"lab {name!r} was left half-made: removed")


def down_lab(name: str, say: Say) -> list[str]:
    """Remove the lab of that name, and return the names of its namespaces."""
    with locked(name):
        return _remove(find(name), say)


def remove_abandoned(say: Say) -> None:
    """Remove the labs whose owner has died: of demos that were killed."""
    for name in names():
        with locked(name):
            lab = load(name)
            if lab is not None and _is_abandoned(lab):
                _remove(lab, say)
                say(f"lab {name!r} was left by a demo that died: removed")


def status_of(lab: Lab) -> LabStatus:
    """Return the lab in one line."""
    backends = [each for each in lab.processes if each.role == "backend"]
    natlb = lab.process("natlb", lab.balancer)
    whole = set(lab.namespaces.values()) <= set(namespaces())
    healthy = whole and all(each.alive for each in backends) and (lab.socket is None or natlb)
    return LabStatus(
        name=lab.name,
        topology=lab.topology,
        state=lab.state if lab.state == "making" or healthy else "broken",
        natlb=natlb.pid if natlb else None,
        backends=sum(each.alive for each in backends),
        namespaces=[*lab.namespaces.values()],
        socket=lab.socket,
    )


def list_labs() -> list[LabStatus]:
    """Return all labs, sorted by name."""
    labs = (load(name) for name in names())
    return [status_of(lab) for lab in labs if lab is not None]


def run_in_lab(name: str, host: str, command: Sequence[str]) -> int:
    """Run a command in a host with our terminal and files, and return its exit status."""
    netns = find(name).netns(host)
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGQUIT)}
    try:
        return wait(start_attached(netns, command))  # ^C is for the command
    except OSError as error:
        raise UsageError(f"cannot run {command[0]!r}: {error.strerror}") from error
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _is_left_behind(lab: Lab) -> bool:
    """Return whether nobody has use for the lab: half-made, half-removed, or its demo has died."""
    whole = set(lab.namespaces.values()) <= set(namespaces())
    return _is_abandoned(lab) or lab.state != "up" or not whole


def _is_abandoned(lab: Lab) -> bool:
    return lab.owner is not None and not lab.owner.alive


def _check_usable(lab: Lab, topology: str, owner: Process | None, driver: str) -> None:
    """Raise BusyError if the lab is another's, or another one than is wanted."""
    if lab.owner != owner:
        whose = f"of the demo that is pid {lab.owner.pid}" if lab.owner else "there already"
        raise BusyError(f"lab {lab.name!r} is {whose}", fix="another name for the lab")
    if lab.topology != topology:
        raise BusyError(
            f"lab {lab.name!r} is up with topology {lab.topology}", fix=f"natlb lab down {lab.name}"
        )
    if driver not in ("auto", lab.driver):
        raise BusyError(
            f"lab {lab.name!r} is up with driver {lab.driver}", fix=f"natlb lab down {lab.name}"
        )


def _make(
    name: str,
    paper: Topology,
    say: Say,
    *,
    balancer: bool,
    owner: Process | None,
    driver: str,
) -> Lab:
    netns = {host: f"{name}-{host}" for host in paper.hosts}
    check_free(netns.values())
    lab = save(
        Lab(
            name=name,
            topology=paper.source,
            state="making",
            client=paper.client,
            balancer=paper.balancer,
            namespaces=netns,
            processes=(owner,) if owner else (),
            driver=driver,
        )
    )
    try:
        build_network(paper, netns)
        write_configuration(lab, paper)
        lab = start_backends(lab, paper)
        if balancer:
            lab = start_balancer(lab, say)
        return save(replace(lab, state="up"))
    except BaseException:
        _remove(lab, say)
        raise


def _mend(lab: Lab, paper: Topology, say: Say, *, balancer: bool) -> Lab:
    """Start what has died, and say so."""
    alive = {each for each in lab.processes if each.alive}
    lab = start_backends(lab, paper)
    if balancer and lab.process("natlb", lab.balancer) is None:
        lab = start_balancer(lab, say)
    for each in lab.processes:
        if each not in alive:
            say(f"{each.role} started in {lab.namespaces[each.host]}")
    return lab


def _remove(lab: Lab, say: Say) -> list[str]:
    """Remove the lab: natlb is asked to stop, everything else is told to, nothing stays."""
    inodes = _inodes(lab)
    natlb = lab.process("natlb", lab.balancer)
    if natlb is not None:
        stop([natlb.pid], grace=GRACE_SECONDS)
    stop(set(inhabitants(inodes)) - {os.getpid()}, grace=1.0)
    removed = remove_namespaces(lab.namespaces.values())
    for inode in inodes:
        shutil.rmtree(INSTANCES / str(inode), ignore_errors=True)
    forget(lab)
    say(f"removed {len(removed)} namespaces")
    return removed


def _inodes(lab: Lab) -> set[int]:
    """Return the lab's namespaces: those that have their names, and those its processes are in.

    Ours is none of them: what lives there is not the lab's to end.
    """
    there = set(namespaces())
    named = {identity(netns) for netns in lab.namespaces.values() if netns in there}
    processes = (each for each in lab.processes if each.role != "owner" and each.alive)
    return (named | {network_of(each.pid) for each in processes}) - {identity()}
