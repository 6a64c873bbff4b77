"""Changes that outlive a stop, where somebody asks for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.desired import first_desired
from natlb.control.directory import RESUME_VARIABLE
from natlb.control.events import EventLog
from natlb.control.keeping import changes_of, place_of, resumed, without_added
from natlb.control.overlay import parse_file
from tests.unit.control.instances import CONFIG, World, in_world

if TYPE_CHECKING:
    from pathlib import Path

Pool = list[tuple[str, str, int]]


async def pool_of(instance: Any) -> Pool:
    """Return names, states and weights."""
    return [(each.name, each.state, each.weight) for each in await instance.backends("web")]


async def change_all(instance: Any) -> None:
    """Change all that can be changed."""
    await instance.add_backend("web", "10.77.0.14:8080", name="b3", weight=2)
    await instance.set_backend("web", "b3", weight=4)
    await instance.remove_backend("web", "b1")
    await instance.set_backend("web", "b2", state="draining", weight=7)


def events_of(world: World, kind: str) -> list[dict[str, Any]]:
    """Return what was told of this kind."""
    return [each.fields for each in world.control._events.since(0).events if each.kind == kind]


def first_then(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, text: str = CONFIG, resume: bool = True
) -> tuple[Pool, Any, World]:
    """Return the pool of an instance that follows one with all changes, its status and world."""

    @in_world
    async def first(world: World) -> None:
        await change_all(await world.begin())

    found: list[Any] = []

    @in_world
    async def then(world: World) -> None:
        world.configure(text)
        instance = await world.begin()
        found.extend([await pool_of(instance), await instance.status(), world])

    monkeypatch.delenv(RESUME_VARIABLE, raising=False)
    first(folder)
    (folder / "handover").unlink(missing_ok=True)
    (folder / "api.sock").unlink(missing_ok=True)
    if resume:
        monkeypatch.setenv(RESUME_VARIABLE, "1")
    then(folder)
    return found[0], found[1], found[2]


def test_changes_come_back_where_it_is_asked(folder: Path, monkeypatch) -> None:
    """As changes, over the file as it is now."""
    pool, status, world = first_then(folder, monkeypatch)

    assert pool == [("b2", "draining", 7), ("b3", "ready", 4)]
    assert status.generation == 1
    assert [(each.backend, each.field) for each in status.changes] == [
        ("web/b1", "backend"),
        ("web/b3", "backend"),
        ("web/b2", "state"),
        ("web/b2", "weight"),
        ("web/b3", "weight"),
    ]
    assert events_of(world, "changes_resumed") == [{"changes": 5}]


def test_an_instance_begins_as_its_file_says_where_nobody_asks(folder: Path, monkeypatch) -> None:
    """And says that there is more."""
    pool, status, world = first_then(folder, monkeypatch, resume=False)

    assert pool == [("b1", "ready", 1), ("b2", "ready", 1)]
    assert status.changes == []
    assert events_of(world, "changes_not_resumed") == [{"changes": 3, "fix": "natlb run --resume"}]


def test_what_does_not_fit_any_more_is_told_one_by_one(folder: Path, monkeypatch) -> None:
    """A removed one that the file does not have, an address that another has now."""
    text = CONFIG.replace("name: b1", "name: b8").replace("10.77.0.11:8080", "10.77.0.14:8080")
    pool, _, world = first_then(folder, monkeypatch, text=text)

    assert pool == [("b8", "ready", 1), ("b2", "draining", 7)]
    told = {each["backend"]: each["reason"] for each in events_of(world, "change_not_resumed")}
    assert list(told) == ["b1", "b3"]
    assert "no backend" in told["b1"]
    assert "10.77.0.14:8080 is the address of backend 'b8'" in told["b3"]


@in_world
async def test_the_file_says_what_differs_and_goes_where_nothing_does(world: World) -> None:
    """As its description says."""
    instance = await world.begin()
    place = place_of(instance._desired)
    await change_all(instance)
    document = json.loads(place.read_text())
    await instance.set_backend("web", "b2", state="ready")
    await instance.save_config()

    assert document == {
        "format": 1,
        "config": str(world.path),
        "backends": [
            {"service": "web", "name": "b1", "removed": True},
            {"service": "web", "name": "b2", "state": "draining", "weight": 7},
            {"service": "web", "name": "b3", "added": "10.77.0.14:8080", "weight": 4},
        ],
    }
    assert not place.exists()
    assert not place.with_suffix(".new").exists()


def test_a_disk_that_is_full_is_told_of_once(folder: Path, monkeypatch) -> None:
    """The change is in force all the same."""

    @in_world
    async def test(world: World) -> None:
        instance = await world.begin()

        def fail(_: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", fail)
            await instance.set_backend("web", "b2", weight=7)
            await instance.set_backend("web", "b2", weight=8)
        (told,) = events_of(world, "changes_not_kept")
        assert told["reason"] == "No space left on device"
        assert (await pool_of(instance))[1] == ("b2", "ready", 8)
        await instance.set_backend("web", "b2", weight=9)
        kept = json.loads(place_of(instance._desired).read_text())["backends"]
        assert kept == [{"service": "web", "name": "b2", "weight": 9}]

    test(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[]",
        '{"format": 2, "backends": []}',
        '{"format": 1}',
        '{"format": 1, "backends": 5}',
        "[" * 100_000,
        '"\\ud800',
    ],
)
def test_a_file_that_is_none_stops_no_start(folder: Path, monkeypatch, text: str) -> None:
    """Whatever is in it; it is said."""

    @in_world
    async def test(world: World) -> None:
        monkeypatch.setenv(RESUME_VARIABLE, "1")

        written = world.path.read_text()
        config = parse_file(written, str(world.path))
        wish = first_desired(config, written, str(world.path), seed=1, started_ns=1)
        place_of(wish).write_text(text)
        instance = await world.begin()
        assert len(await pool_of(instance)) == 2
        assert len(events_of(world, "changes_not_read")) == 1

    test(folder)


@pytest.mark.parametrize(
    "change",
    [
        5,
        None,
        {},
        {"service": "web"},
        {"service": "web", "name": "b9", "weight": 2},
        {"service": "x\ny", "name": "b1", "weight": 2},
        {"service": "web", "name": "b1", "weight": "2"},
        {"service": "web", "name": "b1", "state": "gone"},
        {"service": "web", "name": ["b1"], "added": {}},
        {"service": "web", "name": "b3", "added": "nowhere"},
    ],
)
def test_a_change_that_is_none_is_passed_over(folder: Path, change: Any) -> None:
    """And the next one counts."""
    wish = first_desired(parse_file(CONFIG, "x"), CONFIG, "x", seed=1, started_ns=1)
    events = EventLog()
    good = {"service": "web", "name": "b2", "weight": 9}
    now = resumed(wish, [change, good], events)

    assert [each.now for each in now.changes()] == [9]
    assert [each.kind for each in events.since(0).events] == ["change_not_resumed"]
    assert folder.exists()


@in_world
async def test_whom_this_host_cannot_reach_is_left_out(world: World) -> None:
    """The rest begins."""
    wish = first_desired(parse_file(CONFIG, "x"), CONFIG, "x", seed=1, started_ns=1)
    events = EventLog()
    changes = [
        {"service": "web", "name": "b3", "added": "10.77.0.14:8080", "weight": 2},
        {"service": "web", "name": "b1", "weight": 3},
    ]
    with_all = resumed(wish, changes, events)
    left = without_added(with_all, changes, events, "no route to 10.77.0.14")

    assert changes_of(with_all) == [changes[1], changes[0]]
    assert left == [changes[1]]
    (told,) = events.since(0).events
    assert told.fields == {"service": "web", "backend": "b3", "reason": "no route to 10.77.0.14"}
    assert world.path.exists()
