"""Load through a stand, and what came of it: our sender of datagrams, iperf3, wrk.

Every run is bounded in time. The readers of what the programs print are apart, and pure.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.forwarders import HTTP_PORT, INSTALL, IPERF3_PORT, VIP
from bench.machine import CpuTime
from bench.results import MeasureError
from natlb.netlink import call_inside

if TYPE_CHECKING:
    from bench.stand import Stand

WARM_UP_SECONDS = 0.5  # flows are made, queues fill
DRAIN_SECONDS = 0.3  # what waits in queues has gone on
GRACE_SECONDS = 20.0  # beyond what a loader was told to take
CONNECTIONS, THREADS = 64, 2  # of wrk
MOST_LOST = 0.001  # of HTTP requests; more is not a rate of requests


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


def datagrams(stand: Stand, seconds: float, rate: float = 0) -> Delivery:
    """Send datagrams for so long, at a rate or as many as go; count what reached the backend.

    Counted while the load goes on, so that what waits in a queue at the end does not count.
    """
    stand.sender.send(WARM_UP_SECONDS, rate)
    cpu, before, began = CpuTime.now(), stand.delivered(), time.monotonic()
    sent = stand.sender.send(seconds, rate)
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
    command += ["-t", str(max(1, round(seconds))), *(["-R"] if from_backend else [])]
    return read_iperf3(call(stand, command, seconds))


def requests(stand: Stand, seconds: float, *, kept: bool) -> float:
    """Return the HTTP requests a second, over kept connections or over a new one each, by wrk."""
    command = ["wrk", "-t", str(THREADS), "-c", str(CONNECTIONS)]
    command += ["-d", f"{max(1, round(seconds))}s", *([] if kept else ["-H", "Connection: close"])]
    return read_wrk(call(stand, [*command, f"http://{VIP}:{HTTP_PORT}/"], seconds))


def call(stand: Stand, command: list[str], seconds: float) -> str:
    """Return what a loader in the client's namespace printed; MeasureError where it failed."""
    limit = seconds + GRACE_SECONDS

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)

    try:
        done = call_inside(stand.client, start)
    except subprocess.TimeoutExpired as error:
        raise MeasureError(f"{command[0]} did not end within {limit:.0f} s") from error
    time.sleep(DRAIN_SECONDS)
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


def read_wrk(text: str) -> float:
    """Return the requests a second, from what wrk prints; MeasureError where requests failed."""
    rate = re.search(r"^Requests/sec:\s*([\d.]+)", text, re.MULTILINE)
    count = re.search(r"^\s*(\d+) requests in", text, re.MULTILINE)
    if rate is None or count is None or not int(count[1]):
        raise MeasureError("wrk had no answer")
    told = re.findall(r"(?:connect|read|write|timeout|Non-2xx or 3xx responses:) (\d+)", text)
    lost = sum(int(each) for each in told)
    if lost > MOST_LOST * int(count[1]):
        raise MeasureError(f"{lost} of {count[1]} requests failed")
    return float(rate[1])


def unless(program: str) -> str:
    """Return why a loader cannot be used here, or nothing."""
    return "" if shutil.which(program) else f"no {program} here: {INSTALL}"
