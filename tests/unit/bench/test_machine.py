"""What is read of the machine."""

from __future__ import annotations

import pytest

from natlb.bench.machine import busy_note, busy_ticks, describe, engine, first_version


def test_idle_waiting_and_stolen_time_is_not_work() -> None:
    """Linux: proc(5): user nice system idle iowait irq softirq steal guest guest_nice."""
    stat = "cpu  1 20 300 4000 50000 600000 7000000 80000000 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"

    assert busy_ticks(stat) == 7_600_321


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nftables v1.0.6 (Lester Gooch #5)", "1.0.6"),
        ("nginx version: nginx/1.22.1", "1.22.1"),
        ("HAProxy version 2.6.12-1+deb12u1 2023/12/16", "2.6.12-1+deb12u1"),
        ("iperf 3.12 (cJSON 1.7.15)", "3.12"),
        ("nothing of the kind", "unknown"),
    ],
)
def test_a_version_is_found_in_what_a_program_says(text: str, found: str) -> None:
    """Each says it in its own way."""
    assert first_version(text) == found


def test_this_machine_can_be_described() -> None:
    """Whatever is missing here is said to be missing."""
    assert describe().keys() >= {"date", "natlb", "machine", "kernel", "Python", "tools"}


def test_other_work_on_the_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the figures was not there."""
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.getloadavg", lambda: (1.9, 0.0, 0.0))
    assert busy_note() == ""

    monkeypatch.setattr("os.getloadavg", lambda: (2.1, 0.0, 0.0))
    assert "load 2.1 on 4 CPUs" in busy_note()


def test_figures_of_interpreted_kernels_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """They say nothing about natlb's speed."""
    monkeypatch.setenv("NATLB_JIT", "0")
    assert "interpreted" in engine()

    monkeypatch.delenv("NATLB_JIT")
    assert engine() == "compiled"
