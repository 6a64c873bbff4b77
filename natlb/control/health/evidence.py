"""From what workers tell of openings to what the judge hears, and from its verdicts to the arbiter.

A look is bounded: the ring holds 4,096 events, and of each backend the last eight are heard. Where
the ring was lapped, `NOTE.failed` still tells how many openings of each backend have failed; whose
they were is not known then, so they count as one client's.

Not heard is
    what is about a backend that has left, or of a service that is not to be judged (`passive`);
    UDP without a reply, as long as no backend of the service has ever replied: there are protocols
    that never do (syslog);
    a service whose backends answer on more than 16 ports: somebody who scans them finds closed
    ones, and the server that says so is well.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from natlb.control.compile import AS_CONFIGURED
from natlb.control.compile.pools import is_able
from natlb.control.compile.tables import identity_of
from natlb.control.event_ring import EventRing
from natlb.control.health.passive import ENOUGH_OF_ONE, Failure, Kind, PassiveJudge, Standing
from natlb.core.layout import REFUSED, UNANSWERED, UNREACHABLE, UNREPLIED_LONG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from natlb.control.config.values import ServiceConfig
    from natlb.control.desired import BackendKey, Desired
    from natlb.control.intents import Intents
    from natlb.model import HealthName

SECONDS_A_LOOK = 0.1
MOST_PORTS = 16
KINDS: dict[int, Kind] = {
    UNANSWERED: "unanswered",
    REFUSED: "reset",
    UNREPLIED_LONG: "unreplied",
}
MAPPED = (0, 0, 0xFFFF)
UNKNOWN_CLIENT = None
LONGEST_WAIT_MS = 3_000  # that an unanswered opening is seen at the latest: of one nobody knows
UNREACHABLE_TYPES = {1, 3}  # of ICMPv6 and of ICMP


class Decides(Protocol):
    """Who says in the end whether a backend is up."""

    def health(self, key: BackendKey) -> HealthName:
        """Return the health in force."""

    def passive(self, key: BackendKey) -> str | None:
        """Return why traffic speaks against a backend, None where it does not."""

    def passively(self, key: BackendKey, *, down: bool, why: str = "", until_ms: int = 0) -> None:
        """Take what traffic says."""


class PassiveWatch:
    """Looks at what workers tell, and has the arbiter know what follows."""

    def __init__(self, intents: Intents, arbiter: Decides) -> None:
        """Go on where another control has stopped reading."""
        self._intents = intents
        self._arbiter = arbiter
        self._rings = [EventRing(events) for events in intents.memory.events]
        self._judge = PassiveJudge()
        self._desired: Desired | None = None
        self._owners: dict[int, BackendKey] = {}
        self._failed: NDArray[np.int64] = np.zeros(0, np.int64)

    async def run(self) -> None:
        """Look, again and again, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(SECONDS_A_LOOK)

    def look(self) -> None:
        """Hear what was told since the last look, and judge."""
        self._follow()
        lost = self._lost()
        told = np.concatenate([ring.read() for ring in self._rings])
        events = told[np.argsort(told["time_ms"], kind="stable")]
        for key, told in self._by_backend(events):
            self._hear(key, told)
        if self._lost() > lost:
            self._hear_of_lost(events)
        self._failed = self._count_failed()
        for verdict in self._judge.judge(self._intents.memory.now_ms(), self._standing):
            until = verdict.until_ms
            self._arbiter.passively(verdict.key, down=verdict.down, why=verdict.why, until_ms=until)
            if verdict.down:
                seconds = (until - self._intents.memory.now_ms()) / 1000
                self._tell(verdict.key, verdict.why, round(seconds))

    def _lost(self) -> int:
        """Return how many events were overwritten before they were read, in all rings."""
        return sum(ring.lost for ring in self._rings)

    def _notes(self, field: str, numbers: list[int]) -> NDArray[np.int64]:
        """Return what the workers keep of these backends in a field: [worker, place]."""
        counters = self._intents.memory.counters
        return np.stack([each.notes[field][numbers] for each in counters])

    def _tell(self, key: BackendKey, why: str, seconds: int) -> None:
        service, backend = key
        self._intents.events.note(
            "backend_suspected",
            "warning",
            service=service,
            backend=backend,
            why="passive",
            reason=why,
            seconds=seconds,
        )

    def _follow(self) -> None:
        """Know who has which number in what is in force now."""
        desired = self._intents.desired
        if desired is self._desired:
            return
        self._desired = desired
        owners = {
            desired.indices.backends[service.name, backend.name]: (service.name, backend.name)
            for service in desired.config.services.values()
            if is_judged(service)
            for backend in service.backends
        }
        if owners != self._owners:
            self._owners = owners
            self._failed = self._count_failed()

    def _count_failed(self) -> NDArray[np.int64]:
        """Return how many openings have failed of each who is judged."""
        counted: NDArray[np.int64] = self._notes("failed", list(self._owners)).sum(axis=0)
        return counted

    def _by_backend(self, events: NDArray[Any]) -> Iterator[tuple[BackendKey, NDArray[Any]]]:
        """Yield the events about each who is judged, in their order."""
        numbers, first, count = np.unique(
            events["backend"][order := np.argsort(events["backend"], kind="stable")],
            return_index=True,
            return_counts=True,
        )
        for number, start, size in zip(numbers.tolist(), first, count, strict=True):
            key = self._owners.get(number)
            if key is not None:
                told = events[order[start : start + size]]
                yield key, told[told["identity"] == identity_of(*key)]

    def _hear(self, key: BackendKey, told: NDArray[Any]) -> None:
        """Have the judge hear the last of what is told about a backend."""
        failures = told[told["kind"] != UNREACHABLE]
        if not self._ever_replies(key[0]):
            failures = failures[failures["kind"] != UNREPLIED_LONG]
        for event in failures[-ENOUGH_OF_ONE:]:
            time_ms = int(event["time_ms"])
            opened_ms = time_ms - int(event["value"])
            kind = KINDS[int(event["kind"])]
            self._judge.hear(key, Failure(_client_of(event), kind, opened_ms, time_ms))
        for event in told[told["kind"] == UNREACHABLE][-1:]:
            kind_of_error, code = divmod(int(event["value"]), 256)
            if kind_of_error in UNREACHABLE_TYPES:
                self._judge.hint(key, f"ICMP says unreachable, code {code}")

    def _hear_of_lost(self, events: NDArray[Any]) -> None:
        """Have the judge hear of failures that are counted, though nobody can say more of them."""
        now_ms = self._intents.memory.now_ms()
        heard = np.bincount(
            events["backend"][events["kind"] != UNREACHABLE],
            minlength=max(self._owners, default=0) + 1,
        )
        failed = self._count_failed()
        for place, (number, key) in enumerate(self._owners.items()):
            lost = int(failed[place] - self._failed[place] - heard[number])
            if not self._may_be_lost(key[0]):
                continue
            for _ in range(min(lost, ENOUGH_OF_ONE)):
                opened_ms = now_ms - LONGEST_WAIT_MS
                self._judge.hear(key, Failure(UNKNOWN_CLIENT, "unanswered", opened_ms, now_ms))

    def _may_be_lost(self, service: str) -> bool:
        """Return whether a failure of whatever kind says something of this service's backends."""
        assert self._desired is not None
        listen = self._desired.config.services[service].listen
        return self._ever_replies(service) or all(each.protocol == "tcp" for each in listen)

    def _numbers_of(self, service: str) -> list[int]:
        assert self._desired is not None
        backends = self._desired.config.services[service].backends
        return [self._desired.indices.backends[service, each.name] for each in backends]

    def _ever_replies(self, service: str) -> bool:
        """Return whether any backend of a service has replied to a datagram."""
        return bool(self._notes("replied_ms", self._numbers_of(service)).any())

    def _standing(self, key: BackendKey) -> Standing | None:
        """Return how a suspect stands now, None where it is judged no more."""
        assert self._desired is not None
        number = self._desired.indices.backends.get(key)
        if number is None or number not in self._owners:
            return None
        answered = (self._notes(field, [number]).max() for field in ("answered_ms", "replied_ms"))
        return Standing(
            answered_ms=int(max(answered)),
            is_held=self._arbiter.passive(key) is not None,
            is_spare=self._is_spare(key),
        )

    def _is_spare(self, key: BackendKey) -> bool:
        """Return whether half of a pool is left without this backend."""
        assert self._desired is not None
        service = self._desired.config.services[key[0]]
        names = [(service.name, each.name) for each in service.backends]
        run_time = self._desired.run_time
        able = [
            name
            for name, backend in zip(names, service.backends, strict=True)
            if is_able(backend, run_time.get(name, AS_CONFIGURED))
        ]
        up = [name for name in able if self._arbiter.health(name) != "down"]
        return 2 * len([name for name in up if name != key]) >= len(able)


def is_judged(service: ServiceConfig) -> bool:
    """Return whether traffic says anything of a service's backends."""
    kept = any(backend.port is None for backend in service.backends)
    ports = sum(listen.ports for listen in service.listen)
    return service.passive and (not kept or ports <= MOST_PORTS)


def _client_of(event: Any) -> tuple[int, ...]:
    """Return who opened a flow: an IPv4 address, or the /64 of an IPv6 one."""
    lanes = tuple(int(event["original"][f"source{lane}"]) for lane in range(4))
    return lanes if lanes[:3] == MAPPED else lanes[:2]
