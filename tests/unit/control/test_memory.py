"""Memfds, on the real kernel."""

import fcntl
import os

import pytest

from natlb.control.memory import SEALS, read_all, read_sealed, sealed_memfd


def test_a_sealed_memfd_reads_back_and_cannot_change() -> None:
    """What was checked stays what it was when it was checked."""
    fd = sealed_memfd("test", b"content")

    assert read_sealed(fd) == b"content"
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 3)
    os.close(fd)


def test_a_plan_of_many_megabytes_fits() -> None:
    """A host plan with 65,535 backends travels as a memfd."""
    content = os.urandom(1 << 20) * 20
    fd = sealed_memfd("test", content)

    assert read_sealed(fd) == content
    os.close(fd)


def test_memory_that_could_still_change_is_refused() -> None:
    """Else it could be one thing when judged and another when used."""
    open_memfd = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(open_memfd, fcntl.F_ADD_SEALS, SEALS & ~fcntl.F_SEAL_WRITE & ~fcntl.F_SEAL_SEAL)

    with pytest.raises(ValueError, match="not sealed"):
        read_sealed(open_memfd)
    os.close(open_memfd)


def test_an_fd_that_is_no_memory_is_refused() -> None:
    """A pipe would block whoever reads it."""
    reading, writing = os.pipe()

    with pytest.raises(ValueError, match="not a memfd"):
        read_sealed(reading)
    os.close(reading)
    os.close(writing)


def test_reading_stops_where_the_file_ends() -> None:
    """A length that lies costs nothing."""
    fd = sealed_memfd("test", b"abc")

    assert read_all(fd, 1 << 20, 1) == b"bc"
    os.close(fd)
