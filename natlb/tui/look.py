"""What the API said at one moment, and what happened since the moment before.

Counters only grow, so the present is the difference of two looks. One that fell began anew (natlb
was started again, or its backend was removed and added): then there is no rate until the next look.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from natlb.model import (
        Backend,
        BackendStateName,
        Flow,
        FlowFilter,
        HandshakeTimes,
        Service,
        Status,
    )

MOST_REMEMBERED = 24  # looks, which is as wide as a sparkline gets

Key = tuple[str, str]  # service, backend


class Source(Protocol):
    """What is asked: `natlb.client.Client`, or a stand-in."""

    def status(self) -> Status:
        """Return whether packets are forwarded."""

    def services(self) -> list[Service]:
        """Return the services."""

    def backends(self) -> list[Backend]:
        """Return all backends."""

    def handshakes(self) -> list[HandshakeTimes]:
        """Return how long answers took so far."""

    def flows(self, wanted: FlowFilter | None, limit: int | None) -> list[Flow]:
        """Return flows."""

    def set_backend(
        self,
        service: str,
        name: str,
        *,
        state: BackendStateName | None = None,
        weight: int | None = None,
    ) -> Backend:
        """Change a backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One moment."""

    at: float
    status: Status
    services: list[Service]
    backends: list[Backend]
    handshakes: Mapping[Key, HandshakeTimes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a backend does a second, and how long its answers take; None where that is not known."""

    new_flows: float | None = None
    bytes_original: float | None = None
    bytes_reply: float | None = None
    handshake: float | None = None


def take_look(source: Source, clock: Callable[[], float] = time.monotonic) -> Look:
    """Return what there is now. Raises NatlbError where nobody answers."""
    status, services, backends = source.status(), source.services(), source.backends()
    handshakes = {(each.service, each.name): each for each in source.handshakes()}
    return Look(
        at=clock(), status=status, services=services, backends=backends, handshakes=handshakes
    )


class History:
    """The last look, the paces that led to it, and what handshakes took of late."""

    def __init__(self) -> None:
        """Know nothing."""
        self.last: Look | None = None
        self.paces: dict[Key, Pace] = {}
        self.handshakes: dict[Key, deque[float | None]] = {}

    def note(self, look: Look) -> None:
        """Take another look into it; backends that are gone are forgotten."""
        before = self.last
        old = {(each.service, each.name): each for each in before.backends} if before else {}
        self.paces, trails = {}, {}
        for each in look.backends:
            key = each.service, each.name
            pace = Pace()
            if before is not None and key in old:
                pace = _pace(before, look, old[key], each)
            self.paces[key] = pace
            trails[key] = self.handshakes.get(key, deque(maxlen=MOST_REMEMBERED))
            trails[key].append(pace.handshake)
        self.last, self.handshakes = look, trails


def _pace(before: Look, now: Look, old: Backend, new: Backend) -> Pace:
    seconds = max(now.at - before.at, 1e-3)
    return Pace(
        new_flows=_rate(old.flows.total, new.flows.total, seconds),
        bytes_original=_rate(old.bytes.original, new.bytes.original, seconds),
        bytes_reply=_rate(old.bytes.reply, new.bytes.reply, seconds),
        handshake=_mean(before, now, (new.service, new.name)),
    )


def _rate(old: int, new: int, seconds: float) -> float | None:
    return (new - old) / seconds if new >= old else None


def _mean(before: Look, now: Look, key: Key) -> float | None:
    """Return what answers between two looks took on average; None where there was none."""
    old, new = before.handshakes.get(key), now.handshakes.get(key)
    if old is None or new is None or new.count <= old.count:
        return None
    return max(0.0, new.sum_seconds - old.sum_seconds) / (new.count - old.count)
