"""A lab that is only on paper, and a place for its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from natlb.lab import record
from natlb.lab.record import Lab

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of labs: one of this test's own."""
    place = tmp_path / "run" / "lab"
    monkeypatch.setattr(record, "LABS", place)
    return place


@pytest.fixture
def lab(labs: Path) -> Lab:
    """Return a lab with a directory and no namespaces."""
    made = Lab(
        name="paper",
        topology="basic",
        state="up",
        client="client",
        balancer="lb",
        namespaces={"client": "paper-client", "lb": "paper-lb", "b1": "paper-b1"},
    )
    made.directory.mkdir(parents=True)
    return record.save(made)
