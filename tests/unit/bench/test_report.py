"""A run as people and programs read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from natlb.bench.aims import Aim
from natlb.bench.report import aim_text, document, markdown, write
from natlb.bench.results import Column, Line, Measure, Results, Settings

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("none", "nft", "tun-route", "bare-tun-route", "haproxy")
PACKETS = Measure(
    line=Line(key="udp-8", name="small packets", unit="k/s"),
    figures={
        "none": (400.0, 400.0, 400.0),
        "nft": (380.0, 400.0, 390.0),
        "tun-route": (190.0, 300.0, 273.0),
        "bare-tun-route": (200.0, 300.0, 280.0),
    },
)
WAITS = Measure(
    line=Line(key="http-kept.p99", name="p99", unit="ms", better="less"),
    figures={"tun-route": (6.0,), "haproxy": (10.0,)},
)
RESULTS = Results(
    machine={"kernel": "Linux 6"},
    settings=Settings(),
    columns=tuple(Column(name=name, about=f"about {name}") for name in NAMES),
    measures=(PACKETS, WAITS),
    notes=("how to read it",),
    left_out={"xdp": "no such driver here"},
    seconds=12,
)


def row_of(text: str, *words: str) -> list[str]:
    """Return the cells of the first row of a table that begins with these words."""
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines())
    return next(row for row in rows if tuple(row[: len(words)]) == words)


def test_all_medians_stand_in_one_table() -> None:
    """Those near the loader's own limit with a mark, and what the mark means below."""
    text = markdown(RESULTS)

    assert row_of(text, "small packets")[1:] == ["k/s", "400", "390*", "273", "280", "-"]
    assert "*: within 10 % of what the loaders do" in text
    assert "- kernel: Linux 6" in text


def test_each_figure_has_its_spread_and_its_ratios() -> None:
    """To each peer, and to the bare forwarder of the same path."""
    text = markdown(RESULTS).partition("## small packets")[2]

    assert row_of(text, "column")[3:] == ["to nft", "to its bare forwarder"]
    assert row_of(text, "tun-route")[1:] == ["273", "190 - 300", "0.70", "0.97"]


def test_an_aim_is_met_or_missed_and_one_not_measured_is_told() -> None:
    """Nobody has to work it out."""
    text = markdown(RESULTS)

    missed = row_of(text, "small packets", "tun-route", "at least 0.75 of nft")
    assert missed[3:] == ["0.70", "0.50 - 0.75", "missed"]
    assert row_of(text, "p99", "tun-route", "at most 0.7 of haproxy")[-1] == "met"
    assert row_of(text, "p99", "xdp")[-1] == "not measured"


def test_what_is_missing_and_how_to_read_it_is_there() -> None:
    """What is not good stays in."""
    text = markdown(RESULTS)

    assert "- xdp: no such driver here" in text
    assert "- how to read it" in text
    assert "- `nft`: about nft" in text


def test_an_aim_reads_as_a_sentence() -> None:
    """As it was asked for."""
    assert aim_text(Aim(line="", path="xdp", of="nft", at_least=0.95)) == "at least 0.95 of nft"
    assert aim_text(Aim(line="", path="xdp", of="haproxy")) == "none; to haproxy"


def test_a_run_without_figures_and_one_cut_short_are_told_as_such() -> None:
    """An interrupt before the first figure, and one after it."""
    empty = Results(machine={}, settings=Settings(rounds=1), ended_early="interrupted")

    assert "Nothing was measured." in markdown(empty)
    assert "- **not whole: interrupted**" in markdown(empty)


def test_the_document_has_every_single_figure_and_what_was_made_of_it() -> None:
    """Plain JSON: other programs draw their own conclusions."""
    told = json.loads(json.dumps(document(RESULTS)))
    packets = told["measures"][0]

    assert packets["figures"]["tun-route"] == [190, 300, 273]
    assert packets["medians"]["nft"] == {"median": 390, "least": 380, "most": 400, "count": 3}
    assert packets["ratios"]["tun-route"]["nft"]["median"] == 0.7
    assert packets["near_the_loader"] == ["nft"]
    assert {(each["path"], each["met"]) for each in told["aims"]} >= {
        ("tun-route", False),
        ("tun-route", True),
        ("xdp", None),
    }
    assert told["ended_early"] is None


def test_both_files_are_written(tmp_path: Path) -> None:
    """Under one name."""
    paths = write(RESULTS, tmp_path, "today")

    assert [path.name for path in paths] == ["today.json", "today.md"]
    assert paths[1].read_text() == markdown(RESULTS)
