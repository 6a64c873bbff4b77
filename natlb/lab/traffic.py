"""Traffic through a lab: the topology tells what to send, the client process who answered."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from natlb.errors import HostError
from natlb.lab.loader import Kind, Outcome, Phase
from natlb.lab.process import start, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from natlb.lab.record import Lab
    from natlb.lab.topology import Listen, Topology

KINDS: dict[str, tuple[Kind, ...]] = {"tcp": ("connections", "requests"), "udp": ("datagrams",)}
CONCURRENCY: dict[Kind, int] = {"connections": 12, "requests": 12, "datagrams": 32}


def plan_traffic(topology: Topology, count: int) -> list[Phase]:
    """Return what to send: `count` of each kind of traffic to each service.

    To a TCP service that is requests over new connections and over kept ones, to a UDP service
    datagrams.
    """
    return [
        _phase(topology, listen, kind, count)
        for listen in topology.listens
        for kind in KINDS[listen.protocol]
    ]


def _phase(topology: Topology, listen: Listen, kind: Kind, count: int) -> Phase:
    return Phase(
        service=listen.service,
        kind=kind,
        address=str(listen.address),
        port=listen.port,
        count=count,
        concurrency=CONCURRENCY[kind],
        sources=topology.sources(listen.address.version),
    )


def send_traffic(
    lab: Lab, phases: list[Phase], *, deadline: float, progress: Callable[[str, str, int], None]
) -> Iterator[Outcome]:
    """Give what the client of the lab saw of each phase, all of them sent within `deadline` s.

    `progress` hears of a phase while it runs: its kind, its service, and how much was answered.
    """
    left = len(phases)
    for kind, value in _messages(lab, phases, deadline):
        if kind == "progress":
            progress(value["kind"], value["service"], value["done"])
        else:
            left -= 1
            yield Outcome(**value)
    if left:
        lines = lab.log(lab.client).read_text().splitlines()
        raise HostError(f"the client ended early: {lines[-1] if lines else 'without a word'}")


def _messages(lab: Lab, phases: list[Phase], deadline: float) -> Iterator[tuple[str, Any]]:
    """Give what the client process prints; it is ended when nobody listens any more."""
    plan = json.dumps({"phases": [asdict(phase) for phase in phases], "deadline": deadline})
    command = [sys.executable, "-m", "natlb.lab.loader", plan]
    ours, theirs = os.pipe()
    log = os.open(lab.log(lab.client), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        pid = start(lab.netns(lab.client), command, stdout=theirs, stderr=log)
    finally:
        os.close(theirs)
        os.close(log)
    with os.fdopen(ours) as lines:
        try:
            for line in lines:
                with suppress(ValueError):  # cut off in the middle of a line: the client has died
                    yield from json.loads(line).items()
        finally:
            stop([pid], grace=1.0)
