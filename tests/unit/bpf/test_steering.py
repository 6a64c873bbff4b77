from __future__ import annotations

import pytest

from natlb.bpf.steering import fanout_program
from tests.bpf_machine import run
from tests.bpf_packets import SOURCES, VIPS, cases


@pytest.mark.parametrize("side", [0, 1], ids=["public", "private"])
def test_the_fanout_program_finds_the_worker_that_the_core_names(side: int) -> None:
    """Of random packets of all kinds: else the two directions of a flow part."""
    for workers in (2, 3, 16):
        program = fanout_program(side, workers, VIPS, SOURCES)
        for case in cases(side, 1700):
            found = run(program, case.packet)

            assert found == case.worker(workers), (case.word, case.packet.hex())
