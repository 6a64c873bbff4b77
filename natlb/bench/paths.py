"""natlb on each of its ways to move packets, and on each the bare forwarder: the limit there."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from natlb.bench.aims import BARE, PATHS
from natlb.bench.forwarders import (
    BACKEND,
    BALANCER,
    TOPOLOGY,
    VIP,
    Forwarder,
    begin_process,
    last_line,
)
from natlb.bench.results import MeasureError
from natlb.control.config import config_from_mapping
from natlb.errors import NatlbError
from natlb.lab import rights
from natlb.lab.balancer import GRACE_SECONDS, start_balancer
from natlb.lab.process import stop
from natlb.lab.topology import load_topology
from natlb.netlink import Netlink

if TYPE_CHECKING:
    from natlb.bench.forwarders import Say
    from natlb.lab.record import Lab

READY_SECONDS = 120.0  # a first compile on a busy machine
COMPILING_SECONDS = 15.0  # a start that takes longer compiled something
NOT_HERE = "not in this version"
TUN_PATHS = ("tun-route", "tun-direct")
BARE_PATHS = TUN_PATHS  # those that the bare forwarder has
ABOUT = {
    "tun-route": "in by TUN, out by TUN and the kernel's routes",
    "tun-direct": "in by TUN, out by a packet socket straight to the other interface",
    "packet": "packet sockets on both interfaces",
    "xdp": "AF_XDP sockets on both interfaces; checksum offload off at the far ends",
}
KEYS: dict[str, dict[str, str]] = {
    "tun-route": {"driver": "tun", "output": "route"},
    "tun-direct": {"driver": "tun", "output": "direct"},
    "packet": {"driver": "packet"},
    "xdp": {"driver": "xdp"},
}


def configuration(path: str) -> dict[str, Any]:
    """Return what natlb is told to forward by a path."""
    told = load_topology(str(TOPOLOGY)).configuration(path)
    return {**told, "datapath": {**told["datapath"], **KEYS[path]}}


def unless_natlb(path: str) -> str:
    """Return why this natlb cannot forward by a path here, or nothing."""
    try:
        config_from_mapping(configuration(path))
        if path in TUN_PATHS:
            rights.check_tun()
    except NatlbError as error:
        lines = str(error).splitlines()
        return next((line for line in lines if NOT_HERE in line), lines[0]).strip()
    return ""


def begin_natlb(path: str, lab: Lab, say: Say) -> Lab:
    """Start natlb with its driver set, and wait until it forwards.

    One that had to compile holds a gigabyte more: it is started anew.
    """
    told = configuration(path)
    told["state"] = str(lab.directory / "state")
    lab.configuration.write_text(json.dumps(told))  # all JSON is YAML
    began = time.monotonic()
    lab = start_balancer(lab, say)
    if time.monotonic() - began < COMPILING_SECONDS:
        return lab
    process = lab.process("natlb", BALANCER)
    stop([process.pid] if process else [], grace=GRACE_SECONDS)
    return start_balancer(lab, say)


def unless_bare(path: str) -> str:
    """Return why the bare forwarder cannot forward by a path here, or nothing."""
    if path not in BARE_PATHS:
        return NOT_HERE
    try:
        rights.check_tun()
    except NatlbError as error:
        return str(error)
    return ""


def begin_bare(path: str, lab: Lab, _: Say) -> Lab:
    """Start the bare forwarder and wait until it forwards."""
    journal = lab.directory / "bare.journal"
    macs = [mac_of(lab, host) for host in ("client", "backend")]
    command = [sys.executable, "-m", "natlb.bench.bare", path, VIP, BACKEND, str(journal), *macs]
    read, write = os.pipe()
    try:
        try:
            begin_process(lab, BALANCER, command, "bare", stdout=write)
        finally:
            os.close(write)
        if not select.select([read], [], [], READY_SECONDS)[0] or not os.read(read, 64):
            raise MeasureError(f"the bare forwarder: {last_line(lab, 'bare')}")
    finally:
        os.close(read)
    return lab


def mac_of(lab: Lab, host: str) -> str:
    """Return the Ethernet address of a host of the lab."""
    with Netlink(lab.netns(host)) as netlink:
        return netlink.link("eth0").mac


def ours(path: str) -> Forwarder:
    """Return natlb by a path as a column."""
    return Forwarder(
        name=path,
        about=f"natlb, one worker: {ABOUT[path]}",
        why_not=partial(unless_natlb, path),
        begin=partial(begin_natlb, path),
        whole_sums=path == "xdp",
        seconds=5.0,
    )


def bare(path: str) -> Forwarder:
    """Return the bare forwarder by a path as a column."""
    return Forwarder(
        name=BARE + path,
        about=f"the same reads and writes as `{path}`, one address replaced: no table, no checks",
        why_not=partial(unless_bare, path),
        begin=partial(begin_bare, path),
        whole_sums=path == "xdp",
        seconds=3.0,
    )


OURS = tuple(ours(path) for path in PATHS)
BARES = tuple(bare(path) for path in PATHS)
