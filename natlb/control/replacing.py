"""A file replaced whole: whoever reads it sees the old one or the new one, never a part.

The new one is written beside the old one, has its mode and owner, and is on the disk before it
takes the name. A link is followed: what it leads to is replaced, and the link stays. A file with
further names (hard links) keeps its old text under those.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path


def replace_file(path: Path, octets: bytes) -> None:
    """Give an existing file this content. Raises OSError, and the file is as it was."""
    place = path.resolve(strict=True)
    was = place.stat()
    fd, beside = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            _make_alike(fd, was)
            file.write(octets)
            file.flush()
            os.fsync(fd)
        Path(beside).replace(place)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(beside).unlink()
        raise
    sync_folder(place.parent)


def _make_alike(fd: int, was: os.stat_result) -> None:
    """Give an open file the owner and the mode of another."""
    now = os.fstat(fd)
    if (now.st_uid, now.st_gid) != (was.st_uid, was.st_gid):
        os.fchown(fd, was.st_uid, was.st_gid)
    os.fchmod(fd, stat.S_IMODE(was.st_mode))


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
