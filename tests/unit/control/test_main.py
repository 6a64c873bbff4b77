"""Control from its start to its end, between a supervisor and a worker that pretend."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.channel import Channel
from natlb.control.config import parse_config
from natlb.control.main import Control, summary
from natlb.control.messages import (
    HandedOver,
    Hold,
    Leave,
    Logging,
    Reload,
    Serving,
)
from natlb.control.roles import Role
from natlb.errors import ConfigError, HostError, NatlbError
from tests.unit.control.instances import CONFIG, World, duplicate, eventually, in_world

if TYPE_CHECKING:
    from natlb.control.doors import Doors
    from natlb.control.instance import Instance


@in_world
async def test_a_new_instance_is_set_up_and_served(world: World) -> None:
    """The host first, then memory, tables and registry, then the API."""
    instance = await world.begin()
    status = await instance.status()
    roles = {said.role for said, _ in world.supervisor.holdings}

    assert roles >= {Role.FLOWS, Role.COUNTERS, Role.COMMANDS, Role.TABLES, Role.REGISTRY}
    assert [str(vip) for vip in world.supervisor.wanted[0].vips] == ["203.0.113.10", "203.0.113.11"]
    assert (status.ready, status.generation, status.config) == (True, 1, str(world.path))
    assert (status.pid.supervisor, status.pid.control, status.pid.workers) == (
        10,
        os.getpid(),
        [77],
    )
    said = await eventually(
        lambda: [each for each in world.supervisor.heard if isinstance(each, Serving)]
    )
    assert said[0].text.startswith("web (tcp://203.0.113.10:80), dns (udp://203.0.113.11:53)")
    assert Logging(level=20, json=0) in world.supervisor.heard
    await eventually(lambda: world.workers[0].generations == [1])


@in_world
async def test_a_successor_goes_on_where_control_died(world: World) -> None:
    """Drained backends, generation, numbers: from the registry; and the tables stay."""
    instance = await world.begin()
    await instance.set_backend("web", "b1", state="draining")
    successor = await world.succeed()
    status = await successor.status()

    assert status.generation == 2
    assert [(each.backend, each.now) for each in status.changes] == [("web/b1", "draining")]
    assert len(world.supervisor.wanted) == 1
    await eventually(lambda: world.workers[0].generations == [1, 2, 2])


@in_world
async def test_a_generation_that_was_written_and_not_published_is_published(world: World) -> None:
    """Control died between the registry and the tables."""
    instance = await world.begin()
    before = duplicate(world.supervisor.holdings, Role.TABLES)
    await instance.set_backend("web", "b1", state="draining")
    world.supervisor.holdings.take(Hold(role=Role.TABLES, value=1), before)
    successor = await world.succeed()
    held = world.supervisor.holdings.get(Role.TABLES)

    assert (await successor.status()).generation == 2
    await eventually(lambda: held is not None and world.workers[0].generations[-1] == 2)


@in_world
async def test_a_host_that_refuses_ends_the_start_with_its_word(world: World) -> None:
    """The supervisor exits with this code."""
    world.supervisor.refuse = True
    with pytest.raises(HostError, match="the host cannot"):
        await world.begin()


@in_world
async def test_a_bad_configuration_ends_the_start(world: World) -> None:
    """Before anything is asked of the host."""
    world.configure("services: {web: {listn: 1}}")
    with pytest.raises(ConfigError, match="listn"):
        await world.begin()

    assert world.supervisor.wanted == []


@in_world
async def test_a_reload_that_a_signal_asks_for_is_logged_and_done(world: World) -> None:
    """And one that is refused changes nothing."""
    instance = await world.begin()
    world.configure(CONFIG.replace("b2", "b3"))
    world.supervisor.channel.send(Reload(text=""))
    await eventually(lambda: world.workers[0].generations[-1] == 2)
    world.configure("services: nonsense")
    world.supervisor.channel.send(Reload(text=""))
    await asyncio.sleep(0.1)

    assert (await instance.status()).generation == 2
    assert {backend.name for backend in await instance.backends("web")} == {"b1", "b3"}


@in_world
async def test_an_adopting_supervisor_gets_everything(world: World) -> None:
    """By the handover socket, once the old one is gone."""
    await world.begin()
    held = {(said.role, said.value) for said, _ in world.supervisor.holdings}
    asyncio.get_running_loop().remove_reader(world.supervisor.channel.fileno())
    world.supervisor.channel.close()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    await asyncio.get_running_loop().run_in_executor(
        None, connection.connect, str(world.folder / "handover")
    )
    channel = Channel(connection)
    got, over = set(), None
    while over is None:
        received = await eventually(lambda: _receive(channel))
        message, fds = received
        if isinstance(message, Hold):
            got.add((message.role, message.value))
        elif isinstance(message, HandedOver):
            over = message
        for fd in fds:
            os.close(fd)

    assert got == held
    assert (over.pid, over.restarts, over.started_ns) == (os.getpid(), (2,), 1)
    message, _ = await eventually(lambda: _receive(channel))
    assert isinstance(message, Serving)
    channel.send(Leave())
    await world.running
    channel.close()


def _receive(channel: Channel) -> Any:
    try:
        return channel.receive()
    except BlockingIOError:
        return None


@in_world
async def test_control_leaves_when_told(world: World) -> None:
    """Its tasks end with it."""
    await world.begin()
    world.supervisor.channel.send(Leave())
    await asyncio.wait_for(world.running, 10)


@in_world
async def test_control_without_anything_to_keep_ends_with_its_supervisor(world: World) -> None:
    """Nothing was given to it yet."""
    one, other = Channel.pair()
    control = Control(one, world._serve, world.ask)
    other.close()
    await asyncio.wait_for(control.run(), 10)


@in_world
async def test_what_ends_the_api_ends_control(world: World) -> None:
    """Another control takes its place; a silent one would not be missed."""

    async def fail(instance: Instance, doors: Doors) -> None:
        doors.doors[0].listening.close()
        raise NatlbError("the API broke")

    world.control._serve = fail
    world.supervisor.start(world.path)
    await eventually(lambda: (Role.TABLES, 0) in world.supervisor.holdings)
    world.workers.append(world.supervisor.give_worker())
    with pytest.raises(NatlbError, match="the API broke"):
        await asyncio.wait_for(world.running, 10)


def test_what_is_served_is_said_in_a_few_words() -> None:
    """However many services there are."""
    many = "services:\n" + "".join(
        f"  s{n}: {{listen: 'tcp://203.0.113.{n}:80', backends: [10.77.0.1]}}\n"
        for n in range(1, 9)
    )

    assert summary(parse_config(CONFIG, "test")).endswith("to 3 backends")
    assert summary(parse_config(many, "test")).count("tcp://") == 3
