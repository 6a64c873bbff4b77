"""Floods of forged SYNs: no established connection is lost, and honest ones still get in.

A short one for each change, and the long ones for `make soak`: a minute at half of what natlb can
take, filling the table twice over, and a minute at all that the sender can send.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import pytest

from tests.netns.flood_lab import Flood, FloodLab, Visit, Visitors, flood_lab

if TYPE_CHECKING:
    from natlb.model import Statistics

pytestmark = pytest.mark.netns

STAY, COME = 200, 20
RECOVERY_SECONDS = 5.0
AFTER_SECONDS = 8.0  # watched once the flood is over
MINUTE = 60.0


@dataclass
class Seen:
    """What a flood did; times in seconds, shares of 1."""

    flood_rate: float
    taken_rate: float
    lost: list[str]
    longest_answer: float
    share: float
    times: dict[str, float] = field(default_factory=dict)
    recovery: float = 0.0
    flows: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    refused_after: int = 0
    gone_flows: int = 0


def flooded(lab: FloodLab, *, seconds: float, rate: float, different: int) -> Seen:
    """Flood the lab among honest visitors, and return what became of them."""
    flood = Flood(lab, seconds=seconds, rate=rate, different=different)
    with flood, Visitors(lab.net.client, stay=STAY, come=COME) as visitors:
        time.sleep(1)
        before, began = lab.api.stats(), time.monotonic()
        flood.begin()
        sent = flood.wait()
        ended, after = time.monotonic(), lab.api.stats()
        time.sleep(RECOVERY_SECONDS)
        recovered = lab.api.stats()
        time.sleep(AFTER_SECONDS - RECOVERY_SECONDS)
        lost = visitors.lost()
        last = lab.api.stats()
        clients = {each.client for each in visitors.staying}
        gone = len(clients - lab.established())
    during = [visit for visit in visitors.visits if began <= visit.began < ended]
    later = [visit for visit in visitors.visits if visit.began >= ended]
    assert len(during) > seconds * COME * 0.9
    assert len(later) > AFTER_SECONDS * COME * 0.8
    return Seen(
        flood_rate=sent.rate,
        taken_rate=(after.flows.opened - before.flows.opened) / (ended - began),
        lost=[each.failed or "silent" for each in lost],
        longest_answer=max(each.longest for each in visitors.staying),
        share=sum(not visit.failed for visit in during) / len(during),
        times=quantiles(during),
        recovery=max((v.began - ended for v in later if not v.is_prompt), default=0.0),
        flows=asdict(last.flows),
        refused=refused(last),
        refused_after=sum(refused(last).values()) - sum(refused(recovered).values()),
        gone_flows=gone,
    )


def refused(stats: Statistics) -> dict[str, int]:
    """Return by reason what went no further, answered or not."""
    reasons = stats.drops.keys() | stats.replies.keys()
    return {why: stats.drops.get(why, 0) + stats.replies.get(why, 0) for why in reasons}


def quantiles(visits: list[Visit]) -> dict[str, float]:
    """Return how long the visits took that came to their end."""
    times = sorted(visit.took for visit in visits if not visit.failed) or [0.0]
    return {"median": median(times), "p95": times[len(times) * 95 // 100], "most": times[-1]}


def report(what: str, seen: object) -> None:
    """Say what was measured to whoever runs pytest with -s or -rA."""
    sys.stdout.write(f"{what}: {json.dumps(seen, default=asdict)}\n")


def assert_nothing_established_is_lost(seen: Seen) -> None:
    """Neither at its ends nor in natlb."""
    assert seen.lost == []
    assert seen.gone_flows == 0
    assert not seen.refused.keys() & {"table-full", "rate-limit"}


def assert_honest_ones_get_in(seen: Seen) -> None:
    """While it lasts and, without a lost SYN, soon after."""
    assert seen.share >= 0.95
    assert seen.recovery < RECOVERY_SECONDS
    assert seen.refused_after == 0


def test_a_full_table_loses_its_forged_flows_and_no_others() -> None:
    """Filled eight times over in eight seconds: each row is given up after one."""
    rows = 20_000
    with flood_lab(rows) as lab:
        seen = flooded(lab, seconds=8, rate=rows, different=8 * rows)
    report("short flood", seen)

    assert_nothing_established_is_lost(seen)
    assert_honest_ones_get_in(seen)
    assert seen.flows["peak"] == rows
    assert seen.flows["evicted"] > 2 * rows


# The long ones


FIRST_STEP, STEP = 40_000, 1.25  # SYNs a second; each step so much faster than the last
STEP_SECONDS = 3.0
KEEPS_UP = 0.97  # taken of sent; a table's and a sender's clocks are read one after the other


@pytest.fixture(scope="module")
def capacity() -> float:
    """Return the most SYNs a second that natlb takes on this machine, each answered.

    Faster and faster until it does not keep up: a sender that sends all it can takes the cores
    that natlb, the kernel and the backend need, and then fewer are taken than at a lower rate.
    """
    best, rate = 0.0, float(FIRST_STEP)
    with flood_lab(100_000) as lab:
        while True:
            sent, taken = taken_at(lab, rate)
            best, rate = max(best, taken), rate * STEP
            if taken < KEEPS_UP * sent:
                break
        at_once, of_them = taken_at(lab, 0)
    report("capacity", {"syns": best, "sent as many as go": at_once, "of them taken": of_them})
    return best


def taken_at(lab: FloodLab, rate: float) -> tuple[float, float]:
    """Return how many SYNs a second were sent, and of how many natlb made flows."""
    with Flood(lab, seconds=STEP_SECONDS, rate=rate, different=1_000_000) as flood:
        before, began = lab.api.stats(), time.monotonic()
        flood.begin()
        sent = flood.wait()
        after, ended = lab.api.stats(), time.monotonic()
    return sent.rate, (after.flows.opened - before.flows.opened) / min(ended - began, sent.seconds)


@pytest.mark.soak
def test_a_minute_at_half_of_what_it_takes(capacity: float) -> None:
    """Filling the table twice over."""
    rate = capacity / 2
    with flood_lab(round(rate * MINUTE / 2)) as lab:
        seen = flooded(lab, seconds=MINUTE, rate=rate, different=round(rate * MINUTE))
    report("half", seen)

    assert_nothing_established_is_lost(seen)
    assert_honest_ones_get_in(seen)
    assert seen.flows["opened"] > 1.9 * rate * MINUTE / 2


@pytest.mark.soak
def test_a_minute_at_all_that_can_be_sent() -> None:
    """The queue before natlb overflows, so honest packets are lost too: what is held stays."""
    rows = 200_000
    with flood_lab(rows) as lab:
        seen = flooded(lab, seconds=MINUTE, rate=0, different=10 * rows)
    report("full", seen)

    assert_nothing_established_is_lost(seen)
    assert seen.recovery < RECOVERY_SECONDS
    assert seen.flows["opened"] > 2 * rows
