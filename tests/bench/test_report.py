"""Results as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.report import aim_text, cell, markdown, write
from bench.results import Aim, Measure, Results, Settings

if TYPE_CHECKING:
    from pathlib import Path

PACKETS = Measure(
    part="start",
    name="packets",
    unit="k/s",
    figures={"bare": (200.0, 210.0, 220.0), "natlb": (180.0, 189.0, 209.0), "nft": ()},
    aim=Aim(at_least=0.95, of="bare"),
)
SIZE = Measure(part="core", name="size", unit="octets", figures={"natlb": (207.0,)})
RESULTS = Results(
    machine={"kernel": "Linux 6"},
    settings=Settings(),
    measures=(PACKETS, SIZE),
    notes=("bare: nothing but I/O",),
    left_out={"nft": "no nft here"},
    seconds=12,
)


def test_a_cell_has_median_least_and_most() -> None:
    """One figure stands alone, none is a dash."""
    assert cell((1, 3, 2)) == "2 (1-3)"
    assert cell((2,)) == "2"
    assert cell(()) == "-"


def test_an_aim_reads_as_a_sentence() -> None:
    """As it was asked for."""
    assert aim_text(Aim(at_least=0.95, of="bare")) == "at least 0.95 of bare"
    assert aim_text(Aim(at_most=3)) == "at most 3"


def test_the_report_has_figures_ratios_aims_and_what_is_missing() -> None:
    """Ours first, whatever the order they were measured in; a table for each part."""
    lines = markdown(RESULTS).splitlines()

    assert "- kernel: Linux 6" in lines
    assert (
        "| measure | unit | natlb         | bare          | nft | natlb / bare | natlb / nft |"
        in lines
    )
    assert (
        "| packets | k/s  | 189 (180-209) | 210 (200-220) | -   | 0.90         | -           |"
        in lines
    )
    assert "| size    | octets | 207   |" in lines
    assert "| packets | at least 0.95 of bare | 0.9    | 0.95         | no  |" in lines
    assert "- bare: nothing but I/O" in lines
    assert "- nft: no nft here" in lines


def test_both_files_are_written(tmp_path: Path) -> None:
    """Where there was no folder, one is made."""
    paths = write(RESULTS, tmp_path / "results", "today")

    assert [path.name for path in paths] == ["today.json", "today.md"]
    assert paths[1].read_text() == markdown(RESULTS)
