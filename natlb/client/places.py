"""Where instances listen, and what to do where nobody does or nobody may."""

from __future__ import annotations

import grp
import os
from pathlib import Path

from natlb.errors import DeniedError, UnavailableError

RUN = Path("/run/natlb")
DOORS = ("natlb.sock", "natlb-operate.sock", "natlb-read.sock")


def default_socket() -> str:
    """Return where the instance of this network namespace listens for this user.

    The socket of the greatest role that its file lets in; that for admin where none does, whose
    error then says how to be let in.
    """
    namespace = os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116 - a Path would say no more
    doors = [RUN / str(namespace) / name for name in DOORS]
    return str(next((door for door in doors if _is_open(door)), doors[0]))


def _is_open(door: Path) -> bool:
    return os.access(door, os.R_OK | os.W_OK)


def not_running(path: str) -> UnavailableError:
    """Return the error for a place where nobody listens, with those where somebody may."""
    others = [str(each) for each in sorted(RUN.glob("*/natlb.sock")) if str(each) != path]
    message = f"natlb is not running, nothing listens on {path}"
    if not others:
        return UnavailableError(message, fix="natlb run -c FILE")
    message += f"; other sockets: {', '.join(others)}"
    return UnavailableError(message, fix=f"natlb --socket {others[0]} status")


def denied(path: str) -> DeniedError:
    """Return the error for a socket that does not let us in, with the group that it does."""
    message = f"no permission to use {path}"
    try:
        number = Path(path).stat().st_gid
    except OSError:  # a folder on the way is closed to us: it hides the group too
        return DeniedError(message, fix="sudo natlb ...")
    return DeniedError(f"{message}, it belongs to group '{group_name(number)}'", fix=way_in(number))


def group_name(number: int) -> str:
    """Return a group's name, its number where it has none here."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def way_in(group: int) -> str:
    """Return how to be let in; nobody is told to join the group of root."""
    join = f", or join the group: sudo usermod -aG {group_name(group)} $USER"
    return f"sudo natlb ...{join if group else ''}"
