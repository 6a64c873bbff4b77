"""A source for `natlb top`: two services whose counters go on with every look."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from natlb.model import (
    Backend,
    BackendFlows,
    CheckResult,
    Flow,
    FlowFilter,
    HandshakeTimes,
    PerDirection,
    PoolCount,
    ProcessIds,
    Service,
    ServiceFlows,
    Status,
)

if TYPE_CHECKING:
    from natlb.errors import NatlbError

CHECK = CheckResult(status="up", code="L4OK", latency_ms=0.4, at="2026-01-02T03:04:05.678Z")
REFUSED = CheckResult(status="down", code="L4CON", latency_ms=0.2, at="2026-01-02T03:04:05.678Z")


def backend(service: str, number: int, **changes: Any) -> Backend:
    """Return a backend."""
    made = Backend(
        service=service,
        name=f"b{number}",
        address=f"10.77.0.1{number}:8080",
        weight=1,
        effective_weight=1,
        backup=False,
        state="ready",
        health="up",
        flows=BackendFlows(current=10 * number, opening=0, total=1000 * number),
        packets=PerDirection(original=4, reply=3),
        bytes=PerDirection(original=1000, reply=20_000),
        check=CHECK,
    )
    return replace(made, **changes)


def is_served(each: Backend) -> bool:
    """Return whether a backend gets new flows."""
    return each.state == "ready" and each.health != "down"


class FakeSource:
    """Keeps `Source`; each look is a second of traffic later than the one before."""

    def __init__(self) -> None:
        """Have two services."""
        self.looks = self.asked = 0
        self.failure: NatlbError | None = None
        self.refusal: NatlbError | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.changes: list[tuple[str, str, Any, Any]] = []
        self.pool = [
            backend("web", 1),
            backend("web", 2, weight=10, effective_weight=4),
            backend("web", 3, health="down", check=REFUSED),
            backend("dns", 1, state="draining"),
        ]

    def _asked(self) -> None:
        self.asked += 1
        self.gate.wait(60)
        if self.failure is not None:
            raise self.failure

    def status(self) -> Status:
        """Return ready."""
        self._asked()
        self.looks += 1
        return Status(
            ready=True,
            version="0.1.0",
            engine="compiled",
            driver="tun",
            generation=7,
            config="/etc/natlb/natlb.yaml",
            pid=ProcessIds(supervisor=10, control=11, workers=[12]),
            services=[],
            changes=[],
        )

    def services(self) -> list[Service]:
        """Return the services."""
        return [
            self._service("web", "tcp://203.0.113.10:80"),
            self._service("dns", "udp://[::1]:53"),
        ]

    def _service(self, name: str, listen: str) -> Service:
        own = [each for each in self.pool if each.service == name]
        up = [each for each in own if each.state == "ready" and each.health != "down"]
        return Service(
            name=name,
            listen=[listen],
            policy="least-connections",
            nat="dnat",
            backends=PoolCount(total=len(own), up=len(up)),
            flows=ServiceFlows(current=sum(each.flows.current for each in own), total=9),
            new_flows_per_second=3.0,
        )

    def backends(self) -> list[Backend]:
        """Return the pool, as it is by now."""
        return [
            replace(
                each,
                flows=replace(each.flows, total=each.flows.total + 50 * times),
                bytes=PerDirection(original=2_000 * times, reply=5_000_000 * times),
            )
            for each in self.pool
            for times in [self.looks if is_served(each) else 0]
        ]

    def handshakes(self) -> list[HandshakeTimes]:
        """Return times that rise and fall."""
        seconds = sum(50 * (0.001 + 0.0005 * (look % 5)) for look in range(self.looks))
        return [
            HandshakeTimes(
                service=each.service, name=each.name, count=50 * self.looks, sum_seconds=seconds
            )
            for each in self.pool
            if is_served(each)
        ]

    def flows(self, wanted: FlowFilter | None, limit: int | None) -> list[Flow]:
        """Return three flows of whatever is wanted."""
        self._asked()
        assert wanted is not None
        return [
            Flow(
                service=wanted.service or "",
                backend=wanted.backend or "",
                protocol="tcp",
                client=f"198.51.100.2:{40000 + number}",
                vip="203.0.113.10:80",
                server="10.77.0.11:8080",
                source=None,
                state="established",
                worker=0,
                age_seconds=1.2,
                idle_seconds=0.1,
                expires_seconds=7439.9,
                packets=PerDirection(original=4, reply=3),
                bytes=PerDirection(original=412, reply=640),
            )
            for number in range(3)
        ][:limit]

    def set_backend(
        self, service: str, name: str, *, state: Any = None, weight: int | None = None
    ) -> Backend:
        """Change the pool, or refuse."""
        if self.refusal is not None:
            raise self.refusal
        self.changes.append((service, name, state, weight))
        for at, each in enumerate(self.pool):
            if (each.service, each.name) == (service, name):
                now = each.weight if weight is None else weight
                self.pool[at] = replace(
                    each, state=state or each.state, weight=now, effective_weight=now
                )
                return self.pool[at]
        raise AssertionError(name)
