"""The API over a real instance: statuses that a configuration gives, and changes at one instant."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from natlb.api import serve
from natlb.control.doors import Door, Doors
from natlb.errors import ChangedError
from natlb.model import FlowFilter
from tests.unit.control.instances import CONFIG, World, in_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from natlb.control.live import LiveInstance
    from natlb.control.reading import FileText

BACKENDS = "/v1/services/web/backends"
B1 = f"{BACKENDS}/b1"


class Asked:
    """A socket with the API behind it."""

    def __init__(self, path: str) -> None:
        """Remember where."""
        self._path = path

    async def __call__(
        self, line: str, body: object = None, *headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Return status, headers and document of an answer."""
        text = "" if body is None else json.dumps(body)
        lines = [f"{line} HTTP/1.1", "host: natlb", "connection: close", *headers]
        lines += [f"content-length: {len(text)}", "content-type: application/json"] if text else []
        reader, writer = await asyncio.open_unix_connection(self._path)
        writer.write("\r\n".join([*lines, "", text]).encode())
        head, _, rest = (await asyncio.wait_for(reader.read(), 60)).decode().partition("\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        first, *fields = head.split("\r\n")
        found = dict(field.lower().split(": ", 1) for field in fields)
        return int(first.split()[1]), found, json.loads(rest) if rest else None

    async def tag(self) -> str:
        """Return the entity tag of now, as a condition."""
        return f"if-match: {(await self('HEAD /v1/status'))[1]['etag']}"


@contextlib.asynccontextmanager
async def served(world: World) -> AsyncIterator[tuple[LiveInstance, Asked]]:
    """Serve what a world's control serves, on a socket of its own."""
    instance = await world.begin()
    path = str(world.folder / "real.sock")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    running = asyncio.ensure_future(serve(instance, Doors([Door(listening)])))
    try:
        yield instance, Asked(path)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        listening.close()


def added(**words: object) -> dict[str, object]:
    """Return a body that adds a backend at an address of its own."""
    return {"address": "10.77.0.14:8080", **words}


@in_world
async def test_what_a_running_instance_refuses_has_its_status(world: World) -> None:
    """Who is there already is a conflict; what no file may say cannot be processed."""
    bad = world.folder / "bad.yaml"
    bad.write_text(world.path.read_text().replace("10.77.0.12", "10.77.0.11"))
    gone = str(world.folder / "gone.yaml")
    other = world.folder / "other.yaml"
    other.write_text(world.path.read_text().replace("max_flows: 1000", "max_flows: 2000"))
    async with served(world) as (instance, ask):
        await ask(f"PATCH {B1}", {"weight": 5})
        world.path.write_text(world.path.read_text() + "# somebody else's\n")
        before = await instance.status(), await instance.backends(None), instance.revision
        for status, code, line, body in [
            (409, "taken", f"POST {BACKENDS}", added(name="b1")),
            (409, "taken", f"POST {BACKENDS}?dry_run=true", added(name="b1")),
            (409, "busy", "POST /v1/config/save", None),
            (422, "config", f"POST {BACKENDS}", {"address": "10.77.0.11:8080"}),
            (422, "config", f"POST {BACKENDS}", {"address": "nowhere"}),
            (422, "config", f"POST {BACKENDS}", {"address": "10.77.0.14:0"}),
            (422, "config", f"POST {BACKENDS}", {"address": "[fd00::1]:8080"}),
            (422, "config", f"POST {BACKENDS}", added(name="a/b")),
            (422, "config", f"POST {BACKENDS}", added(name="")),
            (422, "config", "POST /v1/reload", {"config": str(bad)}),
            (422, "config", "POST /v1/reload?dry_run=true", {"config": str(bad)}),
            (422, "config", "POST /v1/reload", {"config": gone}),
            (422, "config", "POST /v1/reload", {"config": str(other)}),
            (404, "unknown-name", "POST /v1/services/ftp/backends", added()),
            (404, "unknown-name", f"DELETE {BACKENDS}/b9", None),
            (404, "unknown-name", f"POST {BACKENDS}/b9/check", None),
            (404, "unknown-name", "POST /v1/flush", {"service": "ftp"}),
            (400, "usage", "POST /v1/services/dns/backends/d1/check", None),
            (412, "changed", f"POST {BACKENDS}", added()),
        ]:
            told = ['if-match: "r1"'] if status == 412 else []
            answered, _, document = await ask(line, body, *told)
            assert (answered, document["error"]["code"]) == (status, code), (line, body)
        assert (await instance.status(), await instance.backends(None), instance.revision) == before


@in_world
async def test_of_two_changes_at_one_instant_from_one_state_one_is_refused(world: World) -> None:
    """Both have passed the door; who comes second finds another revision in force."""
    async with served(world) as (_, ask):
        for line, one, other in [
            (f"PATCH {B1}", {"weight": 5}, {"weight": 6}),
            (f"POST {BACKENDS}", added(name="b3"), {"address": "10.77.0.15:8080"}),
            (f"POST {BACKENDS}", added(name="b4", address="10.77.0.16"), None),
        ]:
            tag = await ask.tag()
            second = f"DELETE {B1}" if other is None else line
            answers = await asyncio.gather(ask(line, one, tag), ask(second, other, tag))
            assert sorted(each[0] for each in answers)[1] == 412, answers


@in_world
async def test_every_change_is_judged_in_its_turn(world: World) -> None:
    """Begun while another is being brought into force, and so after the door's own look."""
    instance = await world.begin()
    plain = world.path.read_text()
    changes: list[Callable[[frozenset[int]], Awaitable[object]]] = [
        lambda now: instance.set_backend("web", "b1", weight=7, revisions=now),
        lambda now: instance.flush(FlowFilter(), reset=False, revisions=now),
        lambda now: instance.add_backend("web", "10.77.0.14:8080", revisions=now),
        lambda now: instance.remove_backend("web", "b2", revisions=now),
        lambda now: instance.reload(None, revisions=now),
        lambda now: instance.save_config(revisions=now),
    ]
    for number, change in enumerate(changes):
        world.path.write_text(plain.replace("10.77.0.13", f"10.77.0.{20 + number}"))
        now = frozenset({instance.revision})
        first = instance.set_backend("web", "b1", weight=100 + number, revisions=now)
        done = await asyncio.gather(first, change(now), return_exceptions=True)
        assert isinstance(done[1], ChangedError), (number, done)
        assert not isinstance(done[0], BaseException)
    names = [each.name for each in await instance.backends(None)]

    assert names == ["b1", "b2", "d1"]
    assert world.workers[0].commands == []


@in_world
async def test_a_reload_whose_state_has_gone_while_it_read_is_refused(world: World) -> None:
    """Reading takes time, and intents come between."""
    instance = await world.begin()
    now = frozenset({instance.revision})
    world.configure(CONFIG.replace("10.77.0.13", "10.77.0.23"))
    read = instance._reloader._read

    async def read_slowly(path: Path) -> FileText:
        await instance.set_backend("web", "b1", weight=3)
        return await read(path)

    instance._reloader._read = read_slowly
    with pytest.raises(ChangedError):
        await instance.reload(None, revisions=now)

    assert [each.address for each in await instance.backends("dns")] == ["10.77.0.13:53"]
