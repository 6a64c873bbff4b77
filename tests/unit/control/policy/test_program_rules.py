from __future__ import annotations

import ast

import pytest

from natlb.control.policy.program_rules import Rules

GOOD = '''"""A docstring."""
from __future__ import annotations
import math
from math import floor, pi
from natlb.policy import Flow, Pool

HALF: float = -1 / 2
MORE = HALF + pi


def other(pool, at):
    """Another."""
    best, rest = divmod(at, 7)
    best += 1
    pool.state[best % 8] += 1
    pass
    if at > 3 and not rest == 2:
        return min(best, rest)
    elif -at <= MORE:
        return max(1, 2, abs(best))
    else:
        return round(math.sqrt(2.0)) + floor(0.5) + int(math.pi)


def pick(pool: Pool, flow: Flow) -> int:
    best: int = 0
    for at in range(1, len(pool.weights), 2):
        if pool.flows[at] < pool.flows[best]:
            best = at if at else best
            continue
        break
    while True:
        other(pool, best)
        a, b = (flow.client[0], best)
        pool.state[a] = float(b)
        return pool.weights.argmin() + pool.flows.size
'''


def faults(text: str, function: str = "pick") -> list[str]:
    """Return what is said of a text, each with its place."""
    found = Rules(ast.parse(text), function).faults()
    return [f"{line}:{column + 1}: {said}" for line, column, said in found]


def inside(*lines: str) -> list[str]:
    """Return what is said of a policy of these lines, which begin in line 2."""
    return faults("def pick(pool, flow):\n" + "".join(f"    {line}\n" for line in lines))


def test_what_a_policy_needs_is_allowed() -> None:
    """All of it at once."""
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import os", "imports 'os'"),
        ("import math as m", "imports 'math'"),
        ("from os import path", "imports path from 'os'"),
        ("from math import gamma", "imports gamma"),
        ("from natlb.policy import *", "imports *"),
        ("class A: pass", "no classes"),
        ("X = [1]", "a constant is a number"),
        ("X = 2 ** 999", "a constant is a number"),
        ("X = 1 << 62", "a constant is a number"),
        ("X = ~1", "a constant is a number"),
        ("X = (1, 2)", "a constant is a number"),
        ("X = X + 1", "a constant is a number"),
        ("X = 1 / 0", "divides by 0"),
        ("X = 9223372036854775807 * 2", "64 bits"),
        ("from .math import sin", "imports sin from '.math'"),
        ("from . import math", "imports math from '.'"),
        ("from math import sin as s", "imports sin"),
        ("from __future__ import division", "imports division"),
        ("from __future__ import annotations as a", "imports annotations"),
        ("def f(*, a=1): return 1", "parameters are plain"),
        ("def f(a, /): return 1", "parameters are plain"),
        ("X = 'a'", "'a' is no number"),
        ("X = Y", "a constant is a number"),
        ("len = 3", "'len' has a meaning"),
        ("print(1)", "only imports of 'math'"),
        ("async def f(): pass", "plain 'def'"),
        ("@cache\ndef f(): return 1", "no decorators"),
        ("def f(a=1): return 1", "parameters are plain"),
        ("def f(*a): return 1", "parameters are plain"),
        ("def f(__a): return 1", "'__a' begins with"),
        ("def math(): return 1", "'math' has a meaning"),
    ],
)
def test_little_stands_at_the_top(line: str, said: str) -> None:
    """Nothing that would be run but assignments of constants."""
    found = faults(f"{line}\ndef pick(pool, flow):\n    return 0\n")

    assert said in found[0]
    assert found[0].startswith(("1:", "2:"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("return", "returns nothing"),
        ("open('x')", "calls 'open'"),
        ("pool.flows.tofile('x')", "calls 'pool.flows.tofile'"),
        ("__import__('os')", "calls '__import__'"),
        ("pool.__class__", "'.__class__' is not known"),
        ("pool.weights[0] = 1.0", "writes elsewhere"),
        ("pool.state = 1", "writes elsewhere"),
        ("x = pool.state; x[0] = 1", "writes elsewhere"),
        ("x: int", "gives no value"),
        ("pool.state[int(1)] += 1", "assign that first"),
        ("x = [1, 2]", "no lists"),
        ("x = [at for at in range(3)]", "no lists"),
        ("x = {}", "no dictionaries"),
        ("x = f'{pool}'", "no texts"),
        ("x = 'text'", "no number"),
        ("x = b'text'", "no number"),
        ("x = None", "no number"),
        ("x = 1j", "no number"),
        ("x = 1 << 3 if 99999999999999999999 else 0", "64 bits"),
        ("x = lambda: 1", "no lambdas"),
        ("x = (y := 1)", "a line of its own"),
        ("x = pool.weights[0:1]", "no slices"),
        ("x = max(*pool.weights)", "no '*'"),
        ("x = 1 @ 2", "no '@'"),
        ("x = pool is flow", "compares by"),
        ("x = 1 in pool.flows", "compares by"),
        ("x = y", "'y' is not defined"),
        ("x = len", "'len' is a function"),
        ("x = pick", "'pick' is a function"),
        ("x = math.pi", "'.pi' is not known"),
        ("len = 1", "'len' has a meaning"),
        ("x = min(1)", "at least two"),
        ("x = len()", "another number"),
        ("x = round(1.5, 2)", "another number"),
        ("x = int(x=1)", "by name"),
        ("x = range(3)", "'range' belongs"),
        ("x = (1, 2).weights", "a field of something else"),
        ("for at in pool.weights: pass", "loops over something else"),
        ("for a, b in range(3): pass", "counts in something else"),
        ("with pool: pass", "opens nothing"),
        ("try:\n        pass\n    except Exception:\n        pass", "catches nothing"),
        ("raise ValueError", "raises nothing"),
        ("assert pool", "asserts nothing"),
        ("global x", "'pool.state'"),
        ("del pool", "deletes nothing"),
        ("yield 1", "returns its position"),
        ("x = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)", "2 to 16 values"),
        ("pool.state[()] = 1", "2 to 16 values"),
        ("x = (1,)", "2 to 16 values"),
        ("(x,) = 1, 2", "writes elsewhere"),
        ("x: (y := 1) = 2; x = y", "'y' is not defined"),
        ("x = math", "'math' is not defined"),
        ("math = 1", "'math' has a meaning"),
        ("x = math.__dict__", "'.__dict__' is not known"),
        ("x = _\uff3fbudget", "'__budget' is not defined"),
        ("_\uff3fspend = 1", "'__spend' begins with"),
        ("x = max(1, 2, key=abs)", "by name"),
        ("x = (lambda: 1)()", "calls 'lambda"),
        ("x = pool.weights.sum.__self__", "is not known"),
        ("match 1:\n        case 1: pass", "no 'Match'"),
        ("def f(): pass", "not into one another"),
        ("import math", "at the top"),
    ],
)
def test_what_a_policy_may_not_do_is_told_by_line(line: str, said: str) -> None:
    """With what was expected."""
    found = inside(line, "return 0")

    assert said in " ".join(found)
    assert found[0].startswith("2:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def choose(pool, flow):\n    return 0\n", "no function 'pick' with (pool, flow)"),
        ("X = 1\n", "there is none"),
        ("def pick(pool):\n    return 0\n", "1 parameters; expected two"),
        ("def pick(a, b):\n    if a.flows[0]:\n        return 0\n", "without 'return'"),
        ("def pick(a, b):\n    while True:\n        break\n", "without 'return'"),
        (
            "def pick(a, b):\n    while True:\n        if a.flows[0]:\n            break\n",
            "without 'return'",
        ),
        (
            "def pick(a, b):\n while True:\n  while a:\n   a\n  else:\n   break\n",
            "without 'return'",
        ),
        ("def pick(a, b):\n    return pick(a, b)\n", "'pick' calls itself"),
        (
            "def f(a):\n return g(a)\ndef g(a):\n return f(a)\ndef pick(a, b):\n return 0\n",
            "'g' calls itself",
        ),
        ("def f(a):\n    return 1\ndef pick(a, b):\n    return f(a, b)\n", "wants 1 arguments"),
        ("import math\ndef pick(a, b):\n    return math.gamma(1)\n", "'math.gamma' is not among"),
        ("import math\ndef pick(a, b):\n    return int(math.nope)\n", "none of e, inf"),
    ],
)
def test_the_function_that_is_asked_is_there_and_ends(text: str, said: str) -> None:
    """Two parameters, a position on every way, no recursion."""
    assert said in " ".join(faults(text))


def test_all_is_told_at_once() -> None:
    """In the order of the file."""
    assert [each.split(":")[0] for each in inside("x = []", "y = {}", "return z")] == [
        "2",
        "3",
        "4",
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            "def f(a=print(1)):\n    return 1\ndef f(a):\n    return 1\n",
            "3:1: 'f' stands in line 1",
        ),
        ("f = 1\ndef f(a):\n    return 1\n", "2:1: 'f' stands in line 1"),
        ("X = 1\nX = 2\n", "2:1: 'X' stands in line 1"),
        ("import math\nimport math\n", "2:1: 'math' stands in line 1"),
        ("from math import pi\npi = 3\n", "2:1: 'pi' stands in line 1"),
        ("from math import sin, sin\n", "1:1: 'sin' stands in line 1"),
        ("from natlb.policy import Pool\nPool = 3\n", "2:1: 'Pool' stands in line 1"),
    ],
)
def test_no_name_stands_at_the_top_twice(lines: str, said: str) -> None:
    """The first would be hidden by the second, and yet be run."""
    assert said in " ".join(faults(f"{lines}def pick(a, b):\n    return 0\n"))


def test_each_function_of_a_name_is_looked_at() -> None:
    """Not the last one alone."""
    found = faults("@print\ndef pick(a, b):\n    return open(a)\ndef pick(a, b):\n    return 0\n")

    assert "no decorators" in " ".join(found)
    assert "calls 'open'" in " ".join(found)


def test_a_break_of_an_inner_loop_leaves_no_outer_one() -> None:
    """So what follows is never reached."""
    body = (
        "while True:",
        "    for at in range(3):",
        "        if at:",
        "            break",
        "    while pool.flows[0]:",
        "        break",
        "    if pool.flows[0]:",
        "        return 0",
    )

    assert inside(*body) == []


def test_calls_go_down_so_far_and_no_further() -> None:
    """What compiles them goes down with them, and has an end."""
    deep = "def f0(a):\n    return a\n" + "".join(
        f"def f{at}(a):\n    return f{at - 1}(a)\n" for at in range(1, 40)
    )

    assert faults(f"{deep}def pick(a, b):\n    return f14(0)\n") == [
        "33:1: 'f16' calls what calls others, and so on: more than 16 deep"
    ]
