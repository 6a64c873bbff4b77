"""Tests of real processes that failed, once more and alone: `python -m tests.again LANE...`.

LANE is a run of `make test` that failed. Only the runs of whole processes are forgiven, only a few
tests, and never silently: what passed only the second time is named above pytest's last line.
docs/decisions/0055 says why, and what this may hide.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _pytest.terminal import TerminalReporter

CACHES = Path(".pytest_cache")  # a folder for each lane
OF_PROCESSES = ("others", "processes")
MOST = 5
LEFT = "natlb/left"  # the key, in pytest's cache, of what a session left behind
TITLE = "passed only when run again"


class NoSecondTryError(Exception):
    """What failed is not to be run again."""


def failed_in(lanes: Sequence[str], caches: Path) -> list[str]:
    """Return the few tests of processes that failed. Raises NoSecondTryError for anything else."""
    strict = [lane for lane in lanes if lane not in OF_PROCESSES]
    if strict:
        raise NoSecondTryError(f"failed: {' '.join(lanes)}")
    failed: list[str] = []
    for lane in lanes:
        if _read(caches / lane, LEFT):
            raise NoSecondTryError(f"failed: {lane}, which left something behind")
        tests = list(_read(caches / lane, "cache/lastfailed"))
        if not tests:
            raise NoSecondTryError(f"failed: {lane}, and not by a test")
        failed += tests
    if len(failed) > MOST:
        raise NoSecondTryError(f"failed: {len(failed)} tests, more than chance has: {MOST}")
    return failed


def _read(cache: Path, key: str) -> list[str]:
    """Return what pytest's cache has under a key, nothing where it has none."""
    path = cache / "v" / key
    return list(json.loads(path.read_text())) if path.exists() else []


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Name what passed now and had failed before: a plugin, where tests are run again."""
    passed = [report.nodeid for report in terminalreporter.stats.get("passed", [])]
    failed = {
        report.nodeid
        for kind in ("failed", "error")
        for report in terminalreporter.stats.get(kind, [])
    }
    passed = [test for test in passed if test not in failed]
    if passed:
        terminalreporter.section(TITLE, "!", red=True, bold=True)
    for test in passed:
        terminalreporter.line(f"{TITLE}: {test}", red=True)


def main(lanes: Sequence[str], caches: Path = CACHES) -> int:
    """Run again what failed in these lanes; return the exit code."""
    try:
        tests = failed_in(lanes, caches)
    except NoSecondTryError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"failed once, and run again alone: {' '.join(tests)}\n")
    sys.stdout.flush()
    flags = [*shlex.split(os.environ.get("PYTEST_FLAGS", "")), "-p", "tests.again"]
    cache = ["-o", f"cache_dir={(caches / 'again').absolute()}"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *flags, *cache, *tests], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
