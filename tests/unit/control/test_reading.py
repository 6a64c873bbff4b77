"""What is quoted of files that are read for whoever calls the API."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control import reading
from natlb.control.reading import MOST_TOKEN_OCTETS, POLICY, FileReader, Quoting, is_public
from natlb.errors import ConfigError
from tests.unit.control.instances import CONFIG, World, in_world

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2"
TOKEN = "k" * 32
MINE = "policy: {name: python, file: mine.py}"
WITH_PROGRAM = CONFIG.replace("web:\n", f"web:\n    {MINE}\n")
GOOD = "def pick(pool, flow):\n    return 0\n"


@pytest.fixture(params=["strangers", "supervisor"])
def secretive(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have strangers call, or files that only the supervisor may open; not at the start."""

    def refuse(_path: Path) -> int:
        raise PermissionError(13, "Permission denied")

    if request.param == "strangers":
        monkeypatch.setattr(FileReader, "_strangers_call", lambda _: True)
        monkeypatch.setattr(reading, "is_public", lambda _: False)
    else:
        monkeypatch.setattr(reading, "open_own", refuse)


async def refusal(instance: Any, path: Path | None = None) -> str:
    """Return all that is said of a reload that is refused."""
    with pytest.raises(ConfigError) as caught:
        await instance.reload(None if path is None else str(path))
    return f"{caught.value.message}\n{caught.value.fix}"


@pytest.mark.usefixtures("secretive")
@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"services:\n  web: {{{SECRET}: 1}}\n".encode(), ":2:9: expected"),
        (f"root:{SECRET}:19000:0\n".encode(), ": expected"),
        (f"{SECRET}: [\n".encode(), ":2:1: expected"),
        (f"{SECRET}\n\xff".encode("latin-1"), ":2:1: expected"),
        (f'{{"{SECRET}'.encode(), ":1:10: expected"),
        (b"", ": expected"),
    ],
)
def test_nothing_of_a_secret_file_is_shown(folder: Path, text: bytes, place: str) -> None:
    """Only where it is not what it should be."""

    @in_world
    async def test(world: World) -> None:
        instance = await world.begin()
        secret = world.folder / "secret"
        secret.write_bytes(text)
        said = await refusal(instance, secret)

        assert SECRET not in said
        assert "|" not in said
        assert f"{secret}{place}" in said or f"{secret}:1:1{place}" in said

    test(folder)


@pytest.mark.usefixtures("secretive")
@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"root:{SECRET}:19000:0\n", "mine.py:1:"),
        (f"{SECRET} = 'x'\n", "mine.py:1:"),
        (GOOD.replace("0", SECRET), "mine.py:2:12: "),
        (f"# refused {SECRET}\n{GOOD}", "mine.py:2:1: "),
        ("#" * (65 << 10), "mine.py: expected"),
    ],
)
def test_nothing_of_a_secret_policy_is_shown(folder: Path, text: str, place: str) -> None:
    """Neither by the rules nor by who compiles it."""

    @in_world
    async def test(world: World) -> None:
        instance = await world.begin()
        world.configure(WITH_PROGRAM)
        (world.folder / "mine.py").write_text(text)
        said = await refusal(instance)

        assert SECRET not in said
        assert place in said
        assert POLICY in said

    test(folder)


@in_world
async def test_our_own_group_is_told_everything(world: World) -> None:
    """Where there is no group that may call besides, whoever calls may read as well."""
    instance = await world.begin()
    world.configure("services: {web: {listn: 1}}")

    assert "unknown key 'listn'" in await refusal(instance)


@in_world
async def test_what_cannot_be_read_is_told_of_as_ever(world: World) -> None:
    """There is nothing to quote."""
    instance = await world.begin()

    assert "No such file" in await refusal(instance, world.folder / "nowhere")
    assert "Is a directory" in await refusal(instance, world.folder)


@in_world
async def test_strangers_are_known_by_the_socket(world: World) -> None:
    """Its group, its mode, or that it is gone."""
    await world.begin()
    path, reader = world.folder / "api.sock", world.control._files
    assert not reader._strangers_call()
    path.chmod(0o666)
    assert reader._strangers_call()
    path.unlink()
    assert reader._strangers_call()


def test_what_does_not_name_the_file_is_said_as_it_is() -> None:
    """It shows nothing of it."""
    with (
        pytest.raises(ConfigError, match="within 120 s"),
        Quoting(("mine.py",), is_allowed=False, expected=POLICY).kept(),
    ):
        raise ConfigError("the policy does not compile within 120 s")


def test_what_everybody_may_read_is_public(tmp_path: Path) -> None:
    """On the whole way to it."""
    place = tmp_path / "file"
    place.write_text("")
    modes = {each: each.stat().st_mode & 0o777 for each in place.parents}
    fd = os.open(place, os.O_RDONLY)
    place.chmod(0o644)
    tmp_path.chmod(0o700)
    assert not is_public(fd)
    place.chmod(0o640)
    assert not is_public(fd)
    place.unlink()
    assert not is_public(fd)
    os.close(fd)
    passwd = os.open("/etc/passwd", os.O_RDONLY)
    assert is_public(passwd)
    os.close(passwd)
    tmp_path.chmod(modes[tmp_path])


@pytest.mark.parametrize("is_own", [True, False])
def test_tokens_are_read_with_whose_rights_it_takes(folder: Path, *, is_own: bool) -> None:
    """Control is nobody; the file is root's."""

    def refuse(_path: Path) -> int:
        raise PermissionError(13, "Permission denied")

    @in_world
    async def test(world: World) -> None:
        await world.begin()
        path = token_file(world, f"read {TOKEN}\n")
        with pytest.MonkeyPatch.context() as patch:
            if not is_own:
                patch.setattr(reading, "open_own", refuse)
            found = await world.control._files.tokens(path)

        assert found.role_of(TOKEN) == "read"

    test(folder)


@in_world
async def test_tokens_that_cannot_be_trusted_or_read_are_refused(world: World) -> None:
    """Nothing of them is quoted."""
    await world.begin()
    files, path = world.control._files, token_file(world, f"read {TOKEN}\n")
    path.chmod(0o604)
    with pytest.raises(ConfigError, match="open to everybody on this host: mode 0604"):
        await files.tokens(path)
    token_file(world, "#" * (MOST_TOKEN_OCTETS + 1))
    with pytest.raises(ConfigError, match="is over 524288 octets"):
        await files.tokens(path)
    token_file(world, f"\xff {TOKEN}\n")
    with pytest.raises(ConfigError, match="tokens:1: expected ROLE TOKEN") as caught:
        await files.tokens(path)
    with pytest.raises(ConfigError, match="No such file"):
        await files.tokens(world.folder / "nowhere")
    with pytest.raises(ConfigError, match="not a file"):
        await files.tokens(world.folder)

    assert TOKEN not in f"{caught.value} {caught.value.fix}"


def token_file(world: World, text: str) -> Path:
    """Return a file of tokens that is closed to others."""
    path = world.folder / "tokens"
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    return path
