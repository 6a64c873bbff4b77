"""`@kernel`: plain Python over NumPy arrays that Numba compiles. The one file that names Numba.

A kernel means the same interpreted (`NATLB_JIT=0`: to study it, step through it, cover it) and
compiled (to forward). Compiled integers are 64-bit and signed, Python's are not bounded, and
NumPy's small unsigned scalars wrap, so kernels keep three laws:

- a load from an array narrower than 64 bits goes through `i64()`;
- no integer passes 63 bits, and every `~`, `<<` and `*` is masked to its width;
- no negative index, no negative shift, no `//` of a negative.

Bounds checks stay on in compiled code: an index that is off raises `IndexError` there too. A
negative one would not: it is taken from the end, compiled or not.

The cache of compiled code lies in a directory named by a digest of every kernel source, Numba,
NumPy and Python: a kernel whose callee changed in another file is never found stale. It holds
pickles, so it is used only where nobody else may write.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from natlb.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

COMPILED = os.environ.get("NATLB_JIT", "1") != "0"
CALLABLE = os.environ.get("NATLB_KERNELS") == "callable"
KERNEL_SOURCES = ("jit.py", "linking.py", "policy.py", "wire", "core", "io", "simulation/kernels")
NUMBA_NOISE = re.compile(r"$|Failed in nopython mode|File |During: |\^")
MISFITS = (  # what Numba writes, and what it means
    (r"NRT required|of array passed into", "makes an array; a policy works on single values"),
    (r"Unsupported array index type (\S+)", "an index of type {}; expected an int"),
    (r">>> (\w+\(.*\))", "no such operation: {}"),
    (
        r"Cannot unify (.*) and (.*) for '(\w+)[.\d]*'",
        "'{2}' is now {0}, now {1}; expected one type",
    ),
    (r"expected (\d+), got (\d+)'", "takes {0} values apart where there are {1}"),
)
KEPT_CACHES = 4  # digests kept on disk: the running version's, and a few to go back to


def source_digest() -> str:
    """Return a name for this code as compiled: sources, Numba, NumPy, Python and machine."""
    root = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=10)
    made_by = version("numba"), version("numpy"), sys.version, platform.machine(), str(CALLABLE)
    for part in made_by:
        digest.update(part.encode() + b"\0")
    for source in KERNEL_SOURCES:
        place = root / source
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def cache_root() -> Path:
    """Return where compiled code is kept: `NATLB_CACHE`, `/var/cache/natlb` for root, or XDG's."""
    if chosen := os.environ.get("NATLB_CACHE"):
        return Path(chosen)
    if os.geteuid() == 0 and os.access("/var/cache", os.W_OK):
        return Path("/var/cache/natlb")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~").expanduser() / ".cache")
    return Path(base) / "natlb"


def is_ours_alone(place: Path) -> bool:
    """Return whether nobody but this user (and root) can have put a file there."""
    status = place.stat()
    return status.st_uid in {0, os.geteuid()} and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def prepare_cache() -> Path:
    """Make the directory for this digest, forget old ones, and return it.

    Where no directory of our own can be made, a temporary one serves this process alone.
    """
    root = cache_root()
    place = root / f"kernels-{source_digest()}"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_ours_alone(root) or not is_ours_alone(place) or not os.access(place, os.W_OK):
            raise PermissionError(place)
        os.utime(place)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="natlb-kernels-"))
    kept = sorted(root.glob("kernels-*"), key=lambda old: old.stat().st_mtime, reverse=True)
    for old in kept[KEPT_CACHES:]:
        shutil.rmtree(old, ignore_errors=True)
    return place


ENTRIES: set[str] = set()  # qualified names of what Python calls
_compiling: list[str] = []  # entries under way, the outermost first

if COMPILED:
    try:
        import numba
        from llvmlite import ir as llvm_ir
        from numba.core import cgutils, types
        from numba.extending import intrinsic
    except ImportError as error:
        message = f"the compiled packet path needs Numba, which does not import: {error}"
        raise UnavailableError(message, fix="pip install numba") from error
    # Not by the environment: Numba read it when it was imported, which others may have done.
    numba.config.CACHE_DIR = str(prepare_cache())
    warnings.simplefilter("ignore", numba.errors.NumbaExperimentalFeatureWarning)
    i64: Callable[[Any], int] = numba.int64

    class Inside(numba.core.registry.CPUDispatcher):  # type: ignore[misc]
        """A kernel that only compiled code calls compiled."""

        def __call__(self, *arguments: Any) -> Any:
            """Return what the Python function returns."""
            return self.py_func(*arguments)

        def get_call_template(self, arguments: Any, keywords: Any) -> Any:
            """Compile once for all numbers, not once for each constant that is passed."""
            plain = tuple(
                each.literal_type if isinstance(each, types.IntegerLiteral) else each
                for each in arguments
            )
            return super().get_call_template(plain, keywords)

else:
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    i64 = int


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, compiled as a part of each kernel that calls it, with bounds checks.

    It is inlined, since handing on all the tables' arrays would cost more than most kernels do
    (half of a packet's time, measured). Nothing is counted or freed in it (`_nrt`), so one that
    would allocate does not compile. Python that calls it gets it interpreted: a wrapper of machine
    code around each would take three times as long to compile. Tests can have one
    (`NATLB_KERNELS=callable`).
    """
    return _compiled(function, wrapped=CALLABLE, inlined=True)


def rare_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Return a kernel that is called, not inlined: for what is long and off the usual path."""
    return _compiled(function, wrapped=CALLABLE, inlined=False)


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """Return a kernel that Python calls, or passes where a function type is expected."""
    return _compiled(function, wrapped=True, inlined=False)


def program_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Return a kernel that is called and never cached: made of what no file of natlb's says."""
    return _compiled(function, wrapped=False, inlined=False)


def program_entry(function: Callable[P, R]) -> Callable[P, R]:
    """Return an entry that is never cached, since it calls such kernels."""
    return _compiled(function, wrapped=True, inlined=False, cached=False)


def _compiled(
    function: Callable[P, R], *, wrapped: bool, inlined: bool, cached: bool = True
) -> Callable[P, R]:
    if not COMPILED:
        return function
    if wrapped:
        ENTRIES.add(function.__qualname__)
    jit = numba.njit(
        cache=wrapped and cached,
        boundscheck=True,
        nogil=True,
        error_model="numpy",
        _nrt=False,
        no_cpython_wrapper=not wrapped,
        no_cfunc_wrapper=not wrapped,
        forceinline=inlined and not wrapped,
    )
    dispatcher = jit(function)
    if not wrapped:
        dispatcher.__class__ = Inside
    return cast("Callable[P, R]", dispatcher)


def is_compiled(function: Callable[..., Any]) -> bool:
    """Return whether a kernel has machine code in this process already."""
    return bool(getattr(function, "signatures", ()))


def function_type(function: Callable[..., Any], *samples: Any) -> Any:
    """Compile `function` for arguments like `samples`, and return its type as an argument.

    A kernel that takes such a function calls whichever it is given, without being compiled anew.
    The function must return an integer.
    """
    signature = types.int64(*(numba.typeof(sample) for sample in samples))
    _compile(cast("Any", function), signature)
    return types.FunctionType(signature)


def _compile(dispatcher: Any, signature: Any) -> None:
    """Compile an entry, and nothing below it for itself."""
    _compiling.append(dispatcher.py_func.__qualname__)
    try:
        dispatcher.compile(signature)
    finally:
        _compiling.pop()


class Misfit(Exception):  # noqa: N818 - what does not fit the types it would be compiled for
    """Why a kernel cannot be compiled, in a line, and the line of its source."""

    def __init__(self, line: int, reason: str) -> None:
        """Say so."""
        super().__init__(line, reason)
        self.line = line
        self.reason = reason


def result_of(function: Callable[..., Any], *samples: Any) -> str:
    """Compile a kernel for arguments like `samples`; return the name of its result's type.

    Raises Misfit.
    """
    dispatcher = cast("Any", function)
    _compiling.append("program")  # optimized with the entry that calls it
    try:
        dispatcher.compile(tuple(numba.typeof(sample) for sample in samples))
    except numba.errors.NumbaError as error:
        raise _misfit(error, dispatcher.py_func.__code__) from None
    finally:
        _compiling.pop()
    return str(cast("Any", types).unliteral(dispatcher.nopython_signatures[-1].return_type))


def load_compiler() -> None:
    """Import what Numba imports at the first compilation, so that it can be done without rights."""
    if COMPILED:
        for late in ("numba.core.boxing", "numba.core.runtime.context"):
            importlib.import_module(late)


def _misfit(error: Any, code: Any) -> Misfit:
    """Return what Numba says, without its pages around it."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    text = re.sub(r"\b([A-Z]\w+)\((?:[^()]|\([^()]*\))*\)", r"\1", text)  # tuples by name
    places = re.findall(r'(?:File "([^"]*)", line (\d+))|(?:(\S+) \((\d+)\)$)', text, re.MULTILINE)
    lines = [int(a or b) for file, a, other, b in places if code.co_filename in {file, other}]
    for pattern, reason in MISFITS:
        if found := re.search(pattern, text):
            return Misfit(
                lines[0] if lines else code.co_firstlineno, reason.format(*found.groups())
            )
    said = [each.strip() for each in text.splitlines() if not NUMBA_NOISE.match(each.strip())]
    return Misfit(lines[0] if lines else code.co_firstlineno, (said or [text])[0])


def compile_for(function: Callable[..., Any], *samples: Any) -> None:
    """Compile an entry, or load it from the cache, for arguments like `samples` and no others.

    A sample may be a Numba type, as `function_type()` returns. Nothing happens when interpreted.
    """
    dispatcher = cast("Any", function)
    if COMPILED and not dispatcher.signatures:
        kinds = [s if isinstance(s, types.Type) else numba.typeof(s) for s in samples]
        _compile(dispatcher, tuple(kinds))
        dispatcher.disable_compile()


def is_cache_complete() -> bool:
    """Return whether all that a worker needs was compiled before and lies in the cache."""
    return (Path(numba.config.CACHE_DIR) / "complete").exists()


def mark_cache_complete() -> None:
    """Note that all that a worker needs is in the cache now."""
    with contextlib.suppress(OSError):
        (Path(numba.config.CACHE_DIR) / "complete").touch()


def is_in_cache(function: Callable[..., Any]) -> bool:
    """Return whether machine code of an entry lies in the cache, of any types."""
    code = cast("Any", function).py_func.__code__
    name = f"{Path(code.co_filename).stem}.{code.co_qualname}-{code.co_firstlineno}.*.nbi"
    return any(Path(numba.config.CACHE_DIR).rglob(name))


def was_cached(function: Callable[..., Any]) -> bool:
    """Return whether a compiled kernel came from the cache."""
    return not COMPILED or bool(sum(cast("Any", function).stats.cache_hits.values()))


def _fence(ordering: str) -> Any:
    """Return an intrinsic that orders loads and stores (LLVM language reference, `fence`)."""

    def typed(_context: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
            builder.fence(ordering)
            return context.get_dummy_value()

        return types.void(), generate

    return intrinsic(typed)


_release: Any = _fence("release") if COMPILED else None
_acquire: Any = _fence("acquire") if COMPILED else None


def _prefetching() -> Any:
    """Return an intrinsic that asks for a cache line (LLVM language reference, `llvm.prefetch`)."""

    def typed(_context: Any, array: Any, _index: Any, _octets: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            values = context.make_array(array)(context, builder, arguments[0])
            item = cgutils.get_item_pointer(context, builder, array, values, [arguments[1]])
            item = builder.bitcast(item, cgutils.voidptr_t)
            line = cgutils.pointer_add(builder, item, arguments[2])
            number = llvm_ir.IntType(32)
            kind = llvm_ir.FunctionType(
                llvm_ir.VoidType(), [cgutils.voidptr_t, number, number, number]
            )
            prefetch = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], kind)
            builder.call(prefetch, [line, number(0), number(3), number(1)])
            return context.get_dummy_value()

        return types.void(array, types.intp, types.intp), generate

    return intrinsic(typed)


_prefetch: Any = _prefetching() if COMPILED else None


if COMPILED:
    from natlb import linking

    linking.optimize_entries_alone(lambda name: bool(_compiling) and name not in ENTRIES)


@kernel
def release_fence() -> None:
    """Let no store ahead of this be seen after one behind it: LLVM would move them."""
    if COMPILED:
        _release()


@kernel
def prefetch(array: Any, index: int, octets: int) -> None:
    """Have the cache line `octets` behind an item's beginning loaded, and wait for nothing.

    A load that nobody needs would do the same, but no instruction behind it can retire before it
    has its value, so a processor runs a hundred or two of them ahead and then stands still. The
    index may be any number, since nothing is read.
    """
    if COMPILED:
        _prefetch(array, index, octets)


@kernel
def acquire_fence() -> None:
    """Let no load behind this be done before a load ahead of it."""
    if COMPILED:
        _acquire()


def external(name: str, result: str, *arguments: str) -> Callable[..., int]:
    """Return a C library function for compiled code: called without the GIL, and cached.

    Types are Numba's names (`int32`, `intp`, ...). Interpreted code calls it through ctypes.
    """
    if COMPILED:
        signature = getattr(types, result)(*(getattr(types, kind) for kind in arguments))
        return cast("Callable[..., int]", types.ExternalFunction(name, signature))
    import ctypes  # noqa: PLC0415 - interpreted only

    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    kinds = {"int32": ctypes.c_int32, "int64": ctypes.c_int64, "intp": ctypes.c_ssize_t}
    function.restype = kinds[result]
    function.argtypes = [kinds[kind] for kind in arguments]
    return cast("Callable[..., int]", function)
