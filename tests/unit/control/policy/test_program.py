from __future__ import annotations

import pytest

from natlb.control.policy.program import compile_program, pick_for
from natlb.control.policy.program_source import ProgramError, ProgramSource
from natlb.core.policy.program import FLOWS, STATE, WEIGHTS
from tests.unit.core.policy.programs import source_of


def test_what_it_sees_is_known_from_its_text() -> None:
    """So nothing else is gathered."""
    body = "pool.state[0] = 1\nreturn int(pool.weights[0]) * 0 + pool.flows[0] * 0"

    assert compile_program(source_of(body)).sees == WEIGHTS | FLOWS | STATE


def test_a_set_is_compiled_once() -> None:
    """However often it is asked for."""
    sources = (source_of("return 0"),)

    assert pick_for(sources) is pick_for(sources)


def test_another_function_of_the_file_can_be_asked() -> None:
    """By its name."""
    text = "def a(pool, flow):\n    return 0\ndef b(pool, flow):\n    return 1\n"

    pick_for((ProgramSource(file="mine.py", function="a", text=text),))
    with pytest.raises(ProgramError, match=r"mine\.py:3:1: 'b' returned 1; expected a position"):
        pick_for((ProgramSource(file="mine.py", function="b", text=text),))
