"""The second try of tests of real processes: for whom, and how loud."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests import again

ROOT = Path(__file__).parent.parent
CHANCE = """
from pathlib import Path

def test_by_chance():
    seen = Path({seen!r})
    first = not seen.exists()
    seen.touch()
    assert not first

def test_never():
    assert not {broken}
"""

STUB = """#!/bin/sh
case "$*" in
  *tests.again*) lane=again;;
  *cache_dir=*/others*) lane=others;;
  *cache_dir=*/processes*) lane=processes;;
  *--cov-branch*) lane=interpreted;;
  *pytest*) lane=compiled;;
  *) lane=warm;;
esac
test $lane != again || {{ shift; shift; }}
echo "$lane" "$@" >>{told}
case " {failing} " in *" $lane "*) exit 1;; esac
"""


def failed(caches: Path, lane: str, *tests: str, left: list[str] | None = None) -> None:
    """Have pytest's cache of a lane say that these failed."""
    for key, value in (("cache/lastfailed", dict.fromkeys(tests, True)), (again.LEFT, left or [])):
        path = caches / lane / "v" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))


def test_a_few_tests_of_both_lanes_get_a_second_try(tmp_path: Path) -> None:
    """Of the lanes that failed, and of no other."""
    failed(tmp_path, "others", "a.py::x[1]", "a.py::y")
    failed(tmp_path, "processes", "b.py::z")

    assert again.failed_in(["others", "processes"], tmp_path) == [
        "a.py::x[1]",
        "a.py::y",
        "b.py::z",
    ]
    assert again.failed_in(["processes"], tmp_path) == ["b.py::z"]


@pytest.mark.parametrize(
    ("lanes", "reason"),
    [
        (["compiled"], "failed: compiled"),
        (["interpreted", "others"], "failed: interpreted others"),
        (["warm", "others"], "failed: warm others"),
        (["processes"], "and not by a test"),
    ],
)
def test_nothing_else_gets_one(
    tmp_path: Path, lanes: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kernels and conversations know no chance; a lane that broke off ran who knows what."""
    failed(tmp_path, "others", "a.py::x")

    assert again.main(lanes, tmp_path) == 1
    assert reason in capsys.readouterr().err


def test_many_failures_are_no_chance(tmp_path: Path) -> None:
    """Six, over both lanes."""
    failed(tmp_path, "others", "a", "b", "c")
    failed(tmp_path, "processes", "d", "e")
    assert len(again.failed_in(again.OF_PROCESSES, tmp_path)) == again.MOST
    failed(tmp_path, "processes", "d", "e", "f")

    with pytest.raises(again.NoSecondTryError, match="6 tests"):
        again.failed_in(again.OF_PROCESSES, tmp_path)


def test_what_was_left_behind_is_no_chance(tmp_path: Path) -> None:
    """It is told as the last test's error, which alone would leave nothing."""
    failed(tmp_path, "others", "a.py::last", left=["process 7: natlb"])

    with pytest.raises(again.NoSecondTryError, match="left something behind"):
        again.failed_in(["others"], tmp_path)


@pytest.mark.parametrize("broken", [False, True])
def test_who_passes_the_second_time_is_named_above_the_last_line(
    tmp_path: Path, broken: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """The last line is pytest's, and who fails again fails."""
    file = tmp_path / "test_chance.py"
    seen = tmp_path / "seen"
    file.write_text(CHANCE.format(seen=str(seen), broken=broken))
    seen.touch()  # it failed once
    names = [f"{file}::test_by_chance", f"{file}::test_never"]
    failed(tmp_path, "others", *(names if broken else names[:1]))

    assert again.main(["others"], tmp_path) == int(broken)
    lines = capfd.readouterr().out.splitlines()
    (named,) = [line for line in lines if line.startswith(again.TITLE)]
    assert named.endswith("test_chance.py::test_by_chance")
    assert lines.index(named) >= len(lines) - 5
    assert "1 failed, 1 passed" in lines[-1] if broken else " 1 passed in" in lines[-1]


def made(tmp_path: Path, failing: str) -> tuple[int, list[str]]:
    """Run `make test` over a Python that only pretends; return its exit code, and who ran."""
    told = tmp_path / "told"
    stub = tmp_path / "python"
    stub.write_text(STUB.format(told=told, failing=failing))
    stub.chmod(0o755)
    stamps = {name: tmp_path / name for name in ("VENV", "RUNTIME", "TESTING")}
    for stamp in stamps.values():
        stamp.touch()
    words = [f"{name}={path}" for name, path in stamps.items()]
    words += [f"BIN={tmp_path}", f"CACHES={tmp_path}", "INSTALL=:"]
    environment = {
        name: word for name, word in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    run = subprocess.run(
        ["make", "test", *words], cwd=ROOT, env=environment, capture_output=True, check=False
    )
    return run.returncode, told.read_text().splitlines()


@pytest.mark.parametrize(
    ("failing", "code", "judged"),
    [
        ("", 0, []),
        ("others", 0, ["others"]),
        ("processes", 0, ["processes"]),
        ("others processes", 0, ["others", "processes"]),
        ("compiled again", 2, ["compiled"]),
        ("interpreted again", 2, ["interpreted"]),
    ],
)
def test_the_whole_run_passes_where_its_lanes_do(
    tmp_path: Path, failing: str, code: int, judged: list[str]
) -> None:
    """And those that failed are judged when all have ended."""
    exit_code, told = made(tmp_path, failing)
    lanes = {line.split()[0] for line in told} - {"again"}

    assert lanes == {"warm", "interpreted", "others", "compiled", "processes"}
    assert sorted(" ".join(line for line in told if line[:5] == "again").split()[1:]) == judged
    assert exit_code == code
