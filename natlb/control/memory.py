"""Memory that outlives processes: memfds, written once and sealed."""

from __future__ import annotations

import fcntl
import hashlib
import os

SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
LARGEST = 1 << 30  # a plan or configuration beyond a gibibyte is nobody's honest wish


def sealed_memfd(name: str, content: bytes) -> int:
    """Return a new memfd with this content, which nobody can change any more."""
    fd = os.memfd_create(f"natlb-{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        write_all(fd, content, 0)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_sealed(fd: int) -> bytes:
    """Return the content of a sealed memfd; one that could still change is refused.

    Raises ValueError, for an fd of any other kind too.
    """
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError as error:
        raise ValueError("not a memfd") from error
    if seals & SEALS != SEALS:
        raise ValueError("a memfd that is not sealed")
    size = os.fstat(fd).st_size
    if size > LARGEST:
        raise ValueError(f"a memfd of {size} octets")
    return read_all(fd, size, 0)


def write_all(fd: int, content: bytes, offset: int) -> None:
    """Write all of `content` at `offset`."""
    view = memoryview(content)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def read_all(fd: int, length: int, offset: int) -> bytes:
    """Return `length` octets from `offset` on, fewer where the file ends before."""
    pieces = []
    while length > 0:
        piece = os.pread(fd, min(length, 1 << 24), offset)
        if not piece:
            break
        pieces.append(piece)
        length, offset = length - len(piece), offset + len(piece)
    return b"".join(pieces)


def digest_of(content: bytes) -> int:
    """Return a number for a content, 63 bits, never 0."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") >> 1 | 1
