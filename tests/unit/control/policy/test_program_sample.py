from __future__ import annotations

import pytest

from natlb import jit
from natlb.control.policy.program import compile_program, pick_for
from natlb.control.policy.program_sample import MOST_STEPS, SIZES, try_programs
from natlb.control.policy.program_source import ProgramError
from natlb.core.policy.program import GOOD, LEFT, OUTCOME, WHOLE_OWN
from tests.unit.core.policy.programs import source_of


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return len(pool.flows)", "mine.py:1:1: 'pick' returned 1; expected a position, 0 to 0"),
        ("return -1", "returned -1"),
        ("if len(pool.weights) > 50:\n    return 500\nreturn 0", "with 100 in the pool"),
        ("while flow.hash >= 0:\n    pool.state[0] += 1\nreturn 0", "does not end"),
        ("at = 3\nreturn pool.flows[at] * 0", "mine.py:3:1: index 3 is out of bounds"),
    ],
)
def test_a_broken_one_is_refused_with_its_line(body: str, said: str) -> None:
    """And with what it did where."""
    with pytest.raises(ProgramError) as caught:
        pick_for((source_of(body),))

    assert said in caught.value.message
    assert "tried on a sample, with" in caught.value.message


@pytest.mark.parametrize("answer", ["0.5", "flow.hash == 1", "pool.weights[0]"])
def test_an_answer_that_is_no_int_is_refused(answer: str) -> None:
    """Compiled by its type, interpreted by the sample."""
    with pytest.raises(ProgramError, match=r"mine.py:1:1: .*int"):
        pick_for((source_of(f"return {answer}"),))


def test_with_no_room_any_answer_will_do() -> None:
    """There is none that is right."""
    body = "for at in range(len(pool.weights)):\n    if pool.weights[at] > 0:\n        return at"

    assert callable(pick_for((source_of(f"{body}\nreturn -1"),)))


@pytest.mark.skipif(jit.COMPILED, reason="compiled policies alone are asked there")
def test_what_takes_long_is_tried_less_often() -> None:
    """Interpreted, it would take half a minute; at least once with each size, room or none."""
    asked = []

    def pick(pool, _choice, _flow) -> int:
        numbers = pool.wholes[WHOLE_OWN]
        numbers[OUTCOME], numbers[LEFT] = GOOD, 0
        asked.append(int(pool.services[0]["pool_size"]))
        return 0

    source = source_of("return 0")
    try_programs((source,), [compile_program(source)], pick)

    assert len(asked) < 250
    assert all(asked.count(size) >= 2 * (MOST_STEPS // 12_000) for size in SIZES)
