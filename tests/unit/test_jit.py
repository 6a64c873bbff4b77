from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from natlb import jit
from natlb.wire.checksum import fold

PACKAGE = Path(jit.__file__).parent
compiled_only = pytest.mark.skipif(not jit.COMPILED, reason="about compiled kernels")


def run(script: str, **environment: str) -> str:
    """Return what a script prints in a process of its own; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of what the digest is made of."""
    place = tmp_path / "natlb"
    for source in jit.KERNEL_SOURCES:
        if (PACKAGE / source).is_dir():
            shutil.copytree(
                PACKAGE / source, place / source, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            place.mkdir(exist_ok=True)
            shutil.copy(PACKAGE / source, place / source)
    return place


@pytest.fixture
def digest(copy: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the digest of the copy, each time it is asked for."""
    monkeypatch.setattr(jit, "__file__", str(copy / "jit.py"))
    return jit.source_digest


def test_any_change_of_any_kernel_source_is_another_cache(copy: Path, digest: Any) -> None:
    """A kernel whose callee changed in another file must not be found stale (facts, section 4)."""
    seen = {digest()}
    assert digest() in seen
    files = sorted(copy.rglob("*.py"))
    for file in files:
        with file.open("a") as text:
            text.write("#")
        seen.add(digest())

    assert len(files) > 30
    assert len(seen) == len(files) + 1


def test_a_moved_or_a_new_source_is_another_cache(copy: Path, digest: Any) -> None:
    """Names count as well as what is in them."""
    before = digest()
    (copy / "core" / "verdict.py").rename(copy / "core" / "verdicts.py")
    moved = digest()
    (copy / "core" / "new.py").touch()

    assert len({before, moved, digest()}) == 3


def test_what_is_no_python_source_is_not_asked(copy: Path, digest: Any) -> None:
    """Byte code comes and goes."""
    before = digest()
    (copy / "core" / "__pycache__").mkdir()
    (copy / "core" / "__pycache__" / "x.pyc").write_bytes(b"x")

    assert digest() == before


@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_another_version_of_what_compiles_is_another_cache(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pickles of one are nothing to the other."""
    before = jit.source_digest()
    from importlib.metadata import version as real

    monkeypatch.setattr(jit, "version", lambda of: "9.9" if of == name else real(of))

    assert jit.source_digest() != before


def test_the_cache_lies_where_it_was_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else root's in /var/cache, everybody else's where XDG says."""
    monkeypatch.setenv("NATLB_CACHE", str(tmp_path))
    assert jit.cache_root() == tmp_path
    monkeypatch.delenv("NATLB_CACHE")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert jit.cache_root() == Path("/x/natlb")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert jit.cache_root() == Path("/home/somebody/.cache/natlb")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "access", lambda *_: True)

    assert jit.cache_root() == Path("/var/cache/natlb")


def test_a_cache_is_made_for_us_alone_and_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds pickles: whoever can write there can run code here."""
    monkeypatch.setenv("NATLB_CACHE", str(tmp_path / "cache"))
    place = jit.prepare_cache()

    assert place == tmp_path / "cache" / f"kernels-{jit.source_digest()}"
    assert place.stat().st_mode & 0o777 == 0o700
    assert jit.prepare_cache() == place


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
@pytest.mark.parametrize("which", ["root", "place"])
def test_a_cache_that_others_may_write_to_is_not_used(
    which: str, mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary one serves instead."""
    monkeypatch.setenv("NATLB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: str(tmp_path / "own"))
    place = jit.prepare_cache()
    (place if which == "place" else place.parent).chmod(mode)

    assert not jit.is_ours_alone(place if which == "place" else place.parent)
    assert jit.prepare_cache() == tmp_path / "own"


def test_a_cache_of_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns it may write to it."""
    (tmp_path / "cache").mkdir(mode=0o755)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    assert jit.is_ours_alone(tmp_path / "cache") is (os.getuid() == 0)
    if os.getuid() == 0:
        os.chown(tmp_path / "cache", 12345, -1)
        assert not jit.is_ours_alone(tmp_path / "cache")


def test_a_cache_that_cannot_be_made_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in its way, a read-only disk: slower, not broken."""
    (tmp_path / "cache").write_text("in the way")
    monkeypatch.setenv("NATLB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: str(tmp_path / "own"))

    assert jit.prepare_cache() == tmp_path / "own"


def test_old_caches_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but a few to go back to; what is not a cache stays."""
    monkeypatch.setenv("NATLB_CACHE", str(tmp_path))
    now = time.monotonic()
    for age in range(8):
        (tmp_path / f"kernels-{age}").mkdir()
        os.utime(tmp_path / f"kernels-{age}", (now - age - 1,) * 2)
    (tmp_path / "other").mkdir()
    place = jit.prepare_cache()

    left = {file.name for file in tmp_path.iterdir()}
    assert left == {place.name, "other", *(f"kernels-{age}" for age in range(jit.KEPT_CACHES - 1))}


def test_without_compiling_numba_is_not_loaded() -> None:
    """To study natlb, or where Numba is not: NATLB_JIT=0 needs it for nothing."""
    script = (
        "import sys; from natlb.core.pipeline import process_batch; from natlb.io import shared;"
        "print('numba' in sys.modules, type(process_batch).__name__)"
    )

    assert run(script, NATLB_JIT="0") == "False function"


def test_a_missing_numba_is_a_clear_error() -> None:
    """Exit 69 and what to install, not a traceback (contract, section 2)."""
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "from natlb.errors import NatlbError\n"
        "try:\n    import natlb.jit\n"
        "except NatlbError as error:\n    print(error.exit_code, error.fix)"
    )

    assert run(script, NATLB_JIT="1") == "69 pip install numba"


def test_a_kernel_is_a_function_to_python() -> None:
    """Compiled or not, by the same name."""
    assert fold(0x1FFFF) == 1
    assert fold.__name__ == "fold"
    assert jit.is_compiled(len) is False


@pytest.mark.skipif(jit.COMPILED, reason="compiled, it is an instruction")
def test_a_fence_has_nothing_to_order_where_nothing_is_compiled() -> None:
    """Python's stores are seen in their order."""
    assert jit.release_fence() is None
    assert jit.acquire_fence() is None


@pytest.mark.skipif(jit.COMPILED, reason="interpreted ones go through ctypes")
def test_a_function_of_the_c_library_is_called_without_numba() -> None:
    """So that the loop can be studied as plain Python."""
    read_clock = jit.external("clock_gettime", "int32", "int32", "intp")
    timespec = np.zeros(2, np.int64)

    assert read_clock(1, timespec.ctypes.data) == 0
    assert abs(timespec[0] - time.monotonic()) < 5


@compiled_only
def test_what_was_compiled_once_comes_from_the_cache() -> None:
    """A second process loads it: from `run` to ready in seconds."""
    from tests.datapath import engine

    engine()  # whoever comes first, compiles
    script = (
        "from natlb import jit; from tests.datapath import engine;"
        "from natlb.core.pipeline import process_batch;"
        "engine(); print(jit.was_cached(process_batch), len(process_batch.signatures))"
    )

    assert run(script) == "True 1"


@compiled_only
def test_machine_code_in_the_cache_is_found_without_loading_it() -> None:
    """So that a wait can be announced before it begins."""
    from natlb.core.pipeline import process_batch
    from tests.datapath import engine

    engine()

    assert jit.is_in_cache(process_batch)
    assert not jit.is_in_cache(jit.entry(run))


@compiled_only
def test_an_entry_is_compiled_for_one_set_of_types_alone() -> None:
    """Another one would be compiled while packets wait: it is an error instead."""
    from natlb.core.lifetime import sweep_all
    from tests.datapath import engine

    path = engine()
    with pytest.raises(TypeError):
        sweep_all(path._core, None)  # type: ignore[arg-type]


@compiled_only
def test_bounds_are_checked_in_compiled_code() -> None:
    """A hostile packet cannot read or write past a buffer: it raises, and is counted."""
    from natlb.core.pipeline import process_batch
    from natlb.core.policy import pick
    from tests.datapath import engine

    path = engine()
    path._batch.numbers[0] = len(path._batch.frames) + 1  # one frame too many
    with pytest.raises(IndexError):
        process_batch(path._core, 0, 0, pick)


@compiled_only
@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        ("return a * 2", 1, "makes an array"),
        ("\n    return a[0.5]", 3, "an index of type float64; expected an int"),
        ("x, y = (1, 2, 3)\n    return x", 2, "takes 2 values apart where there are 3"),
        ("return a.nothing", 2, "nothing"),
        ("return (1, 2) % a[0]", 2, "no such operation: "),
    ],
)
def test_what_does_not_compile_is_told_in_a_line(body: str, line: int, said: str) -> None:
    """Of its own source: Numba's pages say where in Numba."""
    space: dict[str, Any] = {}
    exec(compile(f"def f(a):\n    {body}\n", "mine.py", "exec"), space)
    with pytest.raises(jit.Misfit) as caught:
        jit.result_of(jit.program_kernel(space["f"]), np.zeros(2))

    assert said in caught.value.reason
    assert "\n" not in caught.value.reason
    assert caught.value.line == line


@compiled_only
@pytest.mark.parametrize(
    ("value", "kind"), [("1", "int64"), ("a[0]", "float64"), ("a[0] > 1", "bool")]
)
def test_the_type_of_a_result_is_known(value: str, kind: str) -> None:
    """Before anything is called."""
    space: dict[str, Any] = {}
    exec(compile(f"def f(a):\n    return {value}\n", "mine.py", "exec"), space)
    jit.load_compiler()

    assert jit.result_of(jit.program_kernel(space["f"]), np.zeros(2)) == kind
