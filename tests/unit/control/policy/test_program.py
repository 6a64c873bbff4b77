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


@pytest.mark.parametrize(
    "text",
    [
        "def f(a=print('run')):\n    return 1\ndef f(a):\n    return 1\n",
        "@print\ndef f(a):\n    return 1\ndef f(a):\n    return 1\n",
        "def f(a) -> print('run'):\n    return 1\ndef f(a):\n    return 1\n",
        "A = 9223372036854775807\n"
        + "".join(f"{chr(at + 1)} = {chr(at)} * {chr(at)}\n" for at in range(65, 90)),
        "A = 1 / 0\n",
        "from .math import sin\n",
        "from __future__ import braces\n",
    ],
)
def test_nothing_of_the_text_is_run_to_load_it(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No default, no decorator, no annotation; and no constant takes all the memory."""
    with pytest.raises(ProgramError, match=r"^mine\.py:\d+:\d+: "):
        compile_program(source_of("return 0", head=text))
    assert capsys.readouterr().out == ""


def test_annotations_are_never_run(capsys: pytest.CaptureFixture[str]) -> None:
    """They are the user's, for the user's own tools."""
    text = "def pick(pool: print(1), flow) -> print(2):\n    x: print(3) = 0\n    return x\n"
    compile_program(ProgramSource(file="mine.py", function="pick", text=text))

    assert capsys.readouterr().out == ""


def test_what_is_too_much_is_told_as_all_else() -> None:
    """With file and line."""
    with pytest.raises(ProgramError, match=r"mine\.py:\d+:1: too long"):
        compile_program(source_of("x = 1\n" + "x = x + 1\n" * 4500 + "return x"))
    with pytest.raises(ProgramError, match=r"mine\.py:1:1: cannot be"):
        compile_program(source_of("return " + "-" * 900 + "1"))
