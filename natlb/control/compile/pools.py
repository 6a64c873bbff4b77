"""Which of a service's backends take new flows: state, weight, health, backups and panic.

A backend is *able* iff it is `ready` and its weight is not 0; nothing that is not able is ever in
the pool. It is *up* iff it is able and not known to be down. The first line that fits:

    primaries up                  backups up   panic_threshold   the pool
    a share under the threshold   any          above 0           primaries that are able: panic
    some                          any          any               primaries that are up
    none                          some         any               backups that are up
    none                          none         above 0           primaries that are able, or where
                                                                 there are none backups: panic
    none                          none         0                 nobody

The share is that of the primaries that are able. In panic health is ignored, for the flows that
are there as well: nobody is left for being down. Else what is down is left by datagrams and
unanswered calls. No flow is moved by a backup's going or coming.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from natlb.control.compile.run_time import AS_CONFIGURED
from natlb.core.policy.pool import slow_share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from natlb.control.compile.run_time import RunTime
    from natlb.control.config.values import BackendConfig, ServiceConfig, SlowStart


@dataclass(frozen=True, slots=True)
class ServicePool:
    """A service's backends that take new flows, in the order of the configuration.

    `up` counts those that would, if it were for themselves: backups that wait are among them.
    """

    members: tuple[BackendConfig, ...]
    up: int
    is_in_panic: bool = False

    def leaves_alive(self, now: RunTime) -> bool:
        """Return whether the flows of a backend may stay with it, as far as its health goes."""
        return self.is_in_panic or now.health != "down"


def service_pool(
    service: ServiceConfig, run_time: Mapping[tuple[str, str], RunTime]
) -> ServicePool:
    """Return who takes a service's new flows."""
    able, up = [], []
    for backend in service.backends:
        now = run_time.get((service.name, backend.name), AS_CONFIGURED)
        if is_able(backend, now):
            able.append(backend)
        if is_up(backend, now):
            up.append(backend)
    primaries, backups = _apart(able)
    primaries_up, backups_up = _apart(up)
    threshold = service.panic_threshold
    if primaries_up:
        if len(primaries_up) / len(primaries) < threshold:
            return ServicePool(primaries, len(up), is_in_panic=True)
        return ServicePool(primaries_up, len(up))
    if backups_up or threshold <= 0:
        return ServicePool(backups_up, len(up))
    return ServicePool(primaries or backups, len(up), is_in_panic=True)


def pool_of_service(
    service: ServiceConfig, run_time: Mapping[tuple[str, str], RunTime]
) -> tuple[BackendConfig, ...]:
    """Return the backends that take new flows, in the order of the configuration."""
    return service_pool(service, run_time).members


def is_able(backend: BackendConfig, now: RunTime) -> bool:
    """Return whether an operator lets a backend take new flows."""
    return now.state == "ready" and now.weight_of(backend) > 0


def is_up(backend: BackendConfig, now: RunTime) -> bool:
    """Return whether a backend could take new flows, were it for itself alone."""
    return is_able(backend, now) and now.health != "down"


def _apart(
    backends: Sequence[BackendConfig],
) -> tuple[tuple[BackendConfig, ...], tuple[BackendConfig, ...]]:
    """Return the primaries, and the backups."""
    return (
        tuple(each for each in backends if not each.backup),
        tuple(each for each in backends if each.backup),
    )


def slow_start_ms(slow_start: SlowStart) -> int:
    """Return how long slow start takes, as tables have it: 0 would be none."""
    return max(1, round(1000 * slow_start.seconds))


def weight_in_force(
    service: ServiceConfig, backend: BackendConfig, now: RunTime, now_ms: int
) -> int | float:
    """Return the weight that a backend of the pool has at this moment: less in slow start."""
    weight, slow = now.weight_of(backend), service.slow_start
    if slow is None or now.began_ms is None:
        return weight
    share = slow_share(now_ms - now.began_ms, slow_start_ms(slow), slow.exponent)
    risen = round(share * weight, 2)
    return int(risen) if risen == int(risen) else risen
