"""Reloads: all or nothing, over real memory and a worker that pretends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from natlb.control.messages import (
    Logging,
    Reload,
)
from natlb.control.roles import Role
from natlb.core.memory import Kind
from natlb.errors import ConfigError, HostError
from natlb.io.shared import attach
from tests.unit.control.instances import CONFIG, World, eventually, in_world

if TYPE_CHECKING:
    from natlb.control.live import LiveInstance


def count_flows(world: World, backend: int, flows: int) -> None:
    """Count flows for a backend, as the worker does."""
    held = world.supervisor.holdings.get(Role.COUNTERS)
    assert held is not None
    attach(Kind.COUNTERS, held.fd).backends[backend]["current"] = flows


@in_world
async def test_a_reload_is_a_generation_with_its_difference(world: World) -> None:
    """The workers read it before the answer is given."""
    instance = await world.begin()
    count_flows(world, 1, 5)
    world.configure(CONFIG.replace("b2", "b3").replace("10.77.0.11", "10.77.0.21"))
    answer = await instance.reload(None)

    assert answer.generation == 2
    assert (answer.added, answer.removed) == (["web/b3"], ["web/b2"])
    assert (answer.changed, answer.drained) == (["web/b1"], ["web/b2"])
    assert world.workers[0].generations[-1] == 2


@in_world
async def test_a_reload_of_the_same_is_no_generation(world: World) -> None:
    """Nothing done where nothing changed; another path is remembered."""
    instance = await world.begin()
    other = world.folder / "other.yaml"
    other.write_text(world.path.read_text() + "# the same\n")
    answer = await instance.reload(str(other))

    assert (answer.generation, answer.added, answer.removed, answer.changed) == (1, [], [], [])
    assert (await instance.status()).config == str(other)
    successor = await world.succeed()
    assert (await successor.status()).config == str(other)


@in_world
async def test_a_reload_changes_how_is_logged(world: World) -> None:
    """Here and in the supervisor."""
    instance = await world.begin()
    world.configure(CONFIG + "log: {level: error, format: json}")
    await instance.reload(None)
    await eventually(lambda: Logging(level=40, json=1) in world.supervisor.heard)


@in_world
async def test_a_refused_reload_changes_nothing(world: World) -> None:
    """Not the generation, not the tables, not the registry, not the path."""
    instance = await world.begin()
    before = await instance.status()
    tables = world.supervisor.holdings.get(Role.TABLES)
    world.configure("services: {web: {listn: 1}}")
    with pytest.raises(ConfigError, match="listn"):
        await instance.reload(None)
    with pytest.raises(ConfigError, match="No such file"):
        await instance.reload(str(world.folder / "nowhere.yaml"))
    world.configure(CONFIG + "api: {listen: 'unix:/tmp/other.sock'}")
    with pytest.raises(ConfigError, match="'api' needs a restart"):
        await instance.reload(None)
    world.configure(CONFIG.replace("10.77.0.11", "10.77.0.21"))
    world.supervisor.refuse = True
    with pytest.raises(HostError, match="cannot"):
        await instance.reload(None)

    assert await instance.status() == before
    assert world.supervisor.holdings.get(Role.TABLES) == tables


@in_world
async def test_each_refusal_is_an_event_whoever_asked(world: World) -> None:
    """And a dry run is none."""
    instance = await world.begin()
    world.configure("services: {web: {listn: 1}}")
    for dry_run in (False, True):
        with pytest.raises(ConfigError):
            await instance.reload(None, dry_run=dry_run)
    world.supervisor.channel.send(Reload(text=""))
    await eventually(lambda: len(refusals(instance)) == 2)

    assert all("unknown key 'listn'" in each for each in refusals(instance))


def refusals(instance: LiveInstance) -> list[str]:
    """Return why reloads were refused."""
    kept = instance.events.since(0).events
    return [str(each.fields["reason"]) for each in kept if each.kind == "reload_refused"]


TOKEN = "k" * 32


def token_file(world: World, text: str) -> None:
    """Write the tokens of `with_tokens`."""
    path = world.folder / "tokens"
    path.write_text(text)
    path.chmod(0o600)


async def with_tokens(world: World) -> LiveInstance:
    """Return an instance with a door by TCP, for one who may read."""
    token_file(world, f"read {TOKEN}\n")
    api = f"api: {{listen: 'tcp://127.0.0.1:9000', token_file: {world.folder}/tokens}}\n"
    world.configure(CONFIG + api)
    instance: LiveInstance = await world.begin()
    return instance


@in_world
async def test_a_reload_lets_others_in_though_nothing_else_changed(world: World) -> None:
    """Who is out of the file is out at once."""
    instance = await with_tokens(world)
    doors = world.control._doors
    assert [door.role for door in doors.doors] == ["admin", None]
    token_file(world, f"admin {TOKEN}2\n")
    await instance.reload(None, dry_run=True)
    assert doors.tokens.role_of(TOKEN) == "read"
    await instance.reload(None)

    assert doors.tokens.role_of(TOKEN) is None
    assert doors.tokens.role_of(f"{TOKEN}2") == "admin"


@in_world
async def test_a_reload_is_all_or_nothing_with_tokens_as_well(world: World) -> None:
    """Neither a bad file of tokens comes into force in part, nor a good one with a bad file."""
    instance = await with_tokens(world)
    tokens = world.control._doors.tokens
    token_file(world, f"admin {TOKEN}2\nroot {TOKEN}3\n")
    with pytest.raises(ConfigError, match="tokens:2: expected ROLE TOKEN"):
        await instance.reload(None)
    token_file(world, f"admin {TOKEN}2\n")
    with pytest.raises(ConfigError):
        await instance.reload(str(world.folder / "nowhere"))

    assert world.control._doors.tokens == tokens
    assert len(refusals(instance)) == 2


@in_world
async def test_a_new_control_that_cannot_read_tokens_lets_nobody_in_by_them(world: World) -> None:
    """It says so, and goes on."""
    await with_tokens(world)
    (world.folder / "tokens").unlink()
    instance = await world.succeed()
    told = [each for each in instance.events.since(0).events if each.kind == "tokens_not_read"]

    assert world.control._doors.tokens.role_of(TOKEN) is None
    assert "No such file" in told[0].fields["reason"]
