"""One run at a time, and none for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from natlb.bench.alone import TimeIsUpError, alone, holder, limited
from natlb.errors import BusyError

if TYPE_CHECKING:
    from pathlib import Path

LOCKS = """\
1: POSIX  ADVISORY  WRITE 11 fe:00:77 0 EOF
2: FLOCK  ADVISORY  WRITE 12 fe:00:78 0 EOF
3: FLOCK  ADVISORY  WRITE 13 fe:00:77 0 EOF
"""
TRY = """\
import sys
from pathlib import Path
from natlb.bench.alone import alone
from natlb.errors import BusyError
try:
    with alone(Path(sys.argv[1])):
        print("alone")
except BusyError as error:
    print(error.message)
"""


def test_the_second_run_is_told_who_is_the_first(tmp_path: Path) -> None:
    """And the first that ends makes room."""
    command = [sys.executable, "-c", TRY, str(tmp_path)]
    with alone(tmp_path):
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert said == f"another run measures already, pid {os.getpid()}\n"
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "alone\n"


def test_a_second_run_in_one_process_is_refused_too(tmp_path: Path) -> None:
    """The lock is the open file's."""
    with alone(tmp_path), pytest.raises(BusyError), alone(tmp_path):
        pass


def test_the_holder_is_the_one_of_the_same_kind_and_place() -> None:
    """Other locks on the inode are none of ours; one that cannot be seen is nobody."""
    assert holder(LOCKS, 0x77) is None
    assert holder(LOCKS.replace(":77 ", ":119 "), 119) == 13
    assert holder("", 119) is None


def test_the_time_that_is_up_is_no_failure_of_a_measure() -> None:
    """What catches failures of columns must let it pass."""
    with pytest.raises(TimeIsUpError, match="not done after 5 minutes"), limited(300):
        signal.raise_signal(signal.SIGALRM)

    assert not issubclass(TimeIsUpError, Exception)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
