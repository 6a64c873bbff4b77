"""Tests mirror the code: natlb/PATH/x.py is tested by tests/unit/PATH/test_x.py.

So whoever opens a file knows where its tests are. A file of substance defines a function or a
class; `__init__.py` counts as `init`. A large subject may be split: `test_x_when_full.py` is about
x too.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from tests.source_tree import Module, Tree, read_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

# File -> why it has no unit test of its own.
ELSEWHERE: dict[str, str] = {
    "natlb/testing/reference.py": "it is a judge: tests/property/test_reference.py asks it",
}


def is_of_substance(module: Module) -> bool:
    """Whether there is anything in a module that a test could run."""
    return any(isinstance(node, DEFINITIONS) for node in ast.walk(module.tree))


def mirror_of(module: Module) -> str:
    """Return where the tests of a module belong."""
    folder, _, file = module.place.removeprefix("natlb/").rpartition("/")
    stem = file.removesuffix(".py").strip("_")
    return "/".join(part for part in ("tests/unit", folder, f"test_{stem}.py") if part)


def untested(tree: Tree, tests: set[str], elsewhere: dict[str, str]) -> Iterator[str]:
    """Complain about modules without tests, and about exceptions that no longer hold."""
    for module in tree.values():
        stem = mirror_of(module).removesuffix(".py")
        has_tests = any(test == f"{stem}.py" or test.startswith(f"{stem}_") for test in tests)
        if module.place in elsewhere:
            if has_tests:
                yield f"{module.place}: has tests; it is no exception any more"
        elif is_of_substance(module) and not has_tests:
            yield f"{module.place}: no {stem}.py"
    for place in elsewhere.keys() - {module.place for module in tree.values()}:
        yield f"{place}: is an exception, and is not there"


def orphans(tree: Tree, tests: set[str]) -> Iterator[str]:
    """Complain about unit tests that belong to no module."""
    stems = {mirror_of(module).removesuffix(".py") for module in tree.values()}
    stems |= {f"tests/unit/{folder}test_{name}" for folder, name in _packages(tree)}
    for test in sorted(tests):
        stem = test.removesuffix(".py")
        if not any(stem == known or stem.startswith(f"{known}_") for known in stems):
            yield f"{test}: tests no file of natlb"


def _packages(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield each package as folder and name: a test may be about the whole of it."""
    for module in tree.values():
        if module.is_package and "." in module.name:
            *folders, name = module.name.split(".")[1:]
            yield "".join(f"{folder}/" for folder in folders), name


def unit_tests(root: Path) -> set[str]:
    """Return the unit tests there are, as paths from the root."""
    found = (root / "tests" / "unit").rglob("test_*.py")
    return {file.relative_to(root).as_posix() for file in found}


def test_every_file_has_its_tests_beside_it() -> None:
    """A file nobody tests is found here, not by a user."""
    complaints = sorted(untested(read_tree(ROOT), unit_tests(ROOT), ELSEWHERE))

    assert not complaints, "\n" + "\n".join(complaints)


def test_every_unit_test_has_its_file() -> None:
    """A moved file takes its tests along."""
    complaints = sorted(orphans(read_tree(ROOT), unit_tests(ROOT)))

    assert not complaints, "\n" + "\n".join(complaints)


def test_the_mirror_can_fail(tmp_path: Path) -> None:
    """It sees a file without tests, tests without a file, and an exception out of date."""
    files = {"core/flow.py": "def f(): ...\n", "core/words.py": "A = 1\n", "core/__init__.py": ""}
    for name, text in files.items():
        place = tmp_path / "natlb" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    tree = read_tree(tmp_path)
    tests = {"tests/unit/core/test_flow_when_full.py", "tests/unit/core/test_gone.py"}

    assert list(untested(tree, set(), {})) == [
        "natlb/core/flow.py: no tests/unit/core/test_flow.py"
    ]
    assert not list(untested(tree, tests, {}))
    assert not list(untested(tree, set(), {"natlb/core/flow.py": "by tests/netns"}))
    assert list(untested(tree, tests, {"natlb/core/flow.py": ""})) == [
        "natlb/core/flow.py: has tests; it is no exception any more"
    ]
    assert list(untested(tree, tests, {"natlb/gone.py": ""})) == [
        "natlb/gone.py: is an exception, and is not there"
    ]
    assert list(orphans(tree, tests)) == ["tests/unit/core/test_gone.py: tests no file of natlb"]
