"""The dashboard and the alert rules: well-formed, and about metrics that there are."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from natlb.control.tally import DIRECTIONS
from natlb.wire.reasons import DropReason
from tests.unit.api.test_metrics import METRICS, NAMES, POOL_STATES, STATES

WORDS = re.compile(r"\bnatlb_\w+")
SELECTOR = re.compile(r"\b(natlb_\w+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|ignoring|on|without) \(([^)]*)\)")
OF_THE_SCRAPE = {"instance", "job"}
VALUES = {
    "reason": {str(reason) for reason in DropReason},
    "to": set(DIRECTIONS),
    "direction": {"original", "reply"},
    "result": {"success", "failure", "up", "down"},
    "engine": {"compiled", "interpreted"},
}


def labels_of(name: str) -> set[str]:
    """Return the labels that a sample of this name has."""
    ends = ("", "_total", "_info", "_bucket")
    families = [each for end in ends if (each := name.removesuffix(end)) in METRICS]
    found = set(METRICS[families[0]][2])
    return found | ({"le"} if name.endswith("_bucket") else set())


def faults(expression: str) -> list[str]:
    """Return what an expression asks for that no scrape has."""
    names = set(WORDS.findall(expression))
    found = sorted(names - set(NAMES.split()))
    known = OF_THE_SCRAPE.union(*(labels_of(name) for name in names.difference(found)))
    grouped = {w.strip() for group in GROUPING.findall(expression) for w in group.split(",")}
    found += sorted(grouped - known)
    for name, inside in SELECTOR.findall(expression):
        for label, how, value in MATCHER.findall(inside):
            if label not in labels_of(name) | OF_THE_SCRAPE:
                found.append(f"{name}{{{label}}}")
            wanted = set(value.split("|") if how == "=~" else [value])
            found += sorted(f"{label}={each}" for each in wanted - values_of(name, label, wanted))
    return found


def values_of(name: str, label: str, wanted: set[str]) -> set[str]:
    """Return what a label can be; names of services and the like are anybody's."""
    if label == "state":
        return set(POOL_STATES if name == "natlb_service_backends" else STATES)
    return VALUES.get(label, wanted)


def rules(command: Any) -> list[dict[str, Any]]:
    """Return the alert rules."""
    said = command("alerts")
    assert said.code == 0
    (group,) = YAML(typ="safe").load(said.out)["groups"]
    return list(group["rules"])


def dashboard(command: Any) -> dict[str, Any]:
    """Return the dashboard."""
    said = command("grafana")
    assert said.code == 0
    return dict(json.loads(said.out))


def test_alerts_are_about_metrics_that_there_are(command) -> None:
    """A rule about a name that is gone is silent for ever."""
    found = rules(command)

    assert len({rule["alert"] for rule in found}) == len(found) > 10
    for rule in found:
        assert not faults(rule["expr"]), rule["alert"]
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_words_of_alerts_name_labels_that_are_left(command) -> None:
    """A template whose label an aggregation took away reads `backend /`."""
    for rule in rules(command):
        grouped = GROUPING.findall(rule["expr"].replace("ignoring", "without"))
        left = {w.strip() for group in grouped for w in group.split(",")}
        words = " ".join(rule["annotations"].values())
        for label in re.findall(r"\$labels\.(\w+)", words):
            (name, *_) = WORDS.findall(rule["expr"])
            assert label in labels_of(name), rule["alert"]
            assert "by (" not in rule["expr"] or label in left, rule["alert"]


def test_panels_ask_for_metrics_that_there_are(command) -> None:
    """An empty panel looks like a quiet service."""
    panels = [each for each in dashboard(command)["panels"] if each["type"] != "row"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    used = {name for expression in asked for name in WORDS.findall(expression)}

    assert not [fault for expression in asked for fault in faults(expression)]
    assert {name for name in NAMES.split() if not name.endswith(("_count", "_sum"))} - used <= {
        "natlb_backend_state"
    }


def test_the_dashboard_takes_any_data_source(command) -> None:
    """What is imported elsewhere knows no uid of ours; panels lie in a grid of 24 and apart."""
    board = dashboard(command)
    names = [variable["name"] for variable in board["templating"]["list"]]
    taken: set[tuple[int, int]] = set()

    assert names == ["datasource", "instance", "service", "backend"]
    for panel in board["panels"]:
        assert panel.get("datasource", {"uid": "${datasource}"})["uid"] == "${datasource}"
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@pytest.mark.parametrize(
    "wrong",
    [
        "natlb_backend_dn == 0",
        'natlb_drops_total{reason="tabel-full"}',
        'natlb_backend_up{client="x"}',
        "sum by (client) (natlb_backend_flows)",
        'natlb_backend_state{state="down"}',
    ],
)
def test_a_wrong_expression_is_found(wrong) -> None:
    """A test that finds nothing may be reading nothing."""
    assert faults(wrong)
