from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from natlb.control.compile import RunTime
from natlb.control.compile.pools import effective_weight, pool_of_service
from natlb.control.config.values import BackendConfig, ServiceConfig


def backend(number: int, **options: Any) -> BackendConfig:
    """Return backend `bN`."""
    address = ip_address(f"10.9.0.{10 + number}")
    return BackendConfig(name=f"b{number}", address=address, port=80, written="", **options)


def service(*backends: BackendConfig, **options: Any) -> ServiceConfig:
    """Return the service `web` of these backends."""
    return ServiceConfig(name="web", listen=(), backends=backends, **options)


@pytest.mark.parametrize(
    "change", [{"state": "draining"}, {"state": "maint"}, {"weight": 0}, {"health": "down"}]
)
def test_who_takes_no_new_flows_is_in_no_pool(change: dict[str, Any]) -> None:
    """Whatever the reason."""
    web = service(backend(1), backend(2, weight=4))
    now = {("web", "b1"): RunTime(**change)}

    assert [each.name for each in pool_of_service(web, now)] == ["b2"]
    assert [effective_weight(web, each, now) for each in web.backends] == [0, 4]
