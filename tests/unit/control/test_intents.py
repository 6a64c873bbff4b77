"""What is changed at run time, over real memory and a worker that pretends."""

from __future__ import annotations

import asyncio

import pytest

from natlb.control import intents
from natlb.errors import WaitTimeoutError
from natlb.model import FlowFilter, Flush
from tests.unit.control.instances import CONFIG, World, eventually, in_world


@in_world
async def test_nothing_is_forgotten_before_the_workers_read_the_new_tables(world: World) -> None:
    """By the old ones a new flow could still take it up."""
    instance = await world.begin()
    world.configure(CONFIG.replace("b2", "b3"))
    await instance.reload(None)
    world.control._workers._link(0).reading = 1
    await instance.forget_unneeded()

    assert instance._desired.keeps_for_flows
    world.control._workers._link(0).reading = 2
    await instance.forget_unneeded()
    assert not instance._desired.keeps_for_flows


@in_world
async def test_maint_also_resets_what_the_backend_has(world: World) -> None:
    """Once no new flow can come to it."""
    instance = await world.begin()
    backend = await instance.set_backend("web", "b1", state="maint")
    (command,) = world.workers[0].commands

    assert (backend.state, backend.effective_weight) == ("maint", 0)
    assert (command["service"], command["backend"], command["reset"]) == (0, 0, 1)
    assert world.workers[0].generations[-1] == 2


@in_world
async def test_a_flush_says_what_it_did(world: World) -> None:
    """The sum over the commands that it took."""
    instance = await world.begin()

    assert await instance.flush(FlowFilter(), reset=True) == Flush(flushed=3, resets=2)
    assert await instance.flush(FlowFilter(backend="b1"), reset=False) == Flush(flushed=3, resets=0)


@in_world
async def test_a_worker_that_does_not_flush_is_not_waited_for_for_ever(world: World) -> None:
    """Somebody waits for the answer."""
    instance = await world.begin()
    intents.SECONDS_TO_FLUSH, before = 0.05, intents.SECONDS_TO_FLUSH
    world.workers[0].close()
    try:
        with pytest.raises(WaitTimeoutError, match="no worker flushed"):
            await instance.flush(FlowFilter(), reset=False)
    finally:
        intents.SECONDS_TO_FLUSH = before


@in_world
async def test_intents_go_one_after_the_other(world: World) -> None:
    """Each is a generation of its own; none is lost."""
    instance = await world.begin()
    await asyncio.gather(
        *(instance.set_backend("web", "b1", weight=weight) for weight in range(2, 12))
    )

    assert (await instance.status()).generation == 11
    await eventually(lambda: world.workers[0].generations[-1] == 11)


@in_world
async def test_health_is_a_generation_for_all_that_changed(world: World) -> None:
    """And none where nothing did; names that are gone are passed over."""
    instance = await world.begin()
    found = {("web", "b1"): "down", ("dns", "d1"): "up", ("web", "gone"): "down"}
    assert await instance._intents.set_health(found)
    assert not await instance._intents.set_health(found)
    backends = await instance.backends(None)

    assert [backend.health for backend in backends] == ["down", "unknown", "up"]
    assert (await instance.status()).generation == 2
    assert [each.up for each in (await instance.status()).services] == [1, 1]


@in_world
async def test_health_survives_control(world: World) -> None:
    """Who follows does not serve from what was known to be dead."""
    instance = await world.begin()
    await instance._intents.set_health({("web", "b1"): "down"})
    successor = await world.succeed()

    assert [backend.health for backend in await successor.backends("web")] == ["down", "unknown"]
