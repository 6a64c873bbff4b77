"""Which of a service's backends take new flows: state, weight, health, backups and panic.

ready, weight > 0    else a backend takes nothing, panic or not
health               one that is down takes nothing, unless too few of the pool are up
backup               takes flows only where no other backend is up
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.compile.run_time import AS_CONFIGURED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from natlb.control.compile.run_time import RunTime
    from natlb.control.config.values import BackendConfig, ServiceConfig


def pool_of_service(
    service: ServiceConfig, run_time: Mapping[tuple[str, str], RunTime]
) -> list[BackendConfig]:
    """Return the backends that take new flows, in the order of the configuration."""
    return [
        backend for backend in service.backends if effective_weight(service, backend, run_time) > 0
    ]


def effective_weight(
    service: ServiceConfig, backend: BackendConfig, run_time: Mapping[tuple[str, str], RunTime]
) -> int:
    """Return the weight that new flows are given by: 0 for a backend that takes none."""
    now = run_time.get((service.name, backend.name), AS_CONFIGURED)
    takes = now.state == "ready" and now.health != "down"
    return now.weight_of(backend) if takes else 0
