"""Policies of a user's own, as control loads them: read, learned, kept, published."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from natlb.control.memory import digest_of
from natlb.control.messages import (
    Done,
    Unlearn,
)
from natlb.control.roles import Role
from natlb.core.layout import CHOICES, FIRST_PROGRAM, POLICY_WORDS, WORD_FALLBACKS
from natlb.errors import ConfigError, HostError
from natlb.model import FlowFilter
from tests.unit.control.instances import CONFIG, World, eventually, in_world

FIRST = "def pick(pool, flow):\n    return 0\n"
POLICY = "policy: {name: python, file: mine.py}"
WITH_PROGRAM = CONFIG.replace("web:\n", f"web:\n    {POLICY}\n")


def write(world: World, text: str = FIRST, config: str = WITH_PROGRAM) -> None:
    """Write the configuration and the policy beside it."""
    world.configure(config)
    (world.folder / "mine.py").write_text(text)


def choice_of(instance: Any, service: str = "web") -> Any:
    """Return the record by which a service chooses."""
    publisher = instance._publisher
    return publisher.tables.choices[CHOICES * publisher.desired.indices.services[service]]


@in_world
async def test_a_start_has_the_programs_learned_first(world: World) -> None:
    """And then held, for every nursery to come."""
    write(world)
    instance = await world.begin()

    assert len(world.supervisor.learned) == 1
    assert world.supervisor.served == [digest_of(world.supervisor.learned[0])]
    assert choice_of(instance)["policy"] == FIRST_PROGRAM


@in_world
async def test_a_broken_file_ends_the_start(world: World) -> None:
    """Before anything is asked of anybody."""
    write(world, "def pick(pool, flow):\n    return open\n")
    with pytest.raises(ConfigError, match=r"mine\.py:2:12: 'open' is not defined"):
        await world.begin()

    assert world.supervisor.learned == []


@in_world
async def test_a_changed_file_is_a_change(world: World) -> None:
    """Of the service; the worker that does not know it is not given the tables."""
    write(world)
    instance = await world.begin()
    before = choice_of(instance)["parameter0"]
    write(world, "# another\n" + FIRST)
    task = asyncio.ensure_future(instance.reload(None))
    await eventually(lambda: len(world.supervisor.served) == 2)
    old = world.workers[0].generations
    world.workers.append(world.supervisor.give_worker())
    done = await task

    assert (done.changed, done.generation) == (["web"], 2)
    assert choice_of(instance)["parameter0"] != before
    assert (old, world.workers[1].generations) == ([1], [2])


@in_world
async def test_the_same_file_is_no_change(world: World) -> None:
    """Nothing is learned, no generation is made."""
    write(world)
    instance = await world.begin()
    done = await instance.reload(None)

    assert (done.changed, done.generation) == ([], 1)
    assert len(world.supervisor.learned) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [("#refused\n" + FIRST, "mine.py:2:1: refused"), ("X = Y\n", "mine.py:1:1: no function")],
)
def test_a_refused_file_changes_nothing(folder: Any, text: str, said: str) -> None:
    """Neither what is in force, nor the registry."""

    @in_world
    async def test(world: World) -> None:
        write(world)
        instance = await world.begin()
        before = instance._publisher.desired
        write(world, text)
        with pytest.raises(ConfigError) as caught:
            await instance.reload(None)

        assert said in caught.value.message
        assert instance._publisher.desired is before
        assert len(world.supervisor.served) == 1

    test(folder)


@in_world
async def test_a_new_control_goes_on_with_what_was_loaded(world: World) -> None:
    """Whatever the file is by now; other changes need nothing learned."""
    write(world)
    await world.begin()
    (world.folder / "mine.py").unlink()
    instance = await world.succeed()
    await instance.set_backend("web", "b1", state="draining")

    assert choice_of(instance)["policy"] == FIRST_PROGRAM
    assert len(world.supervisor.learned) == 1


@in_world
async def test_a_new_control_has_learned_what_was_left_undone(world: World) -> None:
    """The one before died behind its tables."""
    write(world)
    await world.begin()
    world.supervisor.holdings.release(Role.PROGRAMS)
    await world.succeed()
    await eventually(lambda: len(world.supervisor.served) == 2)

    assert world.supervisor.learned[0] == world.supervisor.learned[1]


@in_world
async def test_a_program_that_is_at_a_loss_is_told_of(world: World) -> None:
    """Once, with how often."""
    write(world)
    instance = await world.begin()
    instance.read_rates(1.0)
    at = CHOICES * instance._publisher.desired.indices.services["web"] * POLICY_WORDS
    instance._memory.counters[0].policy[at + WORD_FALLBACKS] += 3

    assert instance._fallbacks.note(2.0, {"web": 0}) == {}
    instance.read_rates(3.0)
    assert instance._fallbacks.note(4.0, {"web": 3}) == {}


@in_world
async def test_another_service_takes_another_place(world: World) -> None:
    """And the first keeps its own, as long as it is there."""
    write(world)
    instance = await world.begin()
    both = WITH_PROGRAM.replace("dns: {", f"dns: {{{POLICY}, ")
    write(world, config=both)
    await instance.reload(None)
    places = [int(choice_of(instance, name)["policy"]) for name in ("web", "dns")]

    assert places == [FIRST_PROGRAM, FIRST_PROGRAM + 1]
    assert len(world.supervisor.learned) == 1


@in_world
async def test_nothing_waits_for_what_is_being_learned(world: World) -> None:
    """And what was done meanwhile is not undone by the reload."""
    write(world)
    instance = await world.begin()
    world.workers.append(world.supervisor.give_worker())
    write(world, "# endless\n" + FIRST)
    reload = asyncio.ensure_future(instance.reload(None))
    asked = await eventually(lambda: world.supervisor.asked)
    await asyncio.wait_for(instance.set_backend("web", "b1", state="draining"), 5)
    await asyncio.wait_for(instance.flush(FlowFilter(), reset=False), 5)
    world.supervisor.channel.send(Done(serial=asked.serial))
    await eventually(lambda: len(world.supervisor.served) == 2)
    world.workers.append(world.supervisor.give_worker())
    done = await reload
    states = [backend.state for backend in await instance.backends("web")]

    assert (done.changed, done.generation) == (["web"], 3)
    assert states == ["draining", "ready"]


@in_world
async def test_reloads_wait_for_each_other(world: World) -> None:
    """The later one finds what the first has done."""
    write(world)
    instance = await world.begin()
    write(world, "# endless\n" + FIRST)
    first = asyncio.ensure_future(instance.reload(None))
    asked = await eventually(lambda: world.supervisor.asked)
    second = asyncio.ensure_future(instance.reload(None))
    await asyncio.sleep(0.05)
    assert len(world.supervisor.learned) == 2
    world.supervisor.channel.send(Done(serial=asked.serial))
    await eventually(lambda: len(world.supervisor.served) == 2)
    world.workers.append(world.supervisor.give_worker())

    assert ((await first).generation, (await second).generation) == (2, 2)


@in_world
async def test_what_was_learned_for_a_refused_reload_is_given_up(world: World) -> None:
    """The host refused what came with it."""
    write(world)
    instance = await world.begin()
    write(world, "# another\n" + FIRST, WITH_PROGRAM.replace("10.77.0.11", "10.77.0.21"))
    world.supervisor.refuse = True
    with pytest.raises(HostError):
        await instance.reload(None)

    assert len(world.supervisor.learned) == 2
    await eventually(lambda: Unlearn() in world.supervisor.heard)
    assert len(world.supervisor.served) == 1


@in_world
async def test_what_nobody_waits_for_any_more_is_not_learned(world: World) -> None:
    """Whoever asked for the reload has gone."""
    write(world)
    instance = await world.begin()
    write(world, "# endless\n" + FIRST)
    reload = asyncio.ensure_future(instance.reload(None))
    await eventually(lambda: world.supervisor.asked)
    reload.cancel()
    await eventually(lambda: Unlearn() in world.supervisor.heard)
