"""Processes of forwarders, and what is told where one cannot begin."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from natlb.bench.forwarders import begin_process, last_line
from natlb.bench.results import MeasureError
from natlb.lab.process import stop

if TYPE_CHECKING:
    from pathlib import Path


def paper_lab(folder: Path) -> Any:
    """Return a lab whose hosts are here."""
    return SimpleNamespace(log=lambda name: folder / f"{name}.log", netns=lambda _: None)


def test_a_process_that_ends_at_once_is_told_by_its_last_word(tmp_path: Path) -> None:
    """Whoever reads the report must not look for its log, which is gone by then."""
    command = ["sh", "-c", "echo first; echo no such port >&2; exit 1"]
    with pytest.raises(MeasureError, match="proxy ended at once: no such port"):
        begin_process(paper_lab(tmp_path), "lb", command, "proxy")


def test_a_process_that_stays_is_given_by_its_pid(tmp_path: Path) -> None:
    """The lab ends it, here the test does."""
    pid = begin_process(paper_lab(tmp_path), "lb", ["sleep", "60"], "sleeper")
    stop([pid], grace=20.0)

    assert last_line(paper_lab(tmp_path), "sleeper") == "it said nothing"
