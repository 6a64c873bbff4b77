"""The loads: what is sent through every column, and the figures that each gives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from natlb.bench.machine import CpuTime
from natlb.bench.results import Line
from natlb.bench.traffic import DRAIN_SECONDS, WARM_UP_SECONDS, bulk, datagrams, requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.bench.stand import Stand

    Figures = tuple[float | None, ...]
    Take = Callable[[Stand, float], Figures]

RATE = 50_000  # datagrams a second that every forwarder here can take
FEW, SOME, MANY = 8, 1_000, 30_000  # flows
MIX_KEPT, MIX_NEW = 32, 8  # connections
LATENCY = {"p50": "p50", "p99": "p99", "p999": "p99.9"}
CPU_NOTE = (
    "CPU is all that the whole machine worked meanwhile, loaders and servers included, divided by "
    "what came through"
)
CLOSED_NOTE = (
    "HTTP latency is that of a closed loop: wrk asks again on a connection once it was answered, "
    "so a slow forwarder is asked less often, and its longest waits are fewer than they would be"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent, and the lines it gives; `packets`: connection proxies cannot take it."""

    name: str
    about: str
    lines: tuple[Line, ...]
    take: Take
    packets: bool = False
    needs: tuple[str, ...] = ()
    overhead: float = DRAIN_SECONDS


def flood(flows: int) -> Take:
    """Return a load of as many small datagrams as go."""

    def take(stand: Stand, seconds: float) -> Figures:
        came = datagrams(stand, seconds, flows)
        return came.delivered_per_second / 1000, came.sent_per_second / 1000, came.cpu_us

    return take


def trickle(stand: Stand, seconds: float) -> Figures:
    """Send datagrams at a rate that leaves the machine idle half the time."""
    came = datagrams(stand, seconds, SOME, RATE)
    return came.cpu_us, came.share


def stream(streams: int, *, from_backend: bool) -> Take:
    """Return a load of bulk TCP."""

    def take(stand: Stand, seconds: float) -> Figures:
        before = CpuTime.now().busy
        rate = bulk(stand, seconds, streams=streams, from_backend=from_backend)
        busy = CpuTime.now().busy - before
        return rate, 1000 * busy / (rate * seconds) if rate else None

    return take


def ask(*, kept: bool) -> Take:
    """Return a load of HTTP requests."""

    def take(stand: Stand, seconds: float) -> Figures:
        before = CpuTime.now().busy
        came = requests(stand, seconds, kept=kept)
        cpu = 1e6 * (CpuTime.now().busy - before) / came.count
        return came.per_second / 1000, came.p50, came.p99, came.p999, cpu

    return take


def mix(stand: Stand, seconds: float) -> Figures:
    """Have a stream, kept and new connections at once: what each gets beside the others."""
    with ThreadPoolExecutor(max_workers=3) as pool:
        carried = pool.submit(bulk, stand, seconds, streams=1, from_backend=True)
        kept = pool.submit(requests, stand, seconds, kept=True, connections=MIX_KEPT)
        new = pool.submit(requests, stand, seconds, kept=False, connections=MIX_NEW)
        answers = kept.result()
        fresh = new.result().per_second
        return carried.result(), answers.per_second / 1000, answers.p99, fresh / 1000


def flood_load(flows: int) -> Load:
    """Return the load of small datagrams of so many flows."""
    name, words = f"udp-{flows}", f"64-byte UDP, {flows:,} flows"
    return Load(
        name=name,
        about=f"{words}, as many as go",
        lines=(
            Line(key=name, name=f"{words}: delivered", unit="k packets/s"),
            Line(key=f"{name}.sent", name=f"{words}: sent meanwhile", unit="k packets/s"),
            cpu_line(name, words, "µs a packet"),
        ),
        take=flood(flows),
        packets=True,
        overhead=WARM_UP_SECONDS + DRAIN_SECONDS,
    )


def cpu_line(name: str, words: str, unit: str) -> Line:
    """Return the line of what a load costs the machine."""
    return Line(key=f"{name}.cpu", name=f"{words}: machine's CPU", unit=unit, better="less")


def bulk_load(streams: int, *, from_backend: bool) -> Load:
    """Return a load of bulk TCP, one way."""
    name = f"bulk-{streams}{'-back' if from_backend else ''}"
    where = "from the backend" if from_backend else "to the backend"
    words = f"bulk TCP, {streams} stream{'s' if streams > 1 else ''}, {where}"
    return Load(
        name=name,
        about=words,
        lines=(Line(key=name, name=words, unit="Gb/s"), cpu_line(name, words, "ms a gigabit")),
        take=stream(streams, from_backend=from_backend),
        needs=("iperf3",),
    )


def http_load(name: str, words: str, unit: str, *, kept: bool) -> Load:
    """Return a load of HTTP requests."""
    waits = (
        Line(key=f"{name}.{key}", name=f"{words}: {told}", unit="ms", better="less")
        for key, told in LATENCY.items()
    )
    rate = Line(key=name, name=words, unit=unit)
    return Load(
        name=name,
        about=words,
        lines=(rate, *waits, cpu_line(name, words, "µs a request")),
        take=ask(kept=kept),
        needs=("wrk",),
    )


LOADS = (
    flood_load(FEW),
    flood_load(MANY),
    Load(
        name="cpu",
        about=f"64-byte UDP, {SOME:,} flows, {RATE:,} a second",
        lines=(
            cpu_line("cpu", f"64-byte UDP, {RATE:,}/s", "µs a packet"),
            Line(key="cpu.delivered", name=f"64-byte UDP, {RATE:,}/s: delivered", unit="%"),
        ),
        take=trickle,
        packets=True,
        overhead=WARM_UP_SECONDS + DRAIN_SECONDS,
    ),
    *(bulk_load(streams, from_backend=back) for streams in (1, 4) for back in (False, True)),
    http_load("http-kept", "HTTP, kept connections", "k requests/s", kept=True),
    http_load("http-new", "HTTP, a new connection each", "k connections/s", kept=False),
    Load(
        name="mix",
        about="a bulk stream from the backend, kept and new HTTP connections, all at once",
        lines=(
            Line(key="mix", name="mix: bulk TCP, 1 stream", unit="Gb/s"),
            Line(key="mix.kept", name="mix: HTTP, kept connections", unit="k requests/s"),
            Line(key="mix.p99", name="mix: HTTP, kept: p99", unit="ms", better="less"),
            Line(key="mix.new", name="mix: HTTP, new connections", unit="k connections/s"),
        ),
        take=mix,
        needs=("iperf3", "wrk"),
    ),
)
