"""The shape of the house: who may import whom, what pure layers may not touch, how big things get.

Each rule is a function from a tree to complaints, and each has a test that shows it can fail.
"""

from __future__ import annotations

import ast
import statistics
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.source_tree import Tree, When, functions, imports, read_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent

# Layer -> what of natlb it may import; its own modules go without saying, and so does `natlb`
# itself, which holds the version. An entry with a dot allows that part of a layer alone.
BELOW_CLI = (
    "errors model policy jit wire core io bpf netlink control engine simulation client api lab tui "
    "web testing bench"
)
MAY_IMPORT = {
    "errors": "model",
    "model": "errors",
    "linking": "",
    "jit": "errors linking",  # so that a missing Numba is a clear error; design otherwise: nothing
    "policy": "",
    "wire": "jit",
    "core": "jit wire policy",
    "io": "jit wire core errors",
    "bpf": "errors",
    "netlink": "errors",
    "control": "errors model policy jit core io netlink bpf",
    "engine": "errors model core control.config control.compile",
    "simulation": "errors model jit wire core control.config control.compile control.policy",
    "client": "errors model",
    "api": "errors model control",
    "lab": "errors model netlink client",
    "bench": "errors jit wire core io bpf netlink control lab",  # its bare forwarder is natlb's io
    "tui": "errors client model",
    "web": "client model",
    "cli": BELOW_CLI,
    "testing": "errors model policy jit wire core io bpf netlink control engine client lab",
    "__main__": "cli",
    "natlb": "engine",  # inside a function only: `import natlb` loads nothing
}

# Third party -> the places that may name it. What is not here is not a dependency of natlb.
PLACES = {
    "numba": "jit linking",
    "llvmlite": "jit linking",
    "numpy": "jit wire core io bpf control engine simulation testing bench",
    "matplotlib": "simulation bench",
    "dpkt": "simulation",
    "pyroute2": "netlink",
    "pydantic": "control.config api",
    "pydantic_core": "control.config api",  # pydantic's own other half
    "ruamel": "control.config lab",
    "netaddr": "control",
    "fastapi": "api",
    "starlette": "api",
    "prometheus_client": "api",
    "uvicorn": "api",
    "h11": "api control.health",
    "h2": "control.health",
    "dns": "control.health",
    "pyseccomp": "control",
    "structlog": "io control api",
    "click": "cli",
    "rich": "cli lab tui",
    "textual": "tui",
    "scapy": "",  # GPL, and the judge: it stays in tests/
}

PURE = ("wire", "core")
FORBIDDEN = {
    "time: time is an argument": "time datetime calendar",
    "chance: a seed or a key is an argument": "random secrets uuid",
    "sockets: packets come and go in arrays, io/ moves them": "socket select selectors ssl asyncio",
    "the host: files, descriptors and processes belong to io/ and control/": (
        "os io pathlib mmap fcntl tempfile shutil subprocess signal resource sys"
    ),
    "logs: what happens is a verdict and a counter": "logging warnings traceback",
    "threads: a worker shares nothing it writes": (
        "threading multiprocessing concurrent queue contextvars"
    ),
    "memory by address: no bounds check would see it": "ctypes",
}
FORBIDDEN_CALLS = {"open", "print", "input", "breakpoint", "exec", "eval"}

# Module -> what must not be loaded with it, for the sake of its start or of its rights.
LIGHT = {
    "natlb": "numpy numba pydantic pyroute2",
    "natlb.cli": "numpy numba pydantic pyroute2 fastapi ruamel matplotlib dpkt",
    "natlb.client": "numpy numba pydantic pyroute2 fastapi ruamel",
    "natlb.control.supervisor": "numba pydantic fastapi uvicorn ruamel",
}

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
MEDIAN_FUNCTION = 8
P95_FUNCTION = 40
DATA_TABLES: frozenset[str] = frozenset()  # files longer than that because they are a table
UNFINISHED_WORDS = ("TODO", "FIXME", "XXX")


def within(module: str, places: str) -> bool:
    """Whether a module lies in one of the places, each a dotted path below natlb."""
    return any(f"{module}.".startswith(f"natlb.{place}.") for place in places.split())


def layer_of(module: str) -> str:
    """Return the row of the table that a module belongs to."""
    return module.split(".")[1] if "." in module else "natlb"


def imports_follow_the_table(tree: Tree) -> Iterator[str]:
    """Complain about imports that go against the flow, and about places the table does not know."""
    for module in tree.values():
        layer = layer_of(module.name)
        if layer not in MAY_IMPORT:
            yield f"{module.place}: '{layer}' is not in the table of layers"
            continue
        allowed = MAY_IMPORT[layer]
        for each in imports(module, tree):
            if not each.target.startswith("natlb.") or layer_of(each.target) == layer:
                continue
            if not within(each.target, allowed):
                may = f"{layer} may import: {allowed or 'nothing of natlb'}"
                yield f"{module.place}:{each.line}: imports {each.target}; {may}"
            elif layer == "natlb" and each.when is When.LOAD:
                yield f"{module.place}:{each.line}: `import natlb` must load nothing; import inside"


def third_parties_stay_in_their_place(tree: Tree) -> Iterator[str]:
    """Complain about a third party's name outside its place, or in no table at all."""
    for module in tree.values():
        for each in imports(module, tree):
            name = each.target.split(".")[0]
            if name in sys.stdlib_module_names or name == "natlb":
                continue
            if name not in PLACES:
                yield f"{module.place}:{each.line}: {name} is no dependency of natlb"
            elif not within(module.name, PLACES[name]):
                places = PLACES[name] or "tests/ alone"
                yield f"{module.place}:{each.line}: {name} belongs in {places}"


def pure_layers_are_pure(tree: Tree) -> Iterator[str]:
    """Complain about a clock, a socket, a log, a thread or chance in `wire` and `core`, and why."""
    reasons = {name: reason for reason, names in FORBIDDEN.items() for name in names.split()}
    for module in tree.values():
        if layer_of(module.name) not in PURE:
            continue
        for each in imports(module, tree):
            name = each.target.split(".")[0]
            if name in reasons and each.when is not When.TYPES:
                yield f"{module.place}:{each.line}: imports {name}; {reasons[name]}"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) in FORBIDDEN_CALLS:
                yield f"{module.place}:{node.lineno}: calls {ast.unparse(node.func)}(); it is pure"


def loaded_with(tree: Tree, *, parents: bool) -> dict[str, set[str]]:
    """Return what each module's load imports; with `parents`, the packages around it too."""
    graph: dict[str, set[str]] = {}
    for module in tree.values():
        graph[module.name] = {
            each.target
            for each in imports(module, tree)
            if each.when is When.LOAD and each.target != module.name
        }
        if parents:
            names = {module.name, *graph[module.name]}
            graph[module.name] |= {
                ".".join(n.split(".")[:i]) for n in names for i in range(1, n.count(".") + 1)
            }
    return graph


def nothing_imports_itself(tree: Tree) -> Iterator[str]:
    """Complain about each module that, as it is loaded, comes round to itself."""
    graph = loaded_with(tree, parents=False)
    for start in graph:
        if (path := _way_back(graph, start)) and start == min(path):
            yield f"{tree[start].place}: imports itself: {' -> '.join(path)}"


def _way_back(graph: dict[str, set[str]], start: str) -> list[str]:
    """Return the shortest way from a module to itself, or nothing."""
    ways, seen = [[start]], {start}
    for way in ways:
        for target in sorted(graph.get(way[-1], ())):
            if target == start:
                return [*way, start]
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return []


def light_modules_stay_light(tree: Tree, light: dict[str, str] = LIGHT) -> Iterator[str]:
    """Complain about heavy third parties that come along where they must not."""
    graph = loaded_with(tree, parents=True)
    for start, heavy in light.items():
        if start not in tree:
            yield f"{start}: is gone; the table of light modules names it"
        reached, queue = {start: start}, [start]
        for name in queue:
            for target in graph.get(name, set()) - reached.keys():
                reached[target] = name
                queue.append(target)
        for target, importer in sorted(reached.items()):
            if target.split(".")[0] in heavy.split():
                yield f"{start}: loads {target}, through {importer}"


def files_are_short(tree: Tree) -> Iterator[str]:
    """Complain about files over 400 lines that are not data tables."""
    for module in tree.values():
        length = len(module.text.splitlines())
        if length > LONGEST_FILE and module.place not in DATA_TABLES:
            yield f"{module.place}: {length} lines; at most {LONGEST_FILE}"


def functions_are_short(tree: Tree) -> Iterator[str]:
    """Complain about functions over 60 lines, a median over 8, a 95th percentile over 40."""
    found = [function for module in tree.values() for function in functions(module)]
    for each in found:
        if each.length > LONGEST_FUNCTION:
            place = f"{tree[each.module].place}:{each.line}"
            yield f"{place}: {each.name} has {each.length} lines; at most {LONGEST_FUNCTION}"
    lengths = sorted(each.length for each in found)
    if lengths and (median := statistics.median(lengths)) > MEDIAN_FUNCTION:
        yield f"the median function has {median} lines; at most {MEDIAN_FUNCTION}"
    if lengths and (p95 := lengths[len(lengths) * 95 // 100]) > P95_FUNCTION:
        yield f"the 95th percentile of functions has {p95} lines; at most {P95_FUNCTION}"


def nothing_is_unfinished(tree: Tree) -> Iterator[str]:
    """Complain about notes of work to do and about stubs."""
    for module in tree.values():
        for token in module.tokens():
            noted = token.type == tokenize.COMMENT and any(
                w in token.string for w in UNFINISHED_WORDS
            )
            stub = token.type == tokenize.NAME and token.string == "NotImplementedError"
            if noted or stub:
                yield f"{module.place}:{token.start[0]}: unfinished: {token.line.strip()}"


RULES = [
    imports_follow_the_table,
    third_parties_stay_in_their_place,
    pure_layers_are_pure,
    nothing_imports_itself,
    light_modules_stay_light,
    files_are_short,
    functions_are_short,
    nothing_is_unfinished,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Callable[[Tree], Iterator[str]]) -> None:
    """A rule that nobody checks is a wish."""
    complaints = list(rule(read_tree(ROOT)))

    assert not complaints, "\n" + "\n".join(complaints)


def plant(root: Path, files: dict[str, str]) -> Tree:
    """Return a tree of these files; `wire/x` is natlb/wire/x.py."""
    for name, text in files.items():
        file = root / "natlb" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return read_tree(root)


FOR_TYPES = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"


def long_function(lines: int) -> str:
    """Return a function of so many lines of code, comments and blank lines between them."""
    return 'def f():\n    """Say so."""\n' + "    # why\n\n    g()\n" * (lines - 1)


@pytest.mark.parametrize(
    ("rule", "files", "words"),
    [
        (imports_follow_the_table, {"wire/x": "import natlb.core\n"}, "wire may import: jit"),
        (
            imports_follow_the_table,
            {"core/x": "from natlb import errors\n", "errors": ""},
            "core may import: jit wire",
        ),
        (
            imports_follow_the_table,
            {"wire/x": "def f():\n    from natlb.core.flow import g\n"},
            "imports natlb.core.flow",
        ),
        (
            imports_follow_the_table,
            {"io/x": f"{FOR_TYPES}    import natlb.model\n"},
            "io may import",
        ),
        (
            imports_follow_the_table,
            {"engine": "from natlb.control import health\n", "control/health": ""},
            "control.config control.compile",
        ),
        (imports_follow_the_table, {"testing/x": "import natlb.api\n"}, "testing may import"),
        (imports_follow_the_table, {"magic/x": ""}, "'magic' is not in the table"),
        (
            third_parties_stay_in_their_place,
            {"core/x": "from numba import njit\n"},
            "belongs in jit",
        ),
        (third_parties_stay_in_their_place, {"lab/x": "import pyroute2\n"}, "belongs in netlink"),
        (third_parties_stay_in_their_place, {"testing/x": "import scapy.all\n"}, "tests/ alone"),
        (third_parties_stay_in_their_place, {"cli/x": "import requests\n"}, "no dependency"),
        (pure_layers_are_pure, {"core/x": "import time\n"}, "time is an argument"),
        (pure_layers_are_pure, {"wire/x": "from random import random\n"}, "a seed or a key"),
        (pure_layers_are_pure, {"core/x": "def f():\n    import os\n"}, "belong to io/"),
        (pure_layers_are_pure, {"core/x": "print(1)\n"}, "calls print()"),
        (
            nothing_imports_itself,
            {"core/a": "import natlb.core.b\n", "core/b": "from natlb.core import a\n"},
            "natlb.core.a -> natlb.core.b -> natlb.core.a",
        ),
        (files_are_short, {"core/x": "\n" * 401}, "401 lines"),
        (functions_are_short, {"core/x": long_function(61)}, "f has 61 lines"),
        (functions_are_short, {"core/x": long_function(9)}, "median function has 9"),
        (
            functions_are_short,
            {"core/x": long_function(41)},
            "95th percentile of functions has 41",
        ),
        (nothing_is_unfinished, {"core/x": "x = 1  # TODO: more\n"}, "unfinished"),
        (nothing_is_unfinished, {"core/x": "raise NotImplementedError\n"}, "unfinished"),
    ],
)
def test_the_rule_can_fail(
    tmp_path: Path, rule: Callable[[Tree], Iterator[str]], files: dict[str, str], words: str
) -> None:
    """A rule that never complains may be reading nothing."""
    complaints = list(rule(plant(tmp_path, files)))

    assert any(words in complaint for complaint in complaints), complaints


def test_the_package_itself_may_import_the_engine_only_lazily(tmp_path: Path) -> None:
    """`import natlb` at the start of every command must not load NumPy."""
    line = "from natlb.engine import Engine\n"
    eager = plant(tmp_path, {"__init__": line, "engine": ""})
    lazy = plant(tmp_path, {"__init__": f"def f():\n    {line}"})

    assert any("must load nothing" in complaint for complaint in imports_follow_the_table(eager))
    assert not list(imports_follow_the_table(lazy))


def test_a_heavy_import_is_found_through_a_package_that_holds_the_module(tmp_path: Path) -> None:
    """Loading `a.b` runs `a/__init__.py`, which is where heavy imports hide."""
    files = {
        "cli/main": "import natlb.control.words\n",
        "control/__init__": "import pydantic\n",
        "control/words": "",
    }
    light = {"natlb.cli.main": "pydantic", "natlb.x": ""}

    assert list(light_modules_stay_light(plant(tmp_path, files), light)) == [
        "natlb.cli.main: loads pydantic, through natlb.control",
        "natlb.x: is gone; the table of light modules names it",
    ]


def test_imports_for_types_alone_make_no_cycle_and_no_weight(tmp_path: Path) -> None:
    """They are never carried out."""
    files = {
        "core/a": f"{FOR_TYPES}    import natlb.core.b, numba\n",
        "core/b": "import natlb.core.a\n",
    }
    tree = plant(tmp_path, files)

    assert not list(nothing_imports_itself(tree))
    assert not list(light_modules_stay_light(tree, {"natlb.core.b": "numba"}))


def test_a_function_is_as_long_as_its_lines_of_code(tmp_path: Path) -> None:
    """Docstring, decorators, comments and blank lines explain; they are free."""
    head = '@a\n@b\ndef f(\n    x,\n):\n    """Say\n\n    so.\n    """\n\n    # why\n'
    tree = plant(tmp_path, {"core/x": f"{head}    return (\n        x\n    )\n"})
    (found,) = functions(tree["natlb.core.x"])

    assert found.length == 6
