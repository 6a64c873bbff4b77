"""How what is wanted comes into force, and in which order."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from natlb.control.config import parse_config
from natlb.control.desired import Desired, first_desired
from natlb.control.policy import COMPILERS, Compiled, Order
from natlb.control.publish import wanted_of
from natlb.control.registry import Registry
from natlb.control.roles import Role
from natlb.core.layout import PRIVATE, PUBLIC
from natlb.errors import HostError
from tests.paper_host import host_plan
from tests.unit.control.instances import CONFIG, World, duplicate, in_world


def registered(world: World) -> Desired:
    """Return what the registry says is wanted."""
    registry = Registry(duplicate(world.supervisor.holdings, Role.REGISTRY))
    record = registry.read()
    registry.close()
    return Desired.from_record(record)


def test_what_flows_need_is_wanted_of_the_host_as_well() -> None:
    """A retired backend's replies still come by natlb."""
    first = first_desired(parse_config(CONFIG, "test"), CONFIG, "/x", seed=1, started_ns=1)
    second = first.with_config(
        parse_config(CONFIG.replace("10.77.0.11", "10.77.0.21"), "test"), CONFIG, "/x", now_ms=0
    )

    assert ip_address("10.77.0.11") in wanted_of(second).backends
    assert ip_address("10.77.0.21") in wanted_of(second).backends
    assert wanted_of(first).vips == wanted_of(second).vips


@in_world
async def test_the_registry_has_what_was_published(world: World) -> None:
    """It is written first: whoever reads it publishes the same again."""
    instance = await world.begin()
    await instance.set_backend("web", "b1", weight=3)

    assert registered(world) == instance._desired


@in_world
async def test_what_policies_keep_of_their_pools_is_kept_before_it_is_used(world: World) -> None:
    """By a compiler that remembers who was in the pool."""

    def compile_remembering(order: Order) -> Compiled:
        before = list(order.memory.get("pools", []))
        return Compiled(memory={"pools": [*before, str(len(order.members))]})

    kept, COMPILERS["round-robin"] = COMPILERS["round-robin"], compile_remembering
    try:
        instance = await world.begin()
        await instance.set_backend("web", "b1", state="draining")
    finally:
        COMPILERS["round-robin"] = kept

    assert registered(world) == instance._desired
    assert registered(world).memories["web", "round-robin"] == {"pools": ["2", "1"]}


@in_world
async def test_counts_begin_when_nothing_can_refuse_any_more(world: World) -> None:
    """A reload that the host refuses has touched none."""
    instance = await world.begin()
    publisher, begun = instance._publisher, []
    world.supervisor.refuse = True
    other = parse_config(CONFIG.replace("10.77.0.11", "10.77.0.21"), "test")
    desired = instance._desired.with_config(other, CONFIG, "/x", now_ms=0)
    with pytest.raises(HostError):
        await publisher.publish(desired, lambda: begun.append(registered(world).generation))
    world.supervisor.refuse = False
    await publisher.publish(desired, lambda: begun.append(registered(world).generation))

    assert begun == [1]


@in_world
async def test_the_ways_out_are_the_hosts(world: World) -> None:
    """MTU and the source of natlb's own errors come from the plan that was applied."""
    instance = await world.begin()
    tables, plan = instance._publisher.tables, host_plan()

    assert tables.ways[PUBLIC]["mtu"] == plan.public.way_mtu
    assert tables.ways[PRIVATE]["mtu"] == plan.private.way_mtu


@in_world
async def test_a_host_that_is_right_already_is_not_asked(world: World) -> None:
    """Draining changes no address."""
    instance = await world.begin()
    await instance.set_backend("web", "b1", state="draining")

    assert len(world.supervisor.wanted) == 1


@in_world
async def test_a_refusal_leaves_registry_and_tables_alone(world: World) -> None:
    """The host is asked before anything is written."""
    instance = await world.begin()
    world.supervisor.refuse = True
    other = parse_config(CONFIG.replace("10.77.0.11", "10.77.0.21"), "test")
    with pytest.raises(HostError):
        await instance._publisher.publish(
            instance._desired.with_config(other, CONFIG, "/x", now_ms=0)
        )

    assert registered(world).generation == 1
    assert world.workers[0].generations == [1]
