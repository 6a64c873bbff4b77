"""Health that changed, brought into force over real memory and a worker that pretends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.compile.views import state_set
from natlb.control.health import transitions
from natlb.control.health.arbiter import Cause
from natlb.core.layout import PROTOCOLS
from natlb.errors import NatlbError
from tests.unit.control.instances import CONFIG, World, eventually, in_world

if TYPE_CHECKING:
    from natlb.control.live import LiveInstance

B1, B2, D1 = ("web", "b1"), ("web", "b2"), ("dns", "d1")


def told(world: World, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of these kinds, with their fields."""
    events = world.control._events.since(0).events
    return [(event.kind, dict(event.fields)) for event in events if event.kind in kinds]


async def health(instance: LiveInstance) -> dict[str, str]:
    """Return what is known, by backend."""
    return {backend.name: backend.health for backend in await instance.backends(None)}


@in_world
async def test_changes_of_a_moment_are_one_generation(world: World) -> None:
    """And an event each."""
    instance = await world.begin()
    arbiter = instance.health.arbiter
    arbiter.actively(B1, "down", Cause("L4CON", "connection refused"))
    arbiter.actively(B2, "down", Cause("L4TOUT", "no connection within 1 s"))
    await eventually(lambda: told(world, "backend_down"))

    assert world.workers[0].generations[-1] == 2
    assert told(world, "backend_down") == [
        (
            "backend_down",
            {
                "service": "web",
                "backend": name,
                "code": code,
                "reason": reason,
                "fall": 3,
            },
        )
        for name, code, reason in (
            ("b1", "L4CON", "connection refused"),
            ("b2", "L4TOUT", "no connection within 1 s"),
        )
    ]
    arbiter.actively(B1, "up", Cause("L4OK"))
    await eventually(lambda: told(world, "backend_up"))
    assert told(world, "backend_up")[0][1] == {"service": "web", "backend": "b1", "code": "L4OK"}
    assert (await health(instance))["b1"] == "up"


@in_world
async def test_who_is_found_up_at_start_changes_nothing_for_workers(world: World) -> None:
    """It served already, so a start makes no generations; a new control knows it all the same."""
    instance = await world.begin()
    instance.health.arbiter.actively(B1, "up", Cause("L4OK"))
    await eventually(lambda: told(world, "backend_up"))

    assert world.workers[0].generations == [1]
    assert (await instance.status()).generation == 1
    assert (await health(await world.succeed()))["b1"] == "up"


@in_world
async def test_what_comes_and_goes_before_it_is_in_force_is_nothing(world: World) -> None:
    """No generation, no event."""
    instance = await world.begin()
    instance.health.arbiter.actively(B1, "down")
    instance.health.arbiter.actively(B1, "unknown")
    instance.health.arbiter.actively(("web", "gone"), "down")
    instance.health.arbiter.actively(B2, "down")
    await eventually(lambda: told(world, "backend_down"))

    assert [fields["backend"] for _, fields in told(world, "backend_down")] == ["b2"]


@in_world
async def test_a_lost_backends_connections_are_reset_where_that_is_wanted(world: World) -> None:
    """At both ends, the established ones of TCP alone; by default they are kept."""
    instance = await world.begin()
    instance.health.arbiter.actively(B1, "down")
    await eventually(lambda: told(world, "backend_down"))
    await asyncio.sleep(0)

    assert world.workers[0].commands == []
    world.configure(CONFIG.replace("  web:", "  web:\n    on_down: reset"))
    await instance.reload(None)
    instance.health.arbiter.actively(B2, "down")
    await eventually(lambda: world.workers[0].commands)
    (command,) = world.workers[0].commands
    assert (command["service"], command["backend"], command["reset"]) == (0, 1, 1)
    assert (command["state"], command["protocol"]) == (state_set("established"), PROTOCOLS["tcp"])


@in_world
async def test_what_traffic_says_resets_nothing_until_a_check_agrees(world: World) -> None:
    """Whoever can make openings fail must not cut what others have open."""
    world.configure(CONFIG.replace("  web:", "  web:\n    on_down: reset"))
    instance = await world.begin()
    now = instance._memory.now_ms()
    instance.health.arbiter.passively(B1, down=True, why="no answer", until_ms=now + 60_000)
    await eventually(lambda: told(world, "backend_down"))
    instance.health.arbiter.passively(B2, down=True, why="no answer", until_ms=now + 60_000)
    await eventually(lambda: len(told(world, "backend_down")) == 2)
    before = list(world.workers[0].commands)
    instance.health.arbiter.actively(B1, "down")
    await eventually(lambda: world.workers[0].commands)

    assert before == []
    assert [each["backend"] for each in world.workers[0].commands] == [0]
    assert len(told(world, "backend_down")) == 2


@in_world
async def test_connections_that_cannot_be_reset_are_told_of(world: World) -> None:
    """The backend is out of its pool all the same, and nothing says that it is not."""
    world.configure(CONFIG.replace("  web:", "  web:\n    on_down: reset"))
    instance = await world.begin()

    async def refuse(*_: Any, **__: Any) -> None:
        raise NatlbError("no worker flushed")

    instance._intents.drop = refuse
    instance.health.arbiter.actively(B1, "down", Cause("L4CON", "connection refused"))
    await eventually(lambda: told(world, "flows_not_reset"))

    assert told(world, "flows_not_reset", "health_not_in_force") == [
        ("flows_not_reset", {"service": "web", "backend": "b1", "reason": "no worker flushed"})
    ]
    assert (await health(instance))["b1"] == "down"


@in_world
async def test_what_cannot_be_brought_into_force_is_tried_again(world: World) -> None:
    """The supervisor may be gone for a while: its successor brings it in."""
    instance = await world.begin()
    publisher = instance._publisher
    publish, failures = publisher.publish, [NatlbError("no supervisor"), NatlbError("still none")]

    async def refuse(*given: Any, **more: Any) -> None:
        if failures:
            raise failures.pop(0)
        await publish(*given, **more)

    publisher.publish = refuse
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transitions, "AGAIN_SECONDS", 0.01)
        instance.health.arbiter.actively(B1, "down")
        await eventually(lambda: told(world, "backend_down"))

    assert len(told(world, "health_not_in_force")) == 1
    assert (await health(instance))["b1"] == "down"


@in_world
async def test_who_is_checked_no_more_is_unknown(world: World) -> None:
    """What was known of it may be long ago."""
    instance = await world.begin()
    instance.health.arbiter.actively(B1, "down")
    await eventually(lambda: told(world, "backend_down"))
    world.configure(CONFIG.replace("  web:", "  web:\n    check: none"))
    await instance.reload(None)
    await eventually(lambda: told(world, "backend_unchecked"))

    assert told(world, "backend_unchecked")[0][1] == {"service": "web", "backend": "b1"}
    assert (await health(instance))["b1"] == "unknown"
