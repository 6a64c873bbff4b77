"""A file replaced whole."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from natlb.control.replacing import replace_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_gets_another_content_and_keeps_its_mode(folder: Path) -> None:
    """And nothing is left beside it."""
    place = folder / "a.yaml"
    place.write_text("old")
    place.chmod(0o640)
    replace_file(place, b"new")

    assert place.read_text() == "new"
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert [each.name for each in folder.iterdir()] == ["a.yaml"]


def test_a_link_stays_one(folder: Path) -> None:
    """What it leads to is replaced."""
    (folder / "real").mkdir()
    (folder / "real" / "a.yaml").write_text("old")
    (folder / "a.yaml").symlink_to("real/a.yaml")
    replace_file(folder / "a.yaml", b"new")

    assert (folder / "a.yaml").is_symlink()
    assert (folder / "real" / "a.yaml").read_text() == "new"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")
def test_a_file_keeps_its_owner(folder: Path) -> None:
    """Whoever writes it."""
    place = folder / "a.yaml"
    place.write_text("old")
    os.chown(place, 12, 34)
    replace_file(place, b"new")

    assert (place.stat().st_uid, place.stat().st_gid) == (12, 34)


@pytest.mark.parametrize("failing", ["fsync", "fchmod"])
def test_what_fails_leaves_everything_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A full disk, an owner that cannot be given."""
    place = folder / "a.yaml"
    place.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"os.{failing}", fail)
    with pytest.raises(OSError, match="No space"):
        replace_file(place, b"new")

    assert place.read_text() == "old"
    assert [each.name for each in folder.iterdir()] == ["a.yaml"]
