from __future__ import annotations

import os
from pathlib import Path

import pytest

from natlb.lab.libc import CLONE_NEWNET, MS_REC, mount, setns, unshare


def test_a_refusal_is_an_oserror_that_says_what_was_tried() -> None:
    """The errno is the kernel's."""
    with pytest.raises(OSError, match=r"setns: Bad file descriptor"):
        setns(-1, CLONE_NEWNET)
    with pytest.raises(OSError, match=r"mount /no/such/place"):
        mount("none", "/no/such/place", "tmpfs", MS_REC)
    with pytest.raises(OSError, match="unshare: Invalid argument"):
        unshare(1)


def test_a_namespace_of_another_kind_is_refused() -> None:
    """The kind is checked by the kernel."""
    fd = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    with pytest.raises(OSError, match="setns: Invalid argument"):
        setns(fd, CLONE_NEWNET)
    os.close(fd)


def test_nothing_unshared_changes_nothing() -> None:
    """The call is made, and does not fail."""
    before = Path("/proc/self/ns/net").stat().st_ino
    unshare(0)

    assert Path("/proc/self/ns/net").stat().st_ino == before
