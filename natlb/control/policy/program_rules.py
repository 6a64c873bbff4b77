"""What a policy of the user's own may say: a small part of Python, told by place where it is not.

    file        docstring, imports of `math`, constants, functions
    function    assignments to its own names, `if`, `while`, `for … in range(…)`, `return`
    writing     to names of its own and to `….state[…]`
    calling     functions of the file, of `math`, and a few of Python's

So it does no input or output, allocates nothing and ends within its budget (`program_form`).
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from natlb.control.policy.program_constants import (
    LARGEST,
    MATH_NUMBERS,
    NoConstantError,
    Number,
    worked_out,
)
from natlb.control.policy.program_ways import always_returns, own_calls, ways_of
from natlb.policy import Flow, Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

Fault = tuple[int, int, str]  # line, column from 0, what is wrong

BUILTINS = {"abs", "bool", "divmod", "float", "int", "len", "max", "min", "range", "round"}
MATH = {
    *("acos", "asin", "atan", "atan2", "ceil", "copysign", "cos", "exp", "expm1", "fabs", "floor"),
    *("hypot", "isfinite", "isinf", "isnan", "log", "log10", "log1p", "log2", "pow", "sin", "sqrt"),
    *("tan", "trunc"),
}
METHODS = {"argmax", "argmin", "max", "min", "sum"}
FIELDS = {*Pool._fields, *Flow._fields}
TYPES = {"natlb.policy": {"Pool", "Flow"}, "__future__": {"annotations"}}
MOST_IN_A_TUPLE = 16
MOST_DEEP = 16  # functions that call each other

STATEMENTS = (
    *(ast.Assign, ast.AnnAssign, ast.AugAssign, ast.If, ast.While, ast.For, ast.Return),
    *(ast.Pass, ast.Break, ast.Continue, ast.Expr),
)
EXPRESSIONS = (
    *(ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Call, ast.Constant),
    *(ast.Attribute, ast.Subscript, ast.Name, ast.Tuple),
)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
WHY_NOT = {
    "Import": "import at the top of the file; a policy may import 'math' alone",
    "ImportFrom": "import at the top of the file; a policy may import 'math' alone",
    "FunctionDef": "functions belong at the top of the file, not into one another",
    "AsyncFunctionDef": "a policy is a plain 'def'",
    "ClassDef": "a policy has no classes; use functions and 'pool.state'",
    "Lambda": "a policy has no lambdas; write a function",
    "Try": "a policy catches nothing: what goes wrong ends the pick, and another policy serves",
    "Raise": "a policy raises nothing: return a position",
    "Assert": "a policy asserts nothing: return a position",
    "With": "a policy opens nothing",
    "Global": "a policy keeps nothing but 'pool.state'",
    "Nonlocal": "a policy keeps nothing but 'pool.state'",
    "ListComp": "a policy makes no lists: use a loop",
    "SetComp": "a policy makes no sets: use a loop",
    "DictComp": "a policy makes no dictionaries: use 'pool.state'",
    "GeneratorExp": "a policy makes no generators: use a loop",
    "List": "a policy makes no lists: use names, or 'pool.state'",
    "Dict": "a policy makes no dictionaries: use 'pool.state'",
    "Set": "a policy makes no sets: use 'pool.state'",
    "JoinedStr": "a policy has no texts",
    "Yield": "a policy returns its position",
    "YieldFrom": "a policy returns its position",
    "Await": "a policy waits for nothing",
    "Delete": "a policy deletes nothing",
    "Starred": "a policy has no '*'",
    "Slice": "a policy takes single values, no slices",
    "NamedExpr": "assign on a line of its own",
}


class Rules:
    """The checks of one file."""

    def __init__(self, tree: ast.Module, function: str) -> None:
        """Look at what the file defines."""
        self._tree = tree
        self._function = function
        self._found: list[Fault] = []
        self._functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
        self._known: dict[str, Number] = {}  # constants, and numbers imported from `math`
        self._first: dict[str, int] = {}  # the line of each name at the top
        self._math_calls: set[str] = set()
        self._has_math = False

    def faults(self) -> list[Fault]:
        """Return all that is against the rules, in the order of the file."""
        for node in self._tree.body:
            self._check_top(node)
        for node in self._tree.body:
            if isinstance(node, ast.FunctionDef):
                self._check_function(node)
        self._check_asked()
        self._check_recursion()
        return sorted(set(self._found))

    def _say(self, node: ast.AST, said: str) -> None:
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        self._found.append((line, column, said))

    def _check_top(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                pass
            case ast.FunctionDef():
                self._check_first(node, node.name)
            case ast.Import():
                for alias in node.names:
                    self._check_import(node, alias)
            case ast.ImportFrom():
                self._check_import_from(node)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._check_constant(node, name, value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                self._check_constant(node, name, value)
            case _:
                said = "only imports of 'math', constants and functions stand at the top"
                self._say(node, WHY_NOT.get(type(node).__name__, said))

    def _check_first(self, node: ast.stmt, name: str) -> None:
        """Complain about a name that stands at the top already: one of the two would be hidden."""
        if name in self._first:
            self._say(node, f"'{name}' stands in line {self._first[name]} already")
        self._first.setdefault(name, node.lineno)

    def _check_import(self, node: ast.stmt, alias: ast.alias) -> None:
        if alias.name != "math" or alias.asname not in {None, "math"}:
            self._say(node, f"imports '{alias.name}': a policy may import 'math' alone")
        self._check_first(node, "math")
        self._has_math = True

    def _check_import_from(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            self._check_first(node, alias.name)
            known = MATH | MATH_NUMBERS.keys() if module == "math" else TYPES.get(module, set())
            if alias.asname is not None or alias.name not in known:
                said = "only functions and numbers of 'math' may be"
                self._say(node, f"imports {alias.name} from '{module}': {said}")
            elif alias.name in MATH:
                self._math_calls.add(alias.name)
            elif module == "math":
                self._known[alias.name] = MATH_NUMBERS[alias.name]

    def _check_constant(self, node: ast.stmt, name: str, value: ast.expr) -> None:
        self._check_first(node, name)
        self._check_own_name(node, name)
        try:
            self._known[name] = worked_out(value, self._known)
        except NoConstantError as error:
            self._say(error.node, error.said)
            self._known[name] = 0

    def _check_asked(self) -> None:
        """Check the function that will be asked."""
        asked = self._functions.get(self._function)
        if asked is None:
            there = ", ".join(f"'{name}'" for name in self._functions) or "none"
            said = f"no function '{self._function}' with (pool, flow) here; there is {there}"
            self._found.append((1, 0, said))
        elif len(asked.args.args) != 2:
            count = len(asked.args.args)
            self._say(asked, f"'{asked.name}' has {count} parameters; expected two: (pool, flow)")

    def _check_function(self, function: ast.FunctionDef) -> None:
        given = function.args
        if function.decorator_list or getattr(function, "type_params", None):
            self._say(function, "a policy has no decorators and no type parameters")
        if given.vararg or given.kwarg or given.kwonlyargs or given.posonlyargs or given.defaults:
            self._say(function, "parameters are plain names, without defaults or '*'")
        for parameter in given.args:
            self._check_own_name(parameter, parameter.arg)
        self._check_own_name(function, function.name, is_function=True)
        names = {parameter.arg for parameter in given.args} | set(_assigned(function))
        for statement in function.body:
            self._check_statement(statement, names)
        if not always_returns(function.body):
            self._say(function, f"'{function.name}' has a way to its end without 'return'")

    def _check_own_name(self, node: ast.AST, name: str, *, is_function: bool = False) -> None:
        taken = name in BUILTINS or name == "math" or name in self._math_calls
        if taken or (name in self._functions and not is_function):
            self._say(node, f"'{name}' has a meaning already; take another name")
        if name.startswith("__"):
            self._say(node, f"'{name}' begins with '__'; take another name")

    def _check_statement(self, node: ast.stmt, names: set[str]) -> None:
        if not isinstance(node, STATEMENTS):
            kind = type(node).__name__
            self._say(node, WHY_NOT.get(kind, f"a policy has no '{kind}'"))
            return
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                return
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                self._check_assignment(node, names)
            case ast.For():
                self._check_for(node, names)
            case ast.While() | ast.If():
                self._check_expression(node.test, names)
            case ast.Return(value=None):
                self._say(node, "returns nothing; expected a position: an int")
            case ast.Return(value=ast.expr() as value) | ast.Expr(value=value):
                self._check_expression(value, names)
        for part in ("body", "orelse"):
            for statement in getattr(node, part, []):
                self._check_statement(statement, names)

    def _check_assignment(
        self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, names: set[str]
    ) -> None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            self._check_target(target, names)
            if isinstance(node, ast.AugAssign) and _calls(target):
                self._say(node, "calls a function in what it adds to; assign that first")
        if node.value is None:
            self._say(node, "gives no value")
        else:
            self._check_expression(node.value, names)

    def _check_for(self, node: ast.For, names: set[str]) -> None:
        match node.iter:
            case ast.Call(func=ast.Name(id="range"), args=[_, *_], keywords=[]):
                for each in node.iter.args:
                    self._check_expression(each, names)
            case _:
                self._say(node, "loops over something else; expected 'for NAME in range(…)'")
        if not isinstance(node.target, ast.Name):
            self._say(node, "counts in something else; expected 'for NAME in range(…)'")
        else:
            self._check_own_name(node.target, node.target.id)

    def _check_target(self, target: ast.expr, names: set[str]) -> None:
        match target:
            case ast.Name():
                self._check_own_name(target, target.id)
            case ast.Tuple(elts=[_, _, *_]):
                for each in target.elts:
                    self._check_target(each, names)
            case ast.Subscript(value=ast.Attribute(value=ast.Name(), attr="state")):
                self._check_expression(target.slice, names)
                self._check_expression(target.value, names)
            case _:
                said = "writes elsewhere; expected a name of its own, or pool.state[…]"
                self._say(target, said)

    def _check_expression(self, node: ast.AST, names: set[str]) -> None:
        if not isinstance(node, EXPRESSIONS):
            kind = type(node).__name__
            self._say(node, WHY_NOT.get(kind, f"a policy has no '{kind}'"))
            return
        match node:
            case ast.Constant():
                self._check_literal(node)
            case ast.Name():
                self._check_name(node, names)
            case ast.Call():
                self._check_call(node, names)
            case ast.Attribute():
                self._check_attribute(node, names)
            case ast.Compare() if not all(isinstance(op, COMPARISONS) for op in node.ops):
                self._say(node, "compares by 'is' or 'in'; expected == != < <= > >=")
            case ast.Tuple() if not 2 <= len(node.elts) <= MOST_IN_A_TUPLE:
                self._say(node, f"a tuple of a policy has 2 to {MOST_IN_A_TUPLE} values")
            case ast.BinOp(op=ast.MatMult()):
                self._say(node, "a policy has no '@'")
        for each in () if isinstance(node, ast.Call | ast.Attribute) else _parts(node):
            self._check_expression(each, names)

    def _check_literal(self, node: ast.Constant) -> None:
        value = node.value
        if not isinstance(value, bool | int | float):
            self._say(node, f"{value!r:.40} is no number: a policy has numbers alone")
        elif abs(value) > LARGEST and isinstance(value, int):
            self._say(node, "an integer has 64 bits, with its sign")

    def _check_name(self, node: ast.Name, names: set[str]) -> None:
        if node.id in names or node.id in self._known:
            return
        if node.id in BUILTINS or node.id in self._functions or node.id in self._math_calls:
            self._say(node, f"'{node.id}' is a function; call it")
        else:
            self._say(node, f"'{node.id}' is not defined")

    def _check_attribute(self, node: ast.Attribute, names: set[str]) -> None:
        match node:
            case ast.Attribute(value=ast.Name(id="math")) if self._has_math:
                if node.attr not in MATH_NUMBERS:
                    self._say(node, f"'math.{node.attr}' is none of {_listed(MATH_NUMBERS)}")
            case ast.Attribute(attr=attr) if attr in FIELDS:
                if not isinstance(node.value, ast.Name):
                    self._say(node, "takes a field of something else; expected pool.… or flow.…")
                self._check_expression(node.value, names)
            case ast.Attribute(attr="size"):
                self._check_expression(node.value, names)
            case _:
                known = f"{_listed(Pool._fields)} of a pool; {_listed(Flow._fields)} of a flow"
                self._say(node, f"'.{node.attr}' is not known; there are {known}")

    def _check_call(self, node: ast.Call, names: set[str]) -> None:
        if node.keywords:
            self._say(node, "gives arguments by name; expected them by position")
        for each in node.args:
            self._check_expression(each, names)
        match node.func:
            case ast.Name(id="range"):
                self._say(node, "'range' belongs into 'for NAME in range(…)'")
            case ast.Name(id=name) if name in BUILTINS | self._math_calls:
                self._check_arity(node, name)
            case ast.Name(id=name) if name in self._functions:
                wanted = len(self._functions[name].args.args)
                if len(node.args) != wanted:
                    self._say(node, f"'{name}' wants {wanted} arguments, not {len(node.args)}")
            case ast.Attribute(value=ast.Name(id="math"), attr=attr) if self._has_math:
                if attr not in MATH:
                    self._say(node, f"'math.{attr}' is not among {_listed(MATH)}")
            case ast.Attribute(attr=attr) if attr in METHODS and not node.args:
                self._check_expression(node.func.value, names)
            case _:
                said = ast.unparse(node.func)
                own = "functions of this file, of 'math', and "
                self._say(node, f"calls '{said:.40}'; a policy may call {own}{_listed(BUILTINS)}")

    def _check_arity(self, node: ast.Call, name: str) -> None:
        count = len(node.args)
        wants = {"min": count >= 2, "max": count >= 2, "divmod": count == 2}
        if name in BUILTINS and not wants.get(name, count == 1):
            wanted = (
                "at least two arguments" if name in {"min", "max"} else "another number of them"
            )
            self._say(node, f"'{name}' has {count} arguments; expected {wanted}")

    def _check_recursion(self) -> None:
        """Complain about functions that come to be called by themselves, or by too many."""
        closing, depths = ways_of(own_calls(self._functions))
        for name in closing:
            self._say(self._functions[name], f"'{name}' calls itself; use a loop")
        for name, depth in depths.items():
            if depth == MOST_DEEP + 1:
                said = f"'{name}' calls what calls others, and so on: more than {MOST_DEEP} deep"
                self._say(self._functions[name], said)


def _calls(node: ast.AST) -> bool:
    """Return whether anything is called in an expression."""
    return any(isinstance(each, ast.Call) for each in ast.walk(node))


def _parts(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions that one is made of."""
    return (each for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr))


def _assigned(node: ast.AST) -> Iterator[str]:
    """Yield the names that a function assigns to; what annotations say is never run."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    for field, part in ast.iter_fields(node):
        if field in {"annotation", "returns", "args", "decorator_list"}:
            continue
        for each in part if isinstance(part, list) else [part]:
            if isinstance(each, ast.AST):
                yield from _assigned(each)


def _listed(names: object) -> str:
    return ", ".join(sorted(names))  # type: ignore[call-overload]  # a set or tuple of names
