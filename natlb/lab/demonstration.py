"""The demo: a lab, traffic through natlb in it, what came of that, and the lab is removed.

Whatever happens on the way, an exception or a signal, the lab is removed. A demo that is killed
with SIGKILL leaves its lab to the next one, or to `natlb lab down --all`.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console

from natlb import __version__
from natlb.client import Client
from natlb.errors import BusyError, NatlbError
from natlb.lab import rights
from natlb.lab.balancer import start_balancer
from natlb.lab.lifecycle import down_lab, remove_abandoned, up_lab
from natlb.lab.process import this_process
from natlb.lab.record import load, names
from natlb.lab.report import Row, client_table, error_rows, service_table
from natlb.lab.screen import Screen
from natlb.lab.topology import load_topology
from natlb.lab.traffic import plan_traffic, send_traffic
from natlb.model import Backend, Service, Statistics, Status, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.lab.loader import Outcome
    from natlb.lab.record import Lab
    from natlb.lab.topology import Topology

TRAFFIC_SECONDS = 60.0  # a few seconds on an idle machine
MOST_DEMOS = 100
INTERRUPTED = 130  # contract: exit codes
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NEXT = """\
try next:
  natlb lab up                                             the same lab, to stay
  natlb lab exec client -- curl -s http://203.0.113.10/    ask it from the client
  natlb lab exec lb -- natlb services                      see what natlb sees
  natlb lab down                                           and away again
a configuration of your own needs four lines, then `natlb run -c FILE`:
  services:
    web:
      listen: tcp://203.0.113.10:80
      backends: [10.77.0.11:8080, 10.77.0.12:8080]"""


@dataclass(slots=True)
class Findings:
    """What the demo found out, filled as it goes."""

    topology: Topology
    engine: str
    up_seconds: float = 0.0
    ready_seconds: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)
    status: Status | None = None
    services: list[Service] = field(default_factory=list)
    backends: list[Backend] = field(default_factory=list)
    stats: Statistics | None = None
    removed: list[str] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """How many requests had no right answer, and sources that a hash sent to two backends."""
        lost = sum(sum(outcome.errors.values()) for outcome in self.outcomes)
        return lost + sum(outcome.moved for outcome in self.hashed())

    def hashed(self) -> list[Outcome]:
        """Return the outcomes of services that promise each client one backend."""
        keeping = {each.name for each in self.services if each.policy == "source-hash"}
        return [outcome for outcome in self.outcomes if outcome.service in keeping]

    def seconds(self) -> dict[str, float]:
        """Return how long each service had traffic."""
        total: dict[str, float] = {}
        for outcome in self.outcomes:
            total[outcome.service] = total.get(outcome.service, 0.0) + outcome.seconds
        return total

    def document(self) -> dict[str, Any]:
        """Return all of it as plain JSON data."""
        return {
            "version": __version__,
            "engine": self.status.engine if self.status else self.engine,
            "python": platform.python_version(),
            "kernel": platform.release(),
            "topology": self.topology.name,
            "driver": self.status.driver if self.status else None,
            "up_seconds": round(self.up_seconds, 3),
            "ready_seconds": round(self.ready_seconds, 3),
            "traffic": [asdict(outcome) for outcome in self.outcomes],
            "answered": sum(outcome.answered for outcome in self.outcomes),
            "errors": self.errors,
            "services": to_json(self.services),
            "backends": to_json(self.backends),
            "stats": to_json(self.stats) if self.stats else None,
            "removed": self.removed,
        }


def run(*, topology: str, count: int, driver: str, json_: bool, console: Console | None) -> int:
    """Run the demo, and return its exit status: 0, 1 after errors, 130 if interrupted."""
    # With --json standard output is the document's alone; words go to standard error.
    screen = Screen(console or Console(stderr=json_, highlight=False))
    engine = "interpreted" if os.environ.get("NATLB_JIT") == "0" else "compiled"
    found = Findings(topology=load_topology(topology), engine=engine)
    python, kernel = platform.python_version(), platform.release()
    screen.say(f"natlb {__version__}, {engine}, Python {python}, Linux {kernel}", "bold")
    if driver == "tun":
        rights.check_tun()
    rights.enter(make=True)
    try:
        with signals_interrupt():
            try:
                _show(found, topology, driver, count, screen)
            finally:
                try:
                    _clean_up(found, screen)
                except KeyboardInterrupt:  # a first signal in this very moment; no second comes
                    _clean_up(found, screen)
                    raise
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        rights.settle()
    if json_:
        sys.stdout.write(json.dumps(found.document(), indent=2) + "\n")
    else:
        screen.say(NEXT)
    return 1 if found.errors else 0


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Have the first signal that ends a program raise KeyboardInterrupt; later ones do nothing."""

    def interrupt(first: int, _: object) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(first).name)

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(found: Findings, topology: str, driver: str, count: int, screen: Screen) -> None:
    began = time.perf_counter()
    lab = _up_own(topology, driver, screen)
    found.up_seconds = time.perf_counter() - began
    hosts = ", ".join(lab.namespaces.values())
    screen.say(f"lab up in {found.up_seconds:.1f} s: {hosts}")
    began = time.perf_counter()
    with screen.busy("natlb is starting"):
        lab = start_balancer(lab, lambda line: screen.say(f"  {line}", "dim"))
    found.ready_seconds = time.perf_counter() - began
    screen.say(f"natlb ready in {found.ready_seconds:.1f} s, its socket {lab.socket}")
    _send(found, lab, count, screen)
    _ask(found, Client(lab.socket))
    if found.status is not None:
        screen.say(f"driver {found.status.driver}, {found.status.engine}")
    screen.show([Row(""), *service_table(found.services, found.backends, found.seconds())])
    screen.show([Row(""), *client_table(found.outcomes), *error_rows(found.outcomes), Row("")])
    for outcome in found.hashed():
        kept = f"{outcome.sources - outcome.moved} of {outcome.sources} client addresses"
        screen.say(f"{outcome.service}: {kept} were answered by one backend each")
    screen.say(f"errors {found.errors}", "red" if found.errors else "green")


def _up_own(topology: str, driver: str, screen: Screen) -> Lab:
    """Return a lab of this process alone, under the first name that no other demo holds."""
    remove_abandoned(screen.say)
    owner = this_process("owner")
    for name in ("demo", *(f"demo{number}" for number in range(2, MOST_DEMOS))):
        with suppress(BusyError):
            return up_lab(name, topology, screen.say, balancer=False, owner=owner, driver=driver)
    raise BusyError(f"{MOST_DEMOS} demos run already", fix="natlb lab down --all")


def _send(found: Findings, lab: Lab, count: int, screen: Screen) -> None:
    """Send the traffic; meanwhile the services are drawn, or each phase is told."""
    client = Client(lab.socket)
    phases = plan_traffic(found.topology, count)
    total = sum(phase.count for phase in phases)
    screen.say(f"traffic: {total} requests and datagrams from {lab.netns(lab.client)}")

    def progress(kind: str, service: str, done: int) -> None:
        if screen.is_live:
            with suppress(NatlbError):  # not now: the next time will do
                _ask(found, client)
            rows = service_table(found.services, found.backends, found.seconds())
            screen.draw([Row(f"{kind} to {service}: {done}", "dim"), *rows])

    with screen:
        for outcome in send_traffic(lab, phases, deadline=TRAFFIC_SECONDS, progress=progress):
            found.outcomes.append(outcome)
            answered = f"{outcome.answered} answered in {outcome.seconds:.1f} s"
            screen.say(f"  {outcome.kind} to {outcome.service}: {answered}", "dim")


def _ask(found: Findings, client: Client) -> None:
    found.status, found.stats = client.status(), client.stats()
    found.services, found.backends = client.services(), client.backends()


def _clean_up(found: Findings, screen: Screen) -> None:
    """Remove the lab that is ours, if there is one."""
    ours = this_process("owner")
    for name in names():
        lab = load(name)
        if lab is not None and lab.owner == ours:
            found.removed += down_lab(name, screen.say)
