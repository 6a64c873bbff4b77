"""Packets as data: what goes in, what comes out, and by which name it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from natlb.engine import DropReason, PacketMeta
from natlb.testing import packets
from tests.datapath import SERVICES, assert_counts_agree, broken_laws, engine
from tests.words import packet_of

FOLDER = Path(__file__).parents[1] / "cases"
FILES = sorted(FOLDER.glob("*.yaml"))
CASES: dict[str, Any] = {
    f"{file.stem}: {case['case']}": case
    for file in FILES
    for case in YAML(typ="safe").load(file.read_text(encoding="utf-8"))
}
KEYS = {"in", "side", "unfinished", "segment", "now", "verdict", "reason", "out", "to", "tick"}


@pytest.mark.parametrize("name", CASES)
def test_the_case_comes_out_as_it_is_written(name: str) -> None:
    """Octet for octet; counters agree and the table is sound behind every one."""
    case = CASES[name]
    given = {"services": {}, **case.get("given", {})}
    path = engine({**SERVICES, **given.pop("services")}, **given)
    for number, step in enumerate(case["steps"]):
        where = f"{case['case']}, step {number + 1}"
        assert step.keys() <= KEYS, where
        now = float(step.get("now", 0))
        if step.get("tick"):
            path.tick(now)
            continue
        packet = packet_of(step["in"])
        if step.get("unfinished"):
            packet = packets.unfinished(packet)
        meta = PacketMeta(
            side=step.get("side"),
            unfinished_checksum=bool(step.get("unfinished")),
            segment_size=step.get("segment", 0),
        )
        result = path.process(packet, now, meta)

        assert result.verdict.name.lower() == step["verdict"], where
        reason = None if result.reason is None else result.reason.label
        assert reason == step.get("reason"), where
        out = step.get("out", [])
        expected = [packet_of(line, packet) for line in ([out] if isinstance(out, str) else out)]
        if step.get("unfinished") and result.verdict.name == "FORWARD":
            expected = [packets.unfinished(each) for each in expected]
        assert [each.hex() for each in result.packets] == [each.hex() for each in expected], where
        if "to" in step:
            assert result.sides == [step["to"]], where

    assert_counts_agree(path.stats())
    assert not broken_laws(path._flows, path._counters)


def test_every_refusal_of_this_version_has_a_case() -> None:
    """A reason that nothing shows is a reason that nobody has seen."""
    of_other_pieces = {
        *("no-route", "service-limit", "backend-limit", "source-limit", "rate-limit", "access"),
        # of what is held no step tells; the limit takes hundreds: tests/unit/core/test_fragments.py
        *("fragment-timeout", "fragment-limit"),
        *("queue-full", "internal"),  # a full queue and a bug: tests/unit/core
    }
    shown = {step.get("reason") for case in CASES.values() for step in case["steps"]}

    assert shown - {None} == {reason.label for reason in DropReason} - of_other_pieces


def test_every_case_has_a_name_of_its_own() -> None:
    """And says what it is about in words."""
    written = sum(file.read_text().count("\n- case:") for file in FILES)

    assert len(FILES) >= 5
    assert len(CASES) == written > 50
    assert all(len(name.split()) > 3 for name in CASES)
