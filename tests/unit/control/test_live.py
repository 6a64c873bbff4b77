"""The instance that the API asks, over real memory and a worker that pretends."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Any

import pytest

from natlb.control.mapped import map_memory
from natlb.control.rates import Rates
from natlb.control.roles import Role
from natlb.core.layout import FREE
from natlb.core.memory import Kind
from natlb.errors import UnknownNameError, UsageError
from natlb.io.shared import attach
from natlb.model import FlowFilter
from tests.unit.control.instances import CONFIG, World, add_flow, eventually, in_world


def flows_of(world: World) -> Any:
    """Return the worker's flow table, as the worker has it."""
    held = world.supervisor.holdings.get(Role.FLOWS)
    assert held is not None
    return attach(Kind.FLOWS, held.fd)


@in_world
async def test_what_is_read_is_named(world: World) -> None:
    """Numbers of tables become names of the configuration."""
    instance = await world.begin()
    add_flow(flows_of(world), service=0, backend=1, server="10.77.0.12")
    (flow,) = await instance.flows(FlowFilter(), None)
    stats = await instance.stats()

    assert (flow.service, flow.backend, flow.vip) == ("web", "b2", "203.0.113.10:80")
    assert await instance.flows(FlowFilter(backend="b1"), None) == []
    assert [backend.name for backend in await instance.backends(None)] == ["b1", "b2", "d1"]
    assert [service.name for service in await instance.services()] == ["web", "dns"]
    assert (stats.generation, stats.workers[0].pid, stats.workers[0].restarts) == (1, 77, 2)
    assert stats.uptime_seconds > 0


@in_world
async def test_unknown_names_are_refused_everywhere(world: World) -> None:
    """With those that there are."""
    instance = await world.begin()
    for call in (
        instance.backends("wbe"),
        instance.flows(FlowFilter(service="wbe"), None),
        instance.flows(FlowFilter(backend="b9"), None),
        instance.flush(FlowFilter(service="web", backend="d1"), reset=False),
        instance.set_backend("web", "b9", state="ready"),
    ):
        with pytest.raises(UnknownNameError, match=r"there (are|is) "):
            await call
    with pytest.raises(UsageError, match="weight -1"):
        await instance.set_backend("web", "b1", weight=-1)


@in_world
async def test_what_flows_hold_stays_until_they_end(world: World) -> None:
    """Numbers are not given again, and addresses stay routed."""
    instance = await world.begin()
    flows = flows_of(world)
    row = add_flow(flows, service=0, backend=1, server="10.77.0.12")
    world.configure(CONFIG.replace('{name: b2, address: "10.77.0.12:8080"}', ""))
    await instance.reload(None)
    await instance.forget_unneeded()
    wanted = world.supervisor.wanted[-1]

    assert ip_address("10.77.0.12") in wanted.backends
    assert [flow.backend for flow in await instance.flows(FlowFilter(), None)] == ["b2"]
    world.configure(CONFIG.replace("b2", "b3").replace("10.77.0.12", "10.77.0.33"))
    await instance.reload(None)
    assert instance._desired.indices.backends["web", "b3"] != 1
    flows.rows[row]["state"] = FREE
    await instance.forget_unneeded()
    assert ip_address("10.77.0.12") not in world.supervisor.wanted[-1].backends
    assert not instance._desired.keeps_for_flows


@in_world
async def test_slow_start_goes_on_where_control_died(world: World) -> None:
    """By the clock of the flow table, which outlives it; nobody sees a change in it."""
    instance = await world.begin()
    slow = CONFIG.replace("  dns:", "    slow_start: 1h\n  dns:")
    world.configure(
        slow.replace('b1, address: "10.77.0.11:8080"', 'b1, address: "10.77.0.21:8080"')
    )
    await instance.reload(None)
    at_the_reload = [backend.effective_weight for backend in await instance.backends("web")]
    await instance.set_backend("web", "b2", state="draining")
    await instance.set_backend("web", "b2", state="ready")
    weights = [backend.effective_weight for backend in await instance.backends("web")]
    began = instance._desired.run_time
    successor = await world.succeed()

    assert (at_the_reload, weights) == ([0.1, 1], [0.1, 0.1])
    assert successor._desired.run_time == began
    assert [each.effective_weight for each in await successor.backends("web")] == weights
    assert (await successor.status()).changes == []
    backends = successor._publisher.tables.backends
    assert backends["slow_start_ms"][:2].tolist() == [3_600_000, 3_600_000]


@in_world
async def test_new_flows_per_second_are_shown(world: World) -> None:
    """Over the last few seconds."""
    instance = await world.begin()
    held = world.supervisor.holdings.get(Role.COUNTERS)
    assert held is not None
    instance._rates = Rates()
    instance.read_rates(0.0)
    attach(Kind.COUNTERS, held.fd).services[0]["total"] = 30
    instance.read_rates(10.0)
    services = await instance.services()

    assert [service.new_flows_per_second for service in services] == [3.0, 0.0]


@in_world
async def test_a_dead_supervisor_hinders_only_what_needs_the_host(world: World) -> None:
    """Draining goes on; an address more has to wait for the next `natlb run`."""
    instance = await world.begin()
    asyncio.get_running_loop().remove_reader(world.supervisor.channel.fileno())
    world.supervisor.channel.close()
    await eventually(lambda: not world.control._link.is_up)
    drained = await instance.set_backend("web", "b1", state="draining")
    status = await instance.status()

    assert drained.state == "draining"
    assert (status.pid.supervisor, status.generation) == (0, 2)
    world.configure(CONFIG.replace("10.77.0.11", "10.77.0.21"))
    with pytest.raises(Exception, match="the supervisor is gone"):
        await instance.reload(None)
    assert (await instance.status()).generation == 2


@in_world
async def test_a_large_configuration_is_published_and_kept(world: World) -> None:
    """The registry grows; the plan travels as memory."""
    instance = await world.begin()
    backends = ", ".join(f"10.{n >> 8 & 255}.{n & 255}.1" for n in range(1, 2000))
    world.configure(
        f"services: {{web: {{listen: 'tcp://203.0.113.10:80', backends: [{backends}]}}}}"
    )
    await instance.reload(None)
    successor = await world.succeed()

    assert len(await successor.backends("web")) == 1999
    assert map_memory(world.control._link.holdings).counters[0].backends.size >= 2000
