"""Listening sockets in the file system: with their rights, taken from the dead, not the living.

A file that is left of a socket is replaced when nobody listens behind it any more.
"""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING

from natlb.control.doors import DoorNumber
from natlb.errors import BusyError, HostError

if TYPE_CHECKING:
    from pathlib import Path

GROUPS = {
    DoorNumber.ADMIN: "natlb",
    DoorNumber.OPERATE: "natlb-operate",
    DoorNumber.READ: "natlb-read",
}
API_MODE = 0o660
OWN_MODE = 0o600
BACKLOG = 128


def api_listener(path: Path, door: DoorNumber = DoorNumber.ADMIN) -> socket.socket:
    """Return a socket that listens at `path`, open to the door's group where there is one.

    Raises BusyError, naming the holder, where somebody listens there; HostError where the file
    cannot be made.
    """
    listening = _listener(path, socket.SOCK_STREAM, API_MODE)
    with contextlib.suppress(KeyError, OSError):
        os.chown(path, -1, grp.getgrnam(GROUPS[door]).gr_gid)
    return listening


def tcp_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address of this host alone. Raises HostError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        place = f"[{host}]" if family == socket.AF_INET6 else host
        why = error.strerror or error
        raise HostError(f"cannot listen at tcp://{place}:{port}: {why}") from error
    return listening


def handover_listener(path: Path) -> socket.socket:
    """Return the socket on which control will be asked for everything."""
    return _listener(path, socket.SOCK_SEQPACKET, OWN_MODE)


def _listener(path: Path, kind: socket.SocketKind, mode: int) -> socket.socket:
    _make_way(path, kind)
    listening = socket.socket(socket.AF_UNIX, kind)
    mask = os.umask(0o777 & ~mode)
    try:
        listening.bind(os.fspath(path))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise HostError(f"cannot listen at {path}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    return listening


def _make_way(path: Path, kind: socket.SocketKind) -> None:
    """Remove a socket file that nobody listens behind; refuse to touch anything else."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # bind says what is wrong, if anything is
    if not stat.S_ISSOCK(mode):
        raise HostError(f"cannot listen at {path}: a file is there that is no socket")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
        raise BusyError(f"the socket {path} is in use: process {peer_pid(probe)} listens there")


def is_answered(path: Path) -> bool:
    """Return whether somebody listens for streams behind a socket's file."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0)  # a full backlog is somebody's too
        try:
            probe.connect(os.fspath(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


def peer_pid(connected: socket.socket) -> int:
    """Return the process behind a connection: the one that connected, or that began to listen."""
    pid, _, _ = peer_credentials(connected)
    return pid


def peer_credentials(connected: socket.socket) -> tuple[int, int, int]:
    """Return pid, uid and gid of the process behind a connection."""
    layout = struct.Struct("3i")
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, layout.size)
    pid, uid, gid = layout.unpack(raw)
    return pid, uid, gid
