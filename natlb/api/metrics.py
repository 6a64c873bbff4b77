"""GET /metrics: the counters of an instance for Prometheus and its like.

OpenMetrics 1.0, or Prometheus' own text where a client would rather have that. A collector reads
one `Measures` and keeps nothing between requests; a client's address is no label, since there are
as many of them as anybody likes.

`natlb_backend_flows_total` stands beside the gauge `natlb_backend_flows`, which OpenMetrics cannot
say of a counter (its family would have the gauge's name): there it is of the type `unknown`.
"""

from __future__ import annotations

import asyncio
from itertools import accumulate
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    UnknownMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.utils import floatToGoString

from natlb.api.answers import listing
from natlb.api.exposition import open_metrics, plain_text
from natlb.model import HandshakeTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.core import Metric

    from natlb.control.compile.measures import Handshakes
    from natlb.control.instance import Instance
    from natlb.control.measures import Measures
    from natlb.model import Backend

OPEN_METRICS = "application/openmetrics-text"
PLAIN_TEXT = "text/plain"
OF_BACKEND = ("service", "backend")
STATES = ("ready", "draining", "maint")
POOL_STATES = ("up", "down", "draining", "maint")

router = APIRouter()


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return all counters as OpenMetrics, or as Prometheus' text."""
    instance: Instance = request.app.state.instance
    as_open = prefers_open_metrics(request.headers.get("accept", ""))
    text = await asyncio.to_thread(exposed, await instance.measures(), as_open=as_open)
    kind = CONTENT_TYPE_LATEST if as_open else CONTENT_TYPE_PLAIN_0_0_4
    return Response(text, headers={"content-type": kind})


@router.get("/v1/handshakes", response_model=list[HandshakeTimes])
async def handshakes(request: Request) -> Response:
    """List how long backends' first answers took so far: what between two looks is the present."""
    instance: Instance = request.app.state.instance
    found = (await instance.measures()).handshakes
    return listing(
        [
            HandshakeTimes(
                service=service, name=name, count=each.count, sum_seconds=each.sum_seconds
            )
            for (service, name), each in found.items()
        ]
    )


def prefers_open_metrics(accept: str) -> bool:
    """Tell which form an Accept header asks for: OpenMetrics, unless text/plain is liked better."""
    liked = {OPEN_METRICS: 0.0, PLAIN_TEXT: 0.0}
    for each in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in each.split(";"))
        if kind in liked:
            liked[kind] = max(liked[kind], _quality(parameters))
    return liked[OPEN_METRICS] >= liked[PLAIN_TEXT]


def _quality(parameters: list[str]) -> float:
    for each in parameters:
        if each.startswith("q="):
            try:
                return float(each[2:])
            except ValueError:
                return 0.0
    return 1.0


def exposed(measures: Measures, *, as_open: bool) -> bytes:
    """Return measures as a text that a monitor reads."""
    families = Collector(measures, as_open=as_open).collect()
    return open_metrics(families) if as_open else plain_text(families)


class Collector:
    """The measures of one moment as families of samples; the whole list of metrics."""

    def __init__(self, measures: Measures, *, as_open: bool) -> None:
        """Tell of these measures."""
        self._measures = measures
        self._as_open = as_open

    def collect(self) -> Iterator[Metric]:
        """Return each family with its samples."""
        yield from self._backends()
        yield from self._traffic()
        yield from self._health()
        yield from self._services()
        yield from self._instance()

    def _backends(self) -> Iterator[Metric]:
        backends = self._measures.backends
        up = _gauge("natlb_backend_up", "1 unless the backend is down.", OF_BACKEND)
        state = _gauge("natlb_backend_state", "1 for the state it is in.", (*OF_BACKEND, "state"))
        flows = _gauge("natlb_backend_flows", "Flows that it has now.", OF_BACKEND)
        total = self._flows_total()
        for each in backends:
            up.add_metric(_name(each), int(each.health != "down"))
            flows.add_metric(_name(each), each.flows.current)
            total.add_metric(_name(each), each.flows.total)
            for word in STATES:
                state.add_metric([*_name(each), word], int(each.state == word))
        yield from (up, state, flows, total)

    def _flows_total(self) -> CounterMetricFamily | UnknownMetricFamily:
        name, words = "natlb_backend_flows_total", "Flows that it ever had."
        return (UnknownMetricFamily if self._as_open else CounterMetricFamily)(
            name, words, labels=OF_BACKEND
        )

    def _traffic(self) -> Iterator[Metric]:
        labels = (*OF_BACKEND, "direction")
        octets = _counter("natlb_backend_bytes", "From the IP header on.", labels, "bytes")
        packets = _counter("natlb_backend_packets", "Packets as on the wire.", labels)
        for each in self._measures.backends:
            for direction in ("original", "reply"):
                octets.add_metric([*_name(each), direction], each.bytes[direction])
                packets.add_metric([*_name(each), direction], each.packets[direction])
        yield from (octets, packets, self._handshakes(), self._ports())

    def _handshakes(self) -> Metric:
        words = "From a flow's first packet to its backend's first answer, as seen on the wire."
        family = HistogramMetricFamily(
            "natlb_backend_handshake_seconds", words, labels=OF_BACKEND, unit="seconds"
        )
        ends = [*map(floatToGoString, self._measures.handshake_bounds), "+Inf"]
        for each in self._measures.backends:
            found = self._measures.handshakes.get((each.service, each.name))
            if found is not None:
                buckets = _buckets(ends, found)
                family.add_metric(_name(each), buckets, found.sum_seconds)
        return family

    def _ports(self) -> Metric:
        words = "Ports of natlb's own addresses that flows to the backend hold (full NAT)."
        used = _gauge("natlb_ports_used", words, (*OF_BACKEND, "protocol"))
        for labels, count in self._measures.ports.items():
            used.add_metric(labels, count)
        return used

    def _health(self) -> Iterator[Metric]:
        turned = _counter(
            "natlb_backend_transitions", "Turns to this state or health.", (*OF_BACKEND, "to")
        )
        checks = _counter(
            "natlb_checks", "Health checks by what they found.", (*OF_BACKEND, "result")
        )
        for each in self._measures.backends:
            turns = self._measures.tally.backends[_name(each)]
            for to, count in turns.transitions.items():
                turned.add_metric([*_name(each), to], count)
            for result, count in turns.checks.items():
                checks.add_metric([*_name(each), result], count)
        took = _gauge(
            "natlb_check_duration_seconds", "Of the last health check.", OF_BACKEND, "seconds"
        )
        for each in self._measures.backends:
            if each.check is not None:
                took.add_metric(_name(each), each.check.latency_ms / 1000)
        yield from (turned, took, checks)

    def _services(self) -> Iterator[Metric]:
        family = _gauge("natlb_service_backends", "By what they are fit for.", ("service", "state"))
        pools: dict[str, list[str]] = {}
        for each in self._measures.backends:
            pools.setdefault(each.service, []).append(_pool_state(each))
        for service, found in pools.items():
            for word in POOL_STATES:
                family.add_metric([service, word], found.count(word))
        yield family

    def _instance(self) -> Iterator[Metric]:
        now, tally = self._measures.statistics, self._measures.tally
        status = self._measures.status
        drops = _counter("natlb_drops", "Packets dropped, by reason.", ("reason",))
        _fill(drops, self._measures.drops.items())
        yield drops
        yield _single(_gauge, "natlb_flows", "Flows now.", now.flows.current)
        yield _single(_gauge, "natlb_flows_max", "Flows that fit.", self._measures.flows_max)
        yield _single(_gauge, "natlb_config_generation", "Rises with every change.", now.generation)
        reloads = _counter("natlb_config_reloads", "Reloads by how they ended.", ("result",))
        _fill(reloads, tally.reloads.items())
        yield reloads
        name = "natlb_config_last_success_timestamp_seconds"
        came = GaugeMetricFamily(name, "When a configuration last came well in.", unit="seconds")
        came.add_metric([], tally.last_success)
        yield came
        restarts = sum(worker.restarts for worker in now.workers)
        yield _single(
            _counter, "natlb_worker_restarts", "Workers that had to be replaced.", restarts
        )
        engine = {"engine": status.engine, "driver": status.driver, "version": status.version}
        yield InfoMetricFamily("natlb_engine", "What forwards packets.", value=engine)


def _gauge(name: str, words: str, labels: Iterable[str] = (), unit: str = "") -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, labels=tuple(labels), unit=unit)


def _counter(
    name: str, words: str, labels: Iterable[str] = (), unit: str = ""
) -> CounterMetricFamily:
    return CounterMetricFamily(name, words, labels=tuple(labels), unit=unit)


def _single(
    kind: Callable[[str, str], GaugeMetricFamily | CounterMetricFamily],
    name: str,
    words: str,
    value: float,
) -> Metric:
    """Return a family of one sample without labels."""
    family = kind(name, words)
    family.add_metric([], value)
    return family


def _fill(family: CounterMetricFamily, counts: Iterable[tuple[str, int]]) -> None:
    for label, count in counts:
        family.add_metric([label], count)


def _name(backend: Backend) -> tuple[str, str]:
    return backend.service, backend.name


def _buckets(ends: list[str], found: Handshakes) -> list[tuple[str, float]]:
    """Return the buckets as they are told: each holds what is in those before it too."""
    return list(zip(ends, map(float, accumulate(found.counts)), strict=True))


def _pool_state(backend: Backend) -> str:
    """Return the one word that a pool is counted by: what was asked for comes before health."""
    if backend.state != "ready":
        return backend.state
    return "down" if backend.health == "down" else "up"
