from __future__ import annotations

import ast

import pytest

from natlb.control.policy.program_form import bounded
from natlb.control.policy.program_seal import MOST_NODES, UnsealedError, sealed
from tests.unit.control.policy.test_program_rules import GOOD


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
