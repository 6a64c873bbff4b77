"""Backends added and removed at run time, over real memory and a worker that pretends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from natlb.control.registry import Record, Registry
from natlb.control.roles import Role
from natlb.core.memory import Kind
from natlb.errors import ConfigError, HostError, UnknownNameError
from natlb.io.shared import attach
from natlb.model import Change, FlowFilter, Flush
from tests.unit.control.instances import CONFIG, World, add_flow, in_world

if TYPE_CHECKING:
    from natlb.core.flow_table import FlowTable
    from natlb.model import Status


def flows_of(world: World) -> FlowTable:
    """Return the flow table as a worker has it."""
    held = world.supervisor.holdings.get(Role.FLOWS)
    assert held is not None
    return attach(Kind.FLOWS, held.fd)


def changes_of(status: Status) -> list[tuple[str, str, object, object]]:
    """Return what differs from the file."""
    return [(each.backend, each.field, each.file, each.now) for each in status.changes]


@in_world
async def test_an_added_backend_is_in_the_pool_and_told_as_a_change(world: World) -> None:
    """With the fields of any other, counts of its own, and one generation."""
    instance = await world.begin()
    before = instance.revision
    added = await instance.add_backend("web", "10.77.0.14:8080", name="b3", weight=4)
    names = [each.name for each in await instance.backends("web")]
    status = await instance.status()

    assert (added.name, added.address, added.weight) == ("b3", "10.77.0.14:8080", 4)
    assert names == ["b1", "b2", "b3"]
    assert status.generation == 2
    assert instance.revision == before + 1
    assert status.changes == [
        Change(backend="web/b3", field="backend", file=None, now="10.77.0.14:8080"),
        Change(backend="web/b3", field="weight", file=None, now=4),
    ]
    assert str(world.supervisor.wanted[-1].backends).count("10.77.0.14")


@in_world
async def test_what_is_added_counts_from_zero(world: World) -> None:
    """Whatever was counted under the number that it gets."""
    instance = await world.begin()
    instance._memory.counters[0].backends["total"][3] = 9
    tried = await instance.add_backend("web", "10.77.0.14:8080", dry_run=True)
    added = await instance.add_backend("web", "10.77.0.14:8080")

    assert (tried.flows.total, added.flows.total) == (0, 0)
    assert tried == added


@in_world
async def test_a_removed_backend_gets_no_flows_and_keeps_those_it_has(world: World) -> None:
    """Its number is nobody else's until they are over."""
    instance = await world.begin()
    number = instance._desired.indices.backends["web", "b2"]
    add_flow(flows_of(world), service=0, backend=number, server="10.77.0.12")
    removed = await instance.remove_backend("web", "b2")
    await instance.add_backend("web", "10.77.0.14:8080", name="b3")

    assert removed.name == "b2"
    assert [each.name for each in await instance.backends("web")] == ["b1", "b3"]
    assert instance._desired.indices.backends["web", "b2"] == number
    assert instance._desired.indices.backends["web", "b3"] != number
    assert world.workers[0].commands == []
    assert changes_of(await instance.status())[0] == ("web/b2", "backend", "10.77.0.12:8080", None)


@in_world
async def test_on_remove_reset_ends_the_flows_of_who_goes(world: World) -> None:
    """By command and by reload, and of nobody else."""
    world.configure(CONFIG.replace("  web:\n", "  web:\n    on_remove: reset\n"))
    instance = await world.begin()
    await instance.remove_backend("web", "b2")
    world.configure(
        CONFIG.replace("  web:\n", "  web:\n    on_remove: reset\n").replace("b1", "b9")
    )
    instance._memory.counters[0].backends["current"][0] = 3
    done = await instance.reload(None)
    ended = [(each["backend"], each["reset"]) for each in world.workers[0].commands]

    assert ended == [(1, 1), (0, 1)]
    assert (done.removed, done.drained) == (["web/b1"], [])


@in_world
async def test_the_last_backend_may_be_removed_and_another_be_added(world: World) -> None:
    """As a file may have an empty pool."""
    instance = await world.begin()
    await instance.remove_backend("dns", "d1")
    assert await instance.backends("dns") == []
    await instance.add_backend("dns", "10.77.0.15")

    assert [each.name for each in await instance.backends("dns")] == ["10.77.0.15"]


@in_world
async def test_what_was_removed_comes_back_with_the_weight_it_is_given(world: World) -> None:
    """Or its own; then nothing differs from the file."""
    instance = await world.begin()
    await instance.remove_backend("web", "b2")
    await instance.add_backend("web", "10.77.0.12:8080", name="b2", weight=6)
    assert changes_of(await instance.status()) == [("web/b2", "weight", 1, 6)]
    await instance.remove_backend("web", "b2")
    await instance.add_backend("web", "10.77.0.12:8080", name="b2")

    assert changes_of(await instance.status()) == []


@in_world
async def test_what_is_refused_changes_nothing(world: World) -> None:
    """Names that are there or not, addresses of others, a host that has no way there."""
    instance = await world.begin()
    before = await instance.status()
    with pytest.raises(ConfigError, match="a backend 'b1' of web is already there"):
        await instance.add_backend("web", "10.77.0.14:8080", name="b1")
    with pytest.raises(ConfigError, match="the address of backend 'b1' as well"):
        await instance.add_backend("web", "10.77.0.11:8080", name="b3")
    with pytest.raises(ConfigError, match="weight"):
        await instance.add_backend("web", "10.77.0.14:8080", weight=65_536)
    with pytest.raises(UnknownNameError, match=r"no service 'w\\neb'"):
        await instance.add_backend("w\neb", "10.77.0.14:8080")
    with pytest.raises(UnknownNameError, match="no backend 'web/b9'; there are b1, b2"):
        await instance.remove_backend("web", "b9")
    world.supervisor.refuse = True
    with pytest.raises(HostError):
        await instance.add_backend("web", "10.77.0.14:8080")

    assert await instance.status() == before


@in_world
async def test_a_dry_run_says_what_would_be_and_changes_nothing(world: World) -> None:
    """Of every change."""
    instance = await world.begin()
    before, revision = await instance.status(), instance.revision
    added = await instance.add_backend("web", "10.77.0.14:8080", name="b3", dry_run=True)
    removed = await instance.remove_backend("web", "b1", dry_run=True)
    changed = await instance.set_backend("web", "b1", state="maint", weight=9, dry_run=True)
    with pytest.raises(ConfigError):
        await instance.add_backend("web", "nowhere", dry_run=True)

    assert (added.name, removed.name) == ("b3", "b1")
    assert (changed.state, changed.weight, changed.effective_weight) == ("maint", 9, 0)
    assert await instance.status() == before
    assert instance.revision == revision
    assert world.workers[0].commands == []


@in_world
async def test_a_dry_flush_counts(world: World) -> None:
    """Flows, and the resets that would go out."""
    instance = await world.begin()
    flows = flows_of(world)
    row = add_flow(flows, service=0, backend=0)
    flows.rows[row]["reply"]["packets"] = 1
    add_flow(flows, service=0, backend=1)

    assert await instance.flush(FlowFilter(), reset=True, dry_run=True) == Flush(
        flushed=2, resets=4
    )
    one = FlowFilter(service="web", backend="b2")
    assert await instance.flush(one, reset=False, dry_run=True) == Flush(flushed=1, resets=0)
    with pytest.raises(UnknownNameError):
        await instance.flush(FlowFilter(backend="b9"), reset=False, dry_run=True)
    assert world.workers[0].commands == []


@in_world
async def test_what_was_added_and_removed_survives_control(world: World) -> None:
    """Who follows goes on with the same configuration."""
    instance = await world.begin()
    await instance.add_backend("web", "10.77.0.14:8080", name="b3", weight=2)
    await instance.remove_backend("web", "b1")
    revision, before = instance.revision, await instance.status()
    successor = await world.succeed()

    assert [each.name for each in await successor.backends("web")] == ["b2", "b3"]
    assert successor.revision == revision
    assert (await successor.status()).changes == before.changes


@in_world
async def test_a_reload_keeps_what_the_file_does_not_say(world: World) -> None:
    """And lets go of what it does; the answer is about what is in force."""
    instance = await world.begin()
    await instance.add_backend("web", "10.77.0.14:8080", name="b3")
    await instance.add_backend("web", "10.77.0.15:8080", name="b4")
    await instance.remove_backend("web", "b1")
    more = '"10.77.0.12:8080"}, {name: b3, address: "10.77.0.14:8080"}'
    world.configure(CONFIG.replace('"10.77.0.12:8080"}', more))
    done = await instance.reload(None)
    names = [each.name for each in await instance.backends("web")]

    assert (done.added, done.removed, done.changed) == ([], [], [])
    assert names == ["b2", "b3", "b4"]
    assert changes_of(await instance.status()) == [
        ("web/b1", "backend", "10.77.0.11:8080", None),
        ("web/b4", "backend", None, "10.77.0.15:8080"),
    ]


@in_world
async def test_a_file_that_has_no_room_for_what_was_added_is_refused(world: World) -> None:
    """All or nothing: a backend that serves does not vanish by a reload that does not name it."""
    instance = await world.begin()
    await instance.add_backend("web", "10.77.0.14:8080", name="b3")
    before = await instance.status()
    world.configure(CONFIG.replace("10.77.0.12:8080", "10.77.0.14:8080"))
    with pytest.raises(ConfigError, match=r"with what was added at run time \(web/b3\)") as caught:
        await instance.reload(None)

    assert caught.value.fix == "natlb remove SERVICE/BACKEND, then reload"
    assert await instance.status() == before


@in_world
async def test_a_dry_reload_says_what_would_be(world: World) -> None:
    """Bad files are refused as ever; good ones are not put in force."""
    instance = await world.begin()
    before = await instance.status()
    world.configure(CONFIG.replace("name: b2", "name: b9"))
    done = await instance.reload(None, dry_run=True)
    world.configure(CONFIG.replace("name: b2", "nam: b9"))
    with pytest.raises(ConfigError):
        await instance.reload(None, dry_run=True)

    assert (done.generation, done.added, done.removed) == (2, ["web/b9"], ["web/b2"])
    assert await instance.status() == before


@in_world
async def test_health_states_and_counters_carry_over_by_name(world: World) -> None:
    """An address is not who a backend is."""
    instance = await world.begin()
    await instance._intents.set_health({("web", "b1"): "down", ("web", "b2"): "up"})
    await instance.set_backend("web", "b2", state="draining", weight=7)
    instance._memory.counters[0].backends["total"][1] = 42
    world.configure(CONFIG.replace("10.77.0.12:8080", "10.77.0.22:8080"))
    await instance.reload(None)
    one, two = await instance.backends("web")

    assert (one.health, two.health) == ("down", "up")
    assert (two.state, two.weight, two.flows.total) == ("draining", 7, 42)
    assert two.address == "10.77.0.22:8080"


def test_records_of_before_are_still_read() -> None:
    """An older control may have written them: it had nothing over its file."""
    old = b'{"generation": 3, "seed": 1, "started_ns": 2, "config_path": "a", "config_text": "b"}'
    record = Record.from_octets(old)

    assert (record.added, record.removed, record.revision) == ((), (), 1)
    assert Registry.create().fits(record)
