"""What a simulation is given for each flow, what became of it, and the servers behind natlb.

All arrays are as long as they will ever be before the clock runs: nothing is allocated for a flow.
Times are microseconds since the beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOT_YET = -1
NOBODY = -1
NEVER = 1 << 62

NUMBERS = (
    "arrived",  # flows so far: those that follow are to come
    "due",  # entries of the calendar in use
    "sampled",  # samples taken
    "evicted",  # flows that the core gave up for others before they were answered
    "broken",  # flows that ended because their backend failed
    "clock",  # up to when the clock has run
)
ARRIVED, DUE, SAMPLED, EVICTED, BROKEN, CLOCK = range(len(NUMBERS))

# Slots of the batch, each with a packet of a flow's life. The first is also what is opened by.
OPENING_PACKET, ANSWER, CONFIRMATION, CLIENT_FIN, BACKEND_FIN = range(5)
PACKETS = 5


class Script(NamedTuple):
    """What comes, by flow in the order of their starts, and what each backend is like."""

    starts: NDArray[np.int64]
    clients: NDArray[np.int64]  # the last 32 bits of the client's address
    ports: NDArray[np.int64]
    handshakes: NDArray[np.int64]  # what a backend of usual speed takes to answer
    services: NDArray[np.int64]  # and to serve the flow
    slowness: NDArray[np.float64]  # by backend: both take so many times as long
    servers: int  # flows that a backend serves at once; 0: all
    service: int  # whose index natlb knows the service by
    is_tcp: int


class World(NamedTuple):
    """What became of each flow, and what is under way."""

    backends: NDArray[np.int64]  # by flow: the one it was given, or the reason refused, negated
    rows: NDArray[np.int64]  # by flow: its row in the flow table, and that row's generation
    generations: NDArray[np.int64]
    answered: NDArray[np.int64]  # by flow: when, or NOT_YET
    served: NDArray[np.int64]  # when a server began with it
    ended: NDArray[np.int64]
    links: NDArray[np.int64]  # by flow: who waits behind it
    times: NDArray[np.int64]  # the calendar: when
    events: NDArray[np.int64]  # and what: see calendar.py
    busy: NDArray[np.int64]  # by backend: servers at work
    heads: NDArray[np.int64]  # who waits longest, or NOBODY
    tails: NDArray[np.int64]
    peaks: NDArray[np.int64]  # by backend: the most flows it had
    moments: NDArray[np.int64]  # when samples are taken
    samples: NDArray[np.int64]  # [sample, backend]: its flows
    numbers: NDArray[np.int64]


def make_world(flows: int, backends: int, moments: NDArray[np.int64]) -> World:
    """Return a world in which nothing has happened."""

    def each_flow(value: int = NOT_YET) -> NDArray[np.int64]:
        return np.full(flows, value, np.int64)

    return World(
        backends=each_flow(),
        rows=each_flow(),
        generations=each_flow(),
        answered=each_flow(),
        served=each_flow(),
        ended=each_flow(),
        links=each_flow(NOBODY),
        times=np.zeros(flows + 1, np.int64),
        events=np.zeros(flows + 1, np.int64),
        busy=np.zeros(backends, np.int64),
        heads=np.full(backends, NOBODY, np.int64),
        tails=np.full(backends, NOBODY, np.int64),
        peaks=np.zeros(backends, np.int64),
        moments=moments,
        samples=np.zeros((moments.size, backends), np.int64),
        numbers=np.zeros(len(NUMBERS), np.int64),
    )
