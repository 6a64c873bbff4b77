"""Samples as text, octet by octet as prometheus-client's own writers have them."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import exposition as plain
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    UnknownMetricFamily,
)
from prometheus_client.openmetrics import exposition as openmetrics

from natlb.api.exposition import open_metrics, plain_text

HOSTILE = ["plain", 'quo"te', "back\\slash", "new\nline", "\\n", "ä€", ""]


class Families:
    """Keeps `Collector`."""

    def collect(self):
        """Return one family of each type, with labels of all kinds."""
        gauge = GaugeMetricFamily("a_seconds", 'wo"rds\\ of\nit', labels=["x", "b"], unit="seconds")
        counter = CounterMetricFamily("things", "words", labels=["z", "a"])
        for number, text in enumerate(HOSTILE):
            gauge.add_metric([text, "b"], number / 7)
            counter.add_metric([text, text], 10**number)
        histogram = HistogramMetricFamily("took_seconds", "words", labels=["a"], unit="seconds")
        histogram.add_metric(["b"], [("0.1", 1.0), ("2.5", 2.0), ("+Inf", 3.0)], 7.25)
        unknown = UnknownMetricFamily("what_total", "words")
        unknown.add_metric([], float("inf"))
        yield from (gauge, counter, histogram, unknown)
        yield InfoMetricFamily("made", "words", value={"of": "wood", "by": 'ha"nd'})
        yield GaugeMetricFamily("empty", "no samples", labels=["x"])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(open_metrics, openmetrics.generate_latest), (plain_text, plain.generate_latest)],
)
def test_the_text_is_that_of_the_library(ours, theirs) -> None:
    """Which is the judge; it only takes five times as long."""
    registry = CollectorRegistry()
    registry.register(Families())

    assert ours(Families().collect()).decode() == theirs(registry).decode()
