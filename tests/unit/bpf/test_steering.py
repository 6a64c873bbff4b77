from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from natlb.bpf import steering
from natlb.bpf.steering import fanout_program, tun_program
from natlb.bpf.system import answer_to
from natlb.core import steering as core
from natlb.errors import HostError
from tests.bpf_kernel import closing, frame_with, needs_bpf
from tests.bpf_machine import run
from tests.bpf_packets import SOURCES, VIPS, cases

SIDES = pytest.mark.parametrize("side", [0, 1], ids=["public", "private"])


@SIDES
def test_the_fanout_program_finds_the_worker_that_the_core_names(side: int) -> None:
    """Of random packets of all kinds: else the two directions of a flow part."""
    for workers in (2, 3, 16):
        program = fanout_program(side, workers, VIPS, SOURCES)
        for case in cases(side, 1700):
            found = run(program, case.packet)

            assert found == case.worker(workers), (case.word, case.packet.hex())


@SIDES
def test_the_tun_program_finds_the_worker_that_the_core_names(side: int) -> None:
    """The kernel itself runs it; it gives a program no packet that is shorter than a header."""
    needs_bpf()
    for workers in (2, 3, 16):
        with closing(tun_program(side, workers, VIPS, SOURCES)) as program:
            for case in cases(side, 1700):
                if len(case.packet) < 20:
                    continue
                found = answer_to(program, frame_with(case.packet))

                assert found == case.worker(workers), (case.word, case.packet.hex())


@SIDES
def test_the_tun_program_of_no_addresses_is_taken(side: int) -> None:
    """The kernel refuses lines that no way leads to, and an empty set makes such lines."""
    needs_bpf()
    for vips, sources in (([], []), (VIPS[:1], []), ([], SOURCES[2:])):
        with closing(tun_program(side, 2, vips, sources)) as program:
            assert answer_to(program, frame_with(bytes(40))) == 0


def test_one_worker_has_all() -> None:
    """A program for it is allowed, if not needed."""
    program = fanout_program(1, 1, VIPS, SOURCES)

    assert {run(program, case.packet) for case in cases(1, 100)} == {0}


def test_the_constants_are_the_cores() -> None:
    """They stand in two places, since neither layer may import the other."""
    assert (steering.FOLD, steering.MIX) == (core.FOLD, core.MIX)


def test_too_many_addresses_are_refused() -> None:
    """256 without neighbours fit in any case; what mends it is said."""
    apart = [IPv4Address(0x0A4D0000 + 2 * number) for number in range(1200)]
    assert fanout_program(1, 2, apart[:256], apart[256:512])
    with pytest.raises(HostError, match=r"do not fit .*: .* instructions") as e:
        fanout_program(1, 2, apart, apart)

    assert "workers: 1" in str(e.value.fix)
