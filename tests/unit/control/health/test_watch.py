"""The health of a whole instance, over real memory; what checks find is told to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.health.codes import Code
from natlb.control.health.probe import Result
from natlb.control.health.watch import INHERITED_MS, START_SECONDS, jobs_of
from natlb.errors import UnknownNameError, UsageError
from tests.unit.control.instances import CONFIG, World, eventually, in_world

if TYPE_CHECKING:
    from natlb.control.live import LiveInstance
    from natlb.control.tally import Turns
    from natlb.model import Backend

UP: tuple[Any, Code] = ("up", Code.L4OK)
DOWN: tuple[Any, Code] = ("down", Code.L4CON)
IMPOSSIBLE: tuple[Any, Code] = (None, Code.SOCKERR)
FAST = CONFIG.replace(
    "  web:", "  web:\n    check: {interval: 0.1, timeout: 0.1, rise: 2, fall: 2}"
)


async def backend(instance: LiveInstance, name: str) -> Backend:
    """Return what is shown of a backend."""
    return next(each for each in await instance.backends(None) if each.name == name)


async def is_known(instance: LiveInstance, name: str, health: str) -> None:
    """Return once this is a backend's health."""
    key = next(key for key in instance._desired.indices.backends if key[1] == name)

    def known() -> bool:
        now = instance._desired.run_time.get(key)
        return ("unknown" if now is None else now.health) == health

    await eventually(known)


@in_world
async def test_natlb_is_ready_before_anything_is_known(world: World) -> None:
    """Who was not checked yet serves."""
    instance = await world.begin()

    assert (await instance.status()).ready
    assert {each.health for each in await instance.backends(None)} == {"unknown"}
    assert (await backend(instance, "b1")).check is None


@in_world
async def test_the_first_result_decides_and_is_shown(world: World) -> None:
    """With its code and how long it took; UDP is not asked unless it says how."""
    world.configure(FAST)
    world.answers = {"b1": UP, "b2": DOWN}
    instance = await world.begin()
    await is_known(instance, "b1", "up")
    await is_known(instance, "b2", "down")
    shown = (await backend(instance, "b2")).check
    services = {each.name: each.backends.up for each in await instance.services()}

    assert shown is not None
    assert (shown.status, shown.code, shown.latency_ms) == ("down", "L4CON", 0.4)
    assert services == {"web": 1, "dns": 1}
    assert set(world.asked) == {"b1", "b2"}


@in_world
async def test_the_history_tells_how_health_came_about(world: World) -> None:
    """Its last results, since when, and by which counts."""
    world.configure(FAST)
    world.answers = {"b1": DOWN, "b2": UP}
    instance = await world.begin()
    await is_known(instance, "b1", "down")
    world.answers["b1"] = UP
    await is_known(instance, "b1", "up")
    history = await instance.checks("web", "b1")

    assert (history.health, history.rise, history.fall) == ("up", 2, 2)
    assert {each.status for each in history.results} == {"up", "down"}
    assert history.results[0].status == "up"
    assert len(history.results) <= 10
    assert history.since is not None
    assert history.passive is None
    with pytest.raises(UnknownNameError):
        await instance.checks("web", "b9")
    unchecked = await instance.checks("dns", "d1")
    assert (unchecked.health, unchecked.results, unchecked.since) == ("unknown", [], None)


@in_world
async def test_a_check_made_by_hand_counts_for_nothing(world: World) -> None:
    """Else who looks again and again would take a backend out."""
    instance = await world.begin()
    await instance.health._schedule.stop()
    world.answers["b1"] = DOWN
    report = await instance.check("web", "b1")

    assert (report.status, report.code, report.target) == ("down", "L4CON", "10.77.0.11:8080")
    assert instance.health.arbiter.health(("web", "b1")) == "unknown"
    assert (await backend(instance, "b1")).check is None
    with pytest.raises(UsageError, match="has no check"):
        await instance.check("dns", "d1")
    with pytest.raises(UnknownNameError):
        await instance.check("web", "b9")


@in_world
async def test_a_new_control_goes_on_with_what_is_known(world: World) -> None:
    """Nothing turns unknown on the way, and a result that agrees changes nothing."""
    world.configure(FAST)
    world.answers = {"b1": UP, "b2": DOWN}
    instance = await world.begin()
    await is_known(instance, "b1", "up")
    await is_known(instance, "b2", "down")
    generation = (await instance.status()).generation
    world.answers.clear()
    successor = await world.succeed()

    assert [(await backend(successor, name)).health for name in ("b1", "b2")] == ["up", "down"]
    world.answers = {"b1": DOWN, "b2": DOWN}
    await is_known(successor, "b1", "down")
    results = successor.health.histories.results(("web", "b1"))
    assert len(results) >= 2  # fall, not the first result: this is no start
    assert (await successor.status()).generation == generation + 1


@in_world
async def test_what_traffic_said_before_control_died_holds_a_while(world: World) -> None:
    """Of who is not checked: nobody else would say anything."""
    instance = await world.begin()
    instance.health.arbiter.passively(("dns", "d1"), down=True, why="silence", until_ms=10**12)
    await is_known(instance, "d1", "down")
    successor = await world.succeed()

    assert (await backend(successor, "d1")).health == "down"
    assert (await successor.checks("dns", "d1")).passive == "known before control was replaced"
    now = successor._memory.now_ms()
    successor.health.arbiter.expire(now + INHERITED_MS + 1)
    await is_known(successor, "d1", "unknown")


@in_world
async def test_a_reload_keeps_health_by_name_and_address(world: World) -> None:
    """A name at another address is another server."""
    world.configure(FAST)
    world.answers = {"b1": DOWN, "b2": DOWN}
    instance = await world.begin()
    await is_known(instance, "b1", "down")
    await is_known(instance, "b2", "down")
    world.answers.clear()
    world.configure(
        FAST.replace("10.77.0.12", "10.77.0.22").replace("fall: 2", "fall: 4") + "\nseed: 7"
    )
    await instance.reload(None)
    await is_known(instance, "b2", "unknown")

    assert (await backend(instance, "b1")).health == "down"
    assert (await instance.checks("web", "b1")).fall == 4
    assert (await instance.checks("web", "b1")).results
    assert (await instance.checks("web", "b2")).results == []
    world.answers["b2"] = UP
    await is_known(instance, "b2", "up")


@in_world
async def test_who_comes_is_checked_and_who_goes_is_not(world: World) -> None:
    """By difference."""
    world.configure(FAST)
    world.answers = {"b1": UP, "b2": UP, "b3": DOWN}
    instance = await world.begin()
    await is_known(instance, "b2", "up")
    world.configure(FAST.replace("b2", "b3").replace("10.77.0.12", "10.77.0.13"))
    await instance.reload(None)
    await is_known(instance, "b3", "down")

    assert set(instance.health.histories.last()) <= {("web", "b1"), ("web", "b3")}
    assert set(instance.health._jobs) == {("web", "b1"), ("web", "b3")}


@in_world
async def test_drained_backends_are_checked_on(world: World) -> None:
    """Who brings one back wants to know whether it is well."""
    world.configure(FAST)
    instance = await world.begin()
    await instance.set_backend("web", "b1", state="maint")
    world.answers["b1"] = DOWN
    await is_known(instance, "b1", "down")

    assert (await backend(instance, "b1")).state == "maint"


@in_world
async def test_what_cannot_be_asked_changes_nothing_and_is_told_once(world: World) -> None:
    """Else an instance without fds would take everybody down."""
    world.configure(FAST)
    world.answers = {"b1": UP, "b2": UP}
    instance = await world.begin()
    await is_known(instance, "b1", "up")
    world.answers = {"b1": IMPOSSIBLE, "b2": IMPOSSIBLE}
    asked = len(world.asked)
    await eventually(lambda: len(world.asked) > asked + 8)
    kinds = [event.kind for event in world.control._events.since(0).events]

    assert kinds.count("checks_impossible") == 1
    assert (await backend(instance, "b1")).health == "up"
    assert "backend_down" not in kinds


@in_world
async def test_each_reason_why_nothing_can_be_asked_is_told(world: World) -> None:
    """A script that cannot be run must not hide a certificate that cannot be read."""
    instance = await world.begin()
    job = instance.health._jobs["web", "b1"]
    for reason in ("cannot run x", "no certificate", "cannot run x", "no certificate"):
        vain = Result(status=None, code=Code.SOCKERR, reason=reason, latency_ms=0, phases=())
        instance.health.in_vain(job, vain)
    events = world.control._events.since(0).events
    reasons = [dict(e.fields)["reason"] for e in events if e.kind == "checks_impossible"]

    assert reasons == ["cannot run x", "no certificate"]


@in_world
async def test_what_is_late_while_control_begins_is_not_told(world: World) -> None:
    """It loads its libraries then, at every start; later on somebody should know."""
    instance = await world.begin()
    job = instance.health._jobs["web", "b1"]
    instance.health.in_vain(job, None)
    early = [event.kind for event in world.control._events.since(0).events]
    instance.health._began -= START_SECONDS
    instance.health.in_vain(job, None)
    later = [event.kind for event in world.control._events.since(0).events]

    assert "checks_delayed" not in early
    assert later.count("checks_delayed") == 1


@in_world
async def test_results_are_counted(world: World) -> None:
    """For metrics, in memory that outlives control."""
    world.configure(FAST)
    world.answers = {"b1": UP, "b2": DOWN}
    instance = await world.begin()
    await is_known(instance, "b1", "up")
    await is_known(instance, "b2", "down")

    def counts(name: str) -> Turns:
        return instance._memory.tally.read(instance._desired.indices).backends["web", name]

    await eventually(lambda: counts("b2").transitions["down"])
    assert counts("b2").transitions["down"] == 1
    assert counts("b1").checks["up"] >= 1


def test_jobs_are_those_with_a_check() -> None:
    """An instance without checks has none."""
    from natlb.control.config.load import parse_config

    assert set(jobs_of(parse_config(CONFIG, "f"))) == {("web", "b1"), ("web", "b2")}
    assert jobs_of(parse_config(CONFIG.replace("  web:", "  web:\n    check: none"), "f")) == {}
