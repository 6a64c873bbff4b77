"""Load through a stand, and what came of it: our sender of datagrams, iperf3, wrk.

Every run is bounded in time. The readers of what the programs print are apart, and pure.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from natlb.bench.forwarders import HTTP_PORT, IPERF3_PORT, VIP
from natlb.bench.machine import CpuTime
from natlb.bench.results import MeasureError
from natlb.netlink import call_inside

if TYPE_CHECKING:
    from natlb.bench.stand import Stand

WARM_UP_SECONDS = 0.5  # flows are made, queues fill
DRAIN_SECONDS = 0.3  # what waits in queues has gone on
GRACE_SECONDS = 20.0  # beyond what a loader was told to take
CONNECTIONS, THREADS = 64, 2  # of wrk
MOST_LOST = 0.001  # of HTTP requests; more is not a rate of requests
MARK = "natlb-bench "  # before what our script has wrk print
# What wrk says by itself has no p99.9.
SCRIPT = f"""\
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{MARK}{{"requests": %d, "us": %d, "failed": %d, "p50": %d, "p99": %d, "p999": %d}}\\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of datagrams. `cpu_us`: of the whole machine, for each that was delivered."""

    sent_per_second: float
    delivered_per_second: float
    cpu_us: float

    @property
    def share(self) -> float:
        """Delivered of sent, in percent."""
        sent = self.sent_per_second
        return 100 * self.delivered_per_second / sent if sent else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What became of requests: how many a second, and how long they took, in milliseconds."""

    per_second: float
    p50: float
    p99: float
    p999: float
    count: int


def datagrams(stand: Stand, seconds: float, flows: int, rate: float = 0) -> Delivery:
    """Send datagrams for so long, at a rate or as many as go; count what reached the backend.

    Counted while the load goes on, so that what waits in a queue at the end does not count.
    """
    sender = stand.sender(flows)
    sender.send(min(WARM_UP_SECONDS, seconds), rate)
    cpu, before, began = CpuTime.now(), stand.delivered(), time.monotonic()
    sent = sender.send(seconds, rate)
    delivered = stand.delivered() - before
    elapsed, busy = time.monotonic() - began, CpuTime.now().busy - cpu.busy
    time.sleep(DRAIN_SECONDS)
    if delivered <= 0:
        raise MeasureError(f"none of {sent.frames} datagrams came to the backend")
    return Delivery(
        sent_per_second=sent.frames / elapsed,
        delivered_per_second=delivered / elapsed,
        cpu_us=1e6 * busy / delivered,
    )


def bulk(stand: Stand, seconds: float, *, streams: int, from_backend: bool) -> float:
    """Return the gigabits a second that so many TCP connections carry, by iperf3."""
    command = ["iperf3", "-c", VIP, "-p", str(IPERF3_PORT), "-J", "-P", str(streams)]
    command += ["-t", str(whole(seconds)), *(["-R"] if from_backend else [])]
    return read_iperf3(call(stand, command, seconds))


def requests(
    stand: Stand, seconds: float, *, kept: bool, connections: int = CONNECTIONS
) -> Answers:
    """Return what came of HTTP requests, over kept connections or over a new one each, by wrk."""
    script = stand.lab.directory / "wrk.lua"
    script.write_text(SCRIPT)
    command = ["wrk", "-t", str(THREADS), "-c", str(connections), "-s", str(script)]
    command += ["-d", f"{whole(seconds)}s", *([] if kept else ["-H", "Connection: close"])]
    return read_wrk(call(stand, [*command, f"http://{VIP}:{HTTP_PORT}/"], seconds))


def whole(seconds: float) -> int:
    """Return the seconds as loaders take them: a whole number, one at least."""
    return max(1, round(seconds))


def call(stand: Stand, command: list[str], seconds: float) -> str:
    """Return what a loader in the client's namespace printed; MeasureError where it failed."""
    limit = seconds + GRACE_SECONDS

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)

    try:
        done = call_inside(stand.client, start)
    except subprocess.TimeoutExpired as error:
        raise MeasureError(f"{command[0]} did not end within {limit:.0f} s") from error
    if done.returncode:
        raise MeasureError(f"{command[0]}: {reason(done.stdout, done.stderr)}")
    return done.stdout


def reason(stdout: str, stderr: str) -> str:
    """Return why a loader failed, in its own words: iperf3 says it in JSON."""
    try:
        told = json.loads(stdout).get("error")
    except (ValueError, AttributeError):
        told = None
    lines = (stderr.strip() or stdout.strip()).splitlines()
    return str(told or (lines[-1] if lines else "failed without a word"))


def read_iperf3(text: str) -> float:
    """Return the gigabits a second that were received, from iperf3's JSON."""
    try:
        told: dict[str, Any] = json.loads(text)
        return float(told["end"]["sum_received"]["bits_per_second"]) / 1e9
    except (ValueError, KeyError, TypeError) as error:
        raise MeasureError(f"iperf3 printed no figure: {error!r}") from error


def read_wrk(text: str) -> Answers:
    """Return what our script had wrk print; MeasureError where requests failed."""
    line = next((line for line in text.splitlines() if line.startswith(MARK)), None)
    told: dict[str, int] = json.loads(line.removeprefix(MARK)) if line else {"requests": 0}
    count = told["requests"]
    if count <= 0:
        raise MeasureError("wrk had no answer")
    if told["failed"] > MOST_LOST * count:
        raise MeasureError(f"{told['failed']} of {count} requests failed")
    return Answers(
        per_second=1e6 * count / told["us"],
        p50=told["p50"] / 1000,
        p99=told["p99"] / 1000,
        p999=told["p999"] / 1000,
        count=count,
    )


def unless(program: str) -> str:
    """Return why a loader cannot be used here, or nothing."""
    return "" if shutil.which(program) else f"no {program} here: apt-get install {program}"
