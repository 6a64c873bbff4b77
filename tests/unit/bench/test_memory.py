"""What processes hold, as the kernel tells it."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from natlb.bench import memory
from natlb.bench.results import MeasureError


def test_a_rollup_is_read_in_kibibytes() -> None:
    """The first line is an address range, and no field."""
    text = "5581-7ffd ---p 00000000 00:00 0    [rollup]\nRss:     1200 kB\nPss_Shmem:     8 kB\n"

    assert memory.parse_rollup(text) == {"Rss": 1200, "Pss_Shmem": 8}


def test_the_memory_of_a_process_that_is_gone_is_a_failure() -> None:
    """Never a zero."""
    assert memory.read_rollup(os.getpid())["Pss"] > 0
    with pytest.raises(MeasureError, match="No such"):
        memory.read_rollup(2**22 + 1)


def paper_stand(name: str) -> Any:
    """Return a stand of paper."""
    return SimpleNamespace(name=name, lab=SimpleNamespace(netns=lambda host: host))


def test_all_processes_of_a_forwarder_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has none holds nothing that can be told; neither does no forwarder."""
    monkeypatch.setattr(memory, "identity", lambda _: 1)
    monkeypatch.setattr(memory, "inhabitants", lambda _: [1, 2])
    monkeypatch.setattr(memory, "read_rollup", lambda pid: {"Pss": 1024 * pid})
    assert memory.held_by(paper_stand("nginx")) == 3.0
    assert memory.held_by(paper_stand("none")) is None

    monkeypatch.setattr(memory, "inhabitants", lambda _: [])
    assert memory.held_by(paper_stand("nft")) is None
