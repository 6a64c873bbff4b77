"""The flows that come: when each starts, who calls, and how long handshake and service take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from natlb.errors import UsageError
from natlb.simulation.forms import ARRIVALS, CLIENTS, DURATIONS, read_form, read_trace

if TYPE_CHECKING:
    from natlb.simulation.forms import Floats, Integers

MICROSECONDS = 1_000_000
FIRST_CLIENT = 100 << 24 | 64 << 16  # 100.64.0.0/10 (RFC 6598): never a VIP's or a backend's
FIRST_PORT = 1024
PORTS = 65536 - FIRST_PORT
MOST_FLOWS = 1 << 24
LONGEST_US = 1 << 50  # 35 years: times stay far from the end of 63 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Flows in the order of their starts. Times are microseconds, clients' addresses 32 bits."""

    starts: Integers
    clients: Integers
    ports: Integers
    handshakes: Integers
    services: Integers

    @property
    def span_us(self) -> int:
        """When the last flow comes."""
        return int(self.starts[-1])


def draw_workload(
    *, flows: int, arrivals: str, holding: str, clients: str, handshake: str, seed: int
) -> Workload:
    """Return a workload as its forms say. Each has chance of its own: one changes no other."""
    if not 1 <= flows <= MOST_FLOWS:
        raise UsageError(f"--flows {flows} is not in 1..{MOST_FLOWS}")
    starts = _starts(arrivals, flows, seed)
    count = starts.size
    callers = read_form("--clients", clients, CLIENTS)(_chance(seed, 1), count)
    return settle(
        starts=starts,
        clients=callers.astype(np.int64),
        handshakes=_durations("--handshake", handshake, count, _chance(seed, 2)),
        services=_durations("--holding", holding, count, _chance(seed, 3)),
    )


def _chance(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, stream])


def _starts(arrivals: str, flows: int, seed: int) -> Floats:
    name, _, place = arrivals.partition(":")
    if name == "trace":
        return read_trace("--arrivals", place)[:flows]
    drawn = read_form("--arrivals", arrivals, ARRIVALS)
    return drawn(_chance(seed, 0), flows).astype(np.float64)


def _durations(option: str, text: str, count: int, chance: np.random.Generator) -> Floats:
    return read_form(option, text, DURATIONS)(chance, count).astype(np.float64)


def settle(*, starts: Floats, clients: Integers, handshakes: Floats, services: Floats) -> Workload:
    """Return flows in their order, each with a port of its client's own; all in seconds."""
    order = np.argsort(starts, kind="stable")
    clients = clients[order]
    return Workload(
        starts=_microseconds(starts[order]),
        clients=FIRST_CLIENT + clients,
        ports=FIRST_PORT + _turns(clients) % PORTS,
        handshakes=_microseconds(handshakes[order]),
        services=_microseconds(services[order]),
    )


def _microseconds(seconds: Floats) -> Integers:
    return np.rint(np.minimum(seconds * MICROSECONDS, LONGEST_US)).astype(np.int64)


def _turns(clients: Integers) -> Integers:
    """Return of each flow how many its client had before."""
    order = np.argsort(clients, kind="stable")
    ordered = clients[order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[begins, ordered.size])
    turns = np.empty(clients.size, np.int64)
    turns[order] = np.arange(clients.size) - np.repeat(begins, lengths)
    return turns
