from __future__ import annotations

import ast
import random

import pytest

from natlb.control.policy.program_form import bounded
from natlb.control.policy.program_rules import Rules
from natlb.control.policy.program_seal import MOST_NODES, UnsealedError, sealed
from tests.unit.control.policy.test_program_rules import GOOD

VALUES = (
    *("(1)", "(-0.5)", "x", "pool", "flow.client", "pool.flows", "math", "math.pi", "pi", "A", "f"),
    *("open", "__budget", "__builtins__", "_\uff3fspend", "'s'", "None", "()", "A.real"),
    *("f.__globals__", "math.__dict__", "pool._replace", "pool.state[0]", "flow.hash"),
)
FORMS = (
    *("({} + {})", "({} // {})", "({} @ {})", "({} in {})", "(-{})", "({}, {})", "{}[{}]"),
    *("{}({})", "f({})", "max({}, {})", "max(*{})", "int(x={})", "divmod({}, {})", "sin({})"),
    *("math.cos({})", "{}.sum()", "{}.size", "(y := {})", "(lambda: {})", "[{}]", "({} or {})"),
)
LINES = (
    *("x = {}", "x: {} = {}", "x: (y := {}) = {}", "pool.state[{}] = {}", "pool.state[{}] += {}"),
    *("x, y = {}", "math = {}", "A = {}", "{}", "del x", "import os", "for x in range({}): pass"),
    *("if {}: x = {}", "with {}: pass", "assert {}", "global A", "return {}"),
)
HEADS = (
    *("import math", "from math import sin, pi", "A = {}", "A: {} = 1", "import os", "open = 1"),
    *("def f(a): return {}", "def f(a: {}) -> {}: return a", "def f(a={}): return 1"),
    *("@f\ndef f(a): return 1", "from . import f", "class A: pass"),
)


def program(chance: random.Random) -> str:
    """Return a program of parts that are allowed, and of some that are not."""

    def value(depth: int) -> str:
        if depth == 0 or chance.random() < 0.5:
            return chance.choice(VALUES)
        return chance.choice(FORMS).format(value(depth - 1), value(depth - 1))

    heads = [chance.choice(HEADS).format(value(1), value(1)) for _ in range(chance.randrange(4))]
    lines = [chance.choice(LINES).format(value(2), value(2)) for _ in range(chance.randrange(3))]
    body = "".join(f"    {line}\n" for line in lines)
    return "\n".join(heads) + f"\ndef pick(pool, flow):\n    x = 1\n{body}    return x\n"


@pytest.mark.parametrize("interpreted", [False, True])
def test_no_program_that_keeps_the_rules_has_anything_else_in_it(interpreted: bool) -> None:
    """Of 5,000 made by chance: the two walls agree, though each was built by itself."""
    chance = random.Random(20)
    trees = [ast.parse(program(chance)) for _ in range(5000)]
    kept = [tree for tree in trees if not Rules(tree, "pick").faults()]

    for tree in kept:
        sealed(bounded(tree, interpreted=interpreted))
    assert len(kept) > 200


@pytest.mark.parametrize("interpreted", [False, True])
def test_what_keeps_the_rules_is_sealed(interpreted: bool) -> None:
    """In both forms."""
    tree = bounded(ast.parse(GOOD), interpreted=interpreted)

    assert sealed(tree) is tree


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "print(1)",
        "X = f(1)",
        "X = Y",
        "X = 'text'",
        "@f\ndef f(): return 1",
        "def f(a=1): return a",
        "def f(*, a): return a",
        "def f(*a): return a",
        "def f(a: int): return a",
        "def f() -> int: return 1",
        "def f(__x): return 1",
        "def f(): return __import__('os')",
        "def f(): return __builtins__",
        "def f(): return open(1)",
        "def f(): return f.__globals__",
        "def f(): return math.__dict__",
        "def f(): return math.gamma(1)",
        "def f(): return (lambda: 1)()",
        "def f(): return max(1, 2, key=abs)",
        "def f(): return f'{1}'",
        "def f(): return [1]",
        "def f(): return (x := 1)",
        "def f(): return 1 @ 2",
        "def f(): return 1 is 2",
        "def f():\n    import os",
        "def f():\n    class A: pass",
        "def f():\n    with f: pass",
        "def f():\n    del f",
        "def f():\n    global f",
        "async def f(): pass",
        "class A: pass",
    ],
)
def test_all_else_is_refused(text: str) -> None:
    """Even where no rule had said so."""
    with pytest.raises(UnsealedError, match=r"no place in a policy|is no function"):
        sealed(ast.parse(text))


def test_a_tree_is_not_of_any_size() -> None:
    """Python and Numba would be busy with it for minutes."""
    long = "def f(x):\n" + "    x = x + 1\n" * (MOST_NODES // 6)

    with pytest.raises(UnsealedError, match="too long"):
        sealed(ast.parse(long))
