"""Run-time changes written into the configuration file."""

from __future__ import annotations

import pytest

from natlb.control.saving import MARK
from natlb.errors import BusyError, ConfigError, DeniedError, HostError
from natlb.model import Change, Saved
from tests.unit.control.instances import CONFIG, World, in_world

COMMENTED = CONFIG.replace("services:", "services:  # all of them").replace(
    "    backends: [{name: b1", "    # the pool\n    backends: [{name: b1"
)


async def changed(instance) -> None:
    """Change all that can be changed."""
    await instance.add_backend("web", "10.77.0.14:8080", name="b3", weight=2)
    await instance.set_backend("web", "b3", weight=4)
    await instance.remove_backend("web", "b1")
    await instance.set_backend("web", "b2", state="draining", weight=7)


@in_world
async def test_what_was_changed_becomes_the_files_own(world: World) -> None:
    """Comments stay, the generation too: nothing that is in force has changed."""
    world.configure(COMMENTED)
    instance = await world.begin()
    await changed(instance)
    before, revision = await instance.status(), instance.revision
    saved = await instance.save_config()
    text, status = world.path.read_text(), await instance.status()

    assert text.endswith(
        COMMENTED.replace(
            '{name: b1, address: "10.77.0.11:8080"}, {name: b2, address: "10.77.0.12:8080"}',
            '{name: b2, address: "10.77.0.12:8080", weight: 7},'
            " {name: b3, address: 10.77.0.14:8080, weight: 4}",
        )
    )
    assert saved == Saved(
        config=str(world.path),
        changes=[
            Change(backend="web/b1", field="backend", file="10.77.0.11:8080", now=None),
            Change(backend="web/b3", field="backend", file=None, now="10.77.0.14:8080"),
            Change(backend="web/b2", field="weight", file=1, now=7),
            Change(backend="web/b3", field="weight", file=None, now=4),
        ],
    )
    assert status.changes == [Change(backend="web/b2", field="state", file="ready", now="draining")]
    assert status.generation == before.generation
    assert instance.revision > revision
    done = await instance.reload(None)
    assert (done.added, done.removed, done.changed) == ([], [], [])
    successor = await world.succeed()
    assert (await successor.status()).changes == status.changes


@in_world
async def test_a_dry_run_writes_nothing(world: World) -> None:
    """And says the same."""
    instance = await world.begin()
    await changed(instance)
    text, before = world.path.read_text(), await instance.status()
    saved = await instance.save_config(dry_run=True)

    assert len(saved.changes) == 4
    assert world.path.read_text() == text
    assert await instance.status() == before
    assert (await instance.save_config()).changes == saved.changes


@in_world
async def test_nothing_to_save_is_nothing_done(world: World) -> None:
    """A state has no place in a file."""
    instance = await world.begin()
    await instance.set_backend("web", "b1", state="draining")
    was = world.path.stat()

    assert (await instance.save_config()).changes == []
    assert world.path.stat() == was


@in_world
async def test_a_file_that_somebody_changed_is_not_written_over(world: World) -> None:
    """After a reload it is what was read."""
    instance = await world.begin()
    await instance.set_backend("web", "b1", weight=3)
    world.configure(CONFIG + "# mine\n")
    with pytest.raises(BusyError, match="has been changed since it was read") as caught:
        await instance.save_config()
    assert caught.value.fix is not None
    assert "natlb reload" in caught.value.fix
    await instance.reload(None)
    await instance.save_config()

    assert world.path.read_text().endswith("# mine\n")
    assert "weight: 3" in world.path.read_text()


@in_world
async def test_what_cannot_be_changed_alone_is_refused(world: World) -> None:
    """A shared list would change for the other service too."""
    shared = CONFIG.replace("backends: [{name: b1", "backends: &pool [{name: b1")
    world.configure(shared + "  two: {listen: tcp://203.0.113.12:80, backends: *pool}\n")
    instance = await world.begin()
    text = world.path.read_text()
    for service in ("web", "two"):
        await instance.set_backend(service, "b1", weight=3)
        with pytest.raises(ConfigError, match="cannot be changed so that all else stays"):
            await instance.save_config()
        await instance.set_backend(service, "b1", weight=1)

    assert world.path.read_text() == text


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (PermissionError(13, "Permission denied"), DeniedError, "may not write"),
        (OSError(28, "No space left on device"), HostError, "No space left on device"),
        (OSError(30, "Read-only file system"), HostError, "Read-only file system"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_and_nothing_is_lost(
    folder, monkeypatch, error, kind, words
) -> None:
    """The changes are in force as before, and can be saved later."""

    def fail(*_: object) -> None:
        raise error

    @in_world
    async def test(world: World) -> None:
        instance = await world.begin()
        await changed(instance)
        before, text = await instance.status(), world.path.read_text()
        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", fail)
            with pytest.raises(kind, match=words):
                await instance.save_config()
        assert world.path.read_text() == text
        assert await instance.status() == before
        await instance.save_config()
        assert len((await instance.status()).changes) == 1

    test(folder)


@in_world
async def test_a_byte_order_mark_stays(world: World) -> None:
    """Whatever wrote it may want it."""
    world.path.write_bytes(MARK + world.path.read_bytes())
    instance = await world.begin()
    await instance.set_backend("web", "b1", weight=3)
    await instance.save_config()

    assert world.path.read_bytes().startswith(MARK)
    assert world.path.read_bytes().count(MARK) == 1


@in_world
async def test_toml_is_told_to_be_written_by_hand(world: World) -> None:
    """It says what to do."""
    toml = world.path.with_suffix(".toml")
    toml.write_text(
        f'state = "{world.folder}"\n[datapath]\nmax_flows = 1000\n[services.web]\n'
        'listen = "tcp://203.0.113.10:80"\nbackends = ["10.77.0.11:8080"]\n'
    )
    world.path = toml
    instance = await world.begin()
    await instance.set_backend("web", "10.77.0.11:8080", weight=3)
    with pytest.raises(ConfigError, match="TOML is read, and not written") as caught:
        await instance.save_config()

    assert caught.value.fix is not None
    assert "natlb status" in caught.value.fix
