"""What a monitor scrapes, judged by the strict parser of prometheus-client."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client import parser as plain_text
from prometheus_client.openmetrics import parser as strict

from natlb.api.metrics import POOL_STATES, STATES, exposed, prefers_open_metrics
from natlb.client.transport import UnixConnection
from natlb.control.compile.measures import Handshakes
from natlb.model import CheckResult
from tests.unit.conftest import FakeInstance

if TYPE_CHECKING:
    from prometheus_client.core import Metric

ROOT = Path(__file__).parents[3]
CODE = re.compile(r"`([^`]+)`")

__all__ = ["METRICS", "NAMES", "POOL_STATES", "STATES"]  # for the test of what asks for them

# Every metric: type by OpenMetrics, unit, labels.
BACKEND = ("backend", "service")
METRICS = {
    "natlb_backend_up": ("gauge", "", BACKEND),
    "natlb_backend_state": ("gauge", "", (*BACKEND, "state")),
    "natlb_backend_flows": ("gauge", "", BACKEND),
    "natlb_backend_flows_total": ("unknown", "", BACKEND),
    "natlb_backend_bytes": ("counter", "bytes", ("backend", "direction", "service")),
    "natlb_backend_packets": ("counter", "", ("backend", "direction", "service")),
    "natlb_backend_transitions": ("counter", "", (*BACKEND, "to")),
    "natlb_backend_handshake_seconds": ("histogram", "seconds", BACKEND),
    "natlb_check_duration_seconds": ("gauge", "seconds", BACKEND),
    "natlb_checks": ("counter", "", ("backend", "result", "service")),
    "natlb_service_backends": ("gauge", "", ("service", "state")),
    "natlb_drops": ("counter", "", ("reason",)),
    "natlb_flows": ("gauge", "", ()),
    "natlb_flows_max": ("gauge", "", ()),
    "natlb_ports_used": ("gauge", "", ("backend", "protocol", "service")),
    "natlb_config_generation": ("gauge", "", ()),
    "natlb_config_reloads": ("counter", "", ("result",)),
    "natlb_config_last_success_timestamp_seconds": ("gauge", "seconds", ()),
    "natlb_worker_restarts": ("counter", "", ()),
    "natlb_engine": ("info", "", ("driver", "engine", "version")),
}
NAMES = (
    "natlb_backend_up natlb_backend_state natlb_backend_flows natlb_backend_flows_total "
    "natlb_backend_bytes_total natlb_backend_packets_total natlb_backend_transitions_total "
    "natlb_backend_handshake_seconds_bucket natlb_backend_handshake_seconds_count "
    "natlb_backend_handshake_seconds_sum natlb_check_duration_seconds natlb_checks_total "
    "natlb_service_backends natlb_drops_total natlb_flows natlb_flows_max natlb_ports_used "
    "natlb_config_generation natlb_config_reloads_total "
    "natlb_config_last_success_timestamp_seconds natlb_worker_restarts_total natlb_engine_info"
)


@pytest.fixture
def instance() -> FakeInstance:
    """Return an instance whose first backend was checked."""
    made = FakeInstance()
    check = CheckResult(status="up", code="L4OK", latency_ms=2.5, at="2026-01-02T03:04:05.678Z")
    made.pool[0] = replace(made.pool[0], check=check, health="up")
    made.pool[1] = replace(made.pool[1], health="down")
    made.pool[2] = replace(made.pool[2], state="draining", health="down")
    return made


def scrape(instance: FakeInstance, *, as_open: bool = True) -> str:
    """Return the text."""
    return exposed(asyncio.run(instance.measures()), as_open=as_open).decode()


def test_the_text_is_open_metrics_to_the_letter(instance) -> None:
    """Types, units, suffixes and the end: Prometheus drops a scrape whole that is not."""
    families = {each.name: each for each in strict.text_string_to_metric_families(scrape(instance))}
    found = {
        name: (
            each.type,
            each.unit,
            tuple(sorted({label for s in each.samples for label in s.labels} - {"le"})),
        )
        for name, each in families.items()
    }

    assert found == METRICS
    assert scrape(instance).endswith("# EOF\n")


@pytest.mark.parametrize("as_open", [True, False])
def test_names_are_those_that_are_promised(instance, as_open) -> None:
    """In both forms: dashboards go by them."""
    text = scrape(instance, as_open=as_open)
    parse = strict if as_open else plain_text
    names = {s.name for each in parse.text_string_to_metric_families(text) for s in each.samples}

    assert names == set(NAMES.split())


def test_values_are_those_of_the_instance(instance) -> None:
    """Each by its labels."""
    lines = set(scrape(instance).splitlines())
    be1 = 'backend="be1",service="web"'

    assert lines >= {
        f"natlb_backend_up{{{be1}}} 1.0",
        'natlb_backend_up{backend="be2",service="web"} 0.0',
        'natlb_backend_state{backend="be3",service="web",state="draining"} 1.0',
        'natlb_backend_state{backend="be3",service="web",state="ready"} 0.0',
        f"natlb_backend_flows{{{be1}}} 1.0",
        f"natlb_backend_flows_total{{{be1}}} 7.0",
        'natlb_backend_bytes_total{backend="be1",direction="reply",service="web"} 640.0',
        'natlb_backend_packets_total{backend="be1",direction="original",service="web"} 4.0',
        'natlb_backend_transitions_total{backend="be1",service="web",to="down"} 2.0',
        f"natlb_check_duration_seconds{{{be1}}} 0.0025",
        'natlb_checks_total{backend="be1",result="down",service="web"} 7.0',
        'natlb_service_backends{service="web",state="up"} 1.0',
        'natlb_service_backends{service="web",state="down"} 1.0',
        'natlb_service_backends{service="web",state="draining"} 1.0',
        'natlb_drops_total{reason="malformed"} 1.0',
        'natlb_drops_total{reason="no-route"} 0.0',
        "natlb_flows 1.0",
        "natlb_flows_max 1000.0",
        'natlb_ports_used{backend="be1",protocol="tcp",service="web"} 11.0',
        'natlb_config_reloads_total{result="failure"} 9.0',
        "natlb_config_last_success_timestamp_seconds 1.7000000005e+09",
        "natlb_worker_restarts_total 0.0",
        'natlb_engine_info{driver="tun",engine="compiled",version="0.1.0"} 1.0',
        'natlb_backend_handshake_seconds_bucket{backend="be1",le="0.001",service="web"} 12.0',
        'natlb_backend_handshake_seconds_bucket{backend="be1",le="+Inf",service="web"} 39.0',
        f"natlb_backend_handshake_seconds_count{{{be1}}} 39.0",
        f"natlb_backend_handshake_seconds_sum{{{be1}}} 1.5",
    }


def test_every_metric_and_label_is_in_the_manual(instance) -> None:
    """Whoever writes an alert looks there."""
    families = list(strict.text_string_to_metric_families(scrape(instance)))
    expected = {_known_as(each): set(METRICS[each.name][2]) for each in families}

    assert documented() == expected


def documented() -> dict[str, set[str]]:
    """Return each metric of the manual's table with its labels."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = text.partition("<!-- metrics -->")[2].partition("<!-- /metrics -->")[0]
    found: dict[str, set[str]] = {}
    for row in table.strip().splitlines()[2:]:
        names, labels, _ = (CODE.findall(cell) for cell in row.strip("| ").split("|", 2))
        found |= {name: set(labels) for name in names}
    return found


def _known_as(family: Metric) -> str:
    """Return the name of a family's samples."""
    ends = {"counter": "_total", "info": "_info"}
    return family.name + ends.get(family.type, "")


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        ("", True),
        ("*/*", True),
        ("application/openmetrics-text; version=1.0.0; q=0.7,text/plain;version=0.0.4;q=0.3", True),
        ("text/plain; version=0.0.4", False),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.5", False),
        ("text/plain;q=nonsense", True),
        ("application/openmetrics-text;version=none;q=0.5,*/*;q=0.1", True),
    ],
)
def test_the_form_is_what_the_client_accepts(accept, is_open) -> None:
    """Prometheus of any age, curl, and what sends nonsense."""
    assert prefers_open_metrics(accept) is is_open


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0;"),
        ("text/plain", "text/plain; version=0.0.4;"),
    ],
)
def test_a_scrape_is_a_get_on_the_socket(served, accept, kind) -> None:
    """With the type by which a monitor knows how to read it."""
    connection = UnixConnection(served.path, 10)
    connection.request("GET", "/metrics", headers={"Connection": "close", "Accept": accept})
    with connection.getresponse() as answer:
        text = answer.read().decode()

    assert answer.status == 200
    assert answer.headers["content-type"].startswith(kind)
    assert "natlb_backend_up{" in text


def test_a_thousand_backends_neither_take_long_nor_hold_the_loop(instance) -> None:
    """A scrape every second must not be felt by health checks, which run on the same loop."""
    model = instance.pool[0]
    instance.pool = [replace(model, name=f"be{number}") for number in range(1000)]

    async def live() -> tuple[float, float, bytes]:
        measures = await instance.measures()
        bounds = tuple(0.0001 * 2**step for step in range(24))
        names = [("web", backend.name) for backend in instance.pool]
        found = dict.fromkeys(names, Handshakes(counts=(5,) * 25, sum_seconds=2.0))
        turns = next(iter(measures.tally.backends.values()))
        tally = replace(measures.tally, backends=dict.fromkeys(names, turns))
        measures = replace(measures, handshake_bounds=bounds, handshakes=found, tally=tally)
        work = asyncio.create_task(asyncio.to_thread(exposed, measures, as_open=True))
        began = time.process_time()
        looks = [time.monotonic()]
        while not work.done():
            await asyncio.sleep(0.001)
            looks.append(time.monotonic())
        gaps = sorted(later - sooner for sooner, later in itertools.pairwise(looks))
        return time.process_time() - began, gaps[len(gaps) // 2], work.result()

    took, usual_gap, text = asyncio.run(live())

    assert took < 2.0  # a quarter of a second on a slow machine
    assert usual_gap < 0.1
    assert text.count(b"natlb_backend_up{") == 1000
