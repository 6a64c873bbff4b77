from __future__ import annotations

import errno
import fcntl
import os
import platform
import re

import pytest

from natlb.bpf.extended import R0, R3, Extended
from natlb.bpf.system import (
    CALL_NUMBERS,
    MapKind,
    ProgramKind,
    answer_to,
    create_map,
    delete,
    explain,
    keys,
    link_xdp,
    load_program,
    lookup,
    update,
)
from natlb.errors import BusyError, DeniedError, HostError
from tests.bpf_kernel import closing, needs_bpf

FIX = "driver: packet"


@pytest.fixture
def bpf() -> None:
    """Skip where this process may not load programs."""
    needs_bpf()


def returning(number: int) -> bytes:
    """Return the program that returns a number."""
    program = Extended()
    program.do("mov", R0, number)
    program.exit()
    return program.assemble()


@pytest.mark.usefixtures("bpf")
def test_a_program_is_loaded_and_answers() -> None:
    """Its descriptor closes on exec: a child of ours has nothing to do with it."""
    with closing(load_program(ProgramKind.XDP, returning(2), "natlb_test", fix=FIX)) as program:
        assert answer_to(program, bytes(60)) == 2
        assert fcntl.fcntl(program, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


@pytest.mark.usefixtures("bpf")
def test_what_the_verifier_refuses_is_said_in_its_words() -> None:
    """The call, the errno, the last lines of the log, and what to use instead."""
    program = Extended()
    program.do64_with("mov", R0, R3)
    program.exit()
    with pytest.raises(
        HostError, match=r"bpf\(BPF_PROG_LOAD\) failed: EACCES\n[^$]*R3 !read_ok"
    ) as caught:
        load_program(ProgramKind.XDP, program.assemble(), "natlb_test", fix=FIX)

    assert caught.value.fix == FIX
    assert len(caught.value.message.splitlines()) <= 5


@pytest.mark.usefixtures("bpf")
def test_a_map_holds_what_it_was_given() -> None:
    """And says what it has, so that what went can be taken out."""
    with closing(create_map(MapKind.HASH, 4, 4, 3, "natlb_test", fix=FIX)) as table:
        assert keys(table, 4) == []
        for number in (1, 2, 3):
            update(table, bytes([number, 0, 0, 0]), b"abc%d" % number)
        assert sorted(key[0] for key in keys(table, 4)) == [1, 2, 3]
        assert lookup(table, b"\2\0\0\0", 4) == b"abc2"
        with pytest.raises(OSError, match=re.escape(os.strerror(errno.E2BIG))):
            update(table, b"\4\0\0\0", b"abcd")
        delete(table, b"\2\0\0\0")

        assert lookup(table, b"\2\0\0\0", 4) is None
        with pytest.raises(FileNotFoundError):
            delete(table, b"\2\0\0\0")


@pytest.mark.usefixtures("bpf")
def test_what_cannot_be_made_is_an_error_that_says_which_call() -> None:
    """A map of nothing; a link to an interface that is not there."""
    with pytest.raises(HostError, match=r"bpf\(BPF_MAP_CREATE\) failed: EINVAL"):
        create_map(MapKind.HASH, 0, 4, 3, "natlb_test", fix=FIX)
    with (
        closing(load_program(ProgramKind.XDP, returning(2), "natlb_test", fix=FIX)) as program,
        pytest.raises(HostError, match=r"bpf\(BPF_LINK_CREATE\) failed: E"),
    ):
        link_xdp(program, 0x7FFFFFF0, 0, fix=FIX)


def test_a_missing_right_is_named() -> None:
    """CAP_BPF in a user namespace is not it."""
    denied = explain("BPF_PROG_LOAD", errno.EPERM, FIX)

    assert isinstance(denied, DeniedError)
    assert "CAP_BPF and CAP_NET_ADMIN, outside of a user namespace" in denied.message
    assert denied.fix == FIX
    assert isinstance(explain("BPF_LINK_CREATE", errno.EBUSY, FIX), BusyError)
    assert "no bpf(2)" in explain("BPF_MAP_CREATE", errno.ENOSYS, FIX).message
    log = "\n".join(f"line {number}" for number in range(9))
    assert explain("BPF_PROG_LOAD", errno.EACCES, FIX, log).message.endswith("line 7\n  line 8")


def test_a_machine_of_unknown_calls_has_no_bpf(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guessed number would be some other call."""
    assert platform.machine() in CALL_NUMBERS
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")

    with pytest.raises(HostError, match="ENOSYS: this kernel has no bpf"):
        create_map(MapKind.HASH, 4, 4, 3, "natlb_test", fix=FIX)
