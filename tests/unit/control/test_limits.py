"""Limits on what a process takes while it does one thing."""

from __future__ import annotations

import os
import resource
import signal

import pytest

from natlb.control.limits import allow_files, limited

KINDS = (resource.RLIMIT_AS, resource.RLIMIT_CPU)
PLENTY = 1 << 46


def in_force() -> list[tuple[int, int]]:
    """Return the limits of this process."""
    return [resource.getrlimit(kind) for kind in KINDS]


def ended_by_its_limits(seconds: int) -> int:
    """Return the status of a process that loops for ever with so much time."""
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with limited(octets=PLENTY, seconds=seconds):
            while True:
                pass
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_limits_hold_within_and_are_undone() -> None:
    """Also where what is done fails."""
    before = in_force()

    def ask_too_much() -> None:
        with limited(octets=PLENTY, seconds=1000):
            during.extend(in_force())
            bytearray(PLENTY)

    during: list[tuple[int, int]] = []
    with pytest.raises(MemoryError):
        ask_too_much()
    assert all(soft != old for (soft, _), (old, _) in zip(during, before, strict=True))
    assert [hard for _, hard in during] == [hard for _, hard in before]
    assert in_force() == before


def test_a_lower_limit_stays() -> None:
    """Whoever set it knew why."""
    before = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (100_000, before[1]))
    try:
        with limited(octets=PLENTY, seconds=1_000_000):
            assert resource.getrlimit(resource.RLIMIT_CPU)[0] == 100_000
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, before)


def test_the_kernel_ends_what_takes_more_time() -> None:
    """Compiled code hears no exception."""
    assert ended_by_its_limits(0) == -signal.SIGXCPU


def test_more_files_are_allowed_as_far_as_they_may_be() -> None:
    """And never fewer than there were."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, before[1]))

        assert allow_files(256) == 256
        assert allow_files(200) == 256
        if before[1] != resource.RLIM_INFINITY:
            assert allow_files(before[1] + 1) == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
