"""The packet path alone: one process, no I/O.

Packets are made before the clock runs, and compiled code copies them into slots in the order they
come. The copy is measured by itself and taken away: what is left is `process_batch`, from parse to
the output frame. Every run is checked: all packets were forwarded, or there is no figure.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.core_bed import PAYLOAD, TABLE, Bed, Memory, calls_of
from bench.core_driver import COPIED, FOUND, PARSED, REWRITTEN, WHOLE
from bench.results import OURS, Aim, Measure, MeasureError
from natlb.bench import forge
from natlb.bench.forge import ACK, SYN, TCP, UDP
from natlb.core.layout import PRIVATE, PUBLIC
from natlb.core.memory import SECRET_BYTES
from natlb.io.shared import create_flows
from natlb.jit import COMPILED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from bench.core_driver import Load
    from bench.results import Session, Settings
    from natlb.bench.forge import Ends

PART = "core"
PROTOCOLS = {UDP: "UDP", TCP: "TCP"}
PACKETS = "M packets/s"
NANOSECONDS = "ns a packet"
PICKS = 2_000_000
VISITS = 1 << 20  # packets in a load; each flow of a million comes about once
NEW_FLOWS = 999_936  # whole batches of them, and not quite as many as the table has rows
SEED = 1

NOTE = (
    "core: frames of 64 octets, half of them answers, flows visited at random, 64 in a batch; the "
    "cost of copying packets into slots was measured apart and is taken away"
)
STAGES = (COPIED, PARSED, FOUND, REWRITTEN, WHOLE)
AIMS = {1_000: Aim(at_least=10.0), 1_000_000: Aim(at_least=3.0)}
NEW_FLOWS_AIM = Aim(at_least=1.5)
BYTES_AIM = Aim(at_most=210)
LARGE = 10_000_000  # flows of the largest table that is measured: 2.1 GB
SLOWER_AIM = Aim(at_most=2.0)
PAUSE_AIM = Aim(at_most=1.0)
LONG_AFTER = 1 << 30  # milliseconds: every flow has run out by then


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Established flows that are visited at random, in both directions."""

    protocol: int
    flows: int
    memory: Memory = "shared"
    in_stages: bool = False

    @property
    def words(self) -> str:
        """What the report calls it."""
        where = "" if self.memory == "shared" else ", table in private memory"
        return f"{PROTOCOLS[self.protocol]}, {self.flows:,} flows{where}"


CASES = (
    Case(protocol=UDP, flows=1_000, in_stages=True),
    Case(protocol=TCP, flows=1_000),
    Case(protocol=UDP, flows=1_000_000, in_stages=True),
    Case(protocol=TCP, flows=1_000_000),
    Case(protocol=UDP, flows=1_000_000, memory="private"),
)


class Stages(NamedTuple):
    """Nanoseconds a packet as far as each stage, the copy taken away."""

    parsed: float
    found: float
    rewritten: float
    whole: float


def run(session: Session) -> Iterator[Measure]:
    """Measure all there is to measure of the core."""
    settings, say = session.settings, session.say
    if not COMPILED:
        raise MeasureError("NATLB_JIT=0: an interpreted core is to be read, not to be measured")
    session.notes.append(NOTE)
    say("compiling the loops around the core, where that was not done before")
    bed = Bed()
    yield bytes_a_flow()
    yield from picking(bed, settings)
    del bed  # 200 MB
    for case in CASES:
        say(f"established flows: {case.words}")
        yield from established(case, settings)
    say("the largest table")
    yield slower_in_large(settings)
    say("flows that run out together")
    yield pause(settings)
    for touched in (True, False):
        say(f"new flows, {table_words(touched=touched)}")
        yield new_flows(settings, touched=touched)


def bytes_a_flow() -> Measure:
    """Return what a flow takes of a table for a million, its share of index and header included."""
    fd = create_flows(TABLE, os.urandom(SECRET_BYTES), 0)
    octets = os.fstat(fd).st_size / TABLE
    os.close(fd)
    return Measure(
        part=PART,
        name="memory of a flow",
        unit="octets",
        figures={OURS: (octets,)},
        aim=BYTES_AIM,
    )


def picking(bed: Bed, settings: Settings) -> Iterator[Measure]:
    """Measure policies alone, called as the pipeline calls them."""
    for service, policy in (("tcp", "round-robin"), ("hashed", "source-hash")):
        bed.pick(service, PICKS // 10)
        figures = tuple(bed.pick(service, PICKS) for _ in range(settings.repetitions))
        yield measure(f"pick: {policy}", "ns a flow", figures)


def established(case: Case, settings: Settings) -> Iterator[Measure]:
    """Measure packets of flows that are there, and for some cases each stage of their way."""
    bed = Bed(memory=case.memory, rows=max(TABLE, case.flows))
    load = visits(bed, case)
    bed.take(load, WHOLE)  # caches and pages as they will be
    stages = STAGES if case.in_stages else (COPIED, WHOLE)
    taken = [net(bed, load, stages, settings.rounds) for _ in range(settings.repetitions)]
    aim = AIMS[case.flows] if case.memory == "shared" else None
    name = f"established flows: {case.words}"
    yield measure(name, PACKETS, [1000 / each[-1] for each in taken], aim)
    if case.in_stages:
        yield from stage_measures(case, [Stages(*each) for each in taken])


def slower_in_large(settings: Settings) -> Measure:
    """Measure how much longer a packet takes in a table of ten million flows than of one."""
    taken = []
    for flows in (LARGE // 10, LARGE):
        bed = Bed(rows=flows)
        load = visits(bed, Case(protocol=UDP, flows=flows))
        bed.take(load, WHOLE)
        stages = (COPIED, WHOLE)
        taken.append(
            [net(bed, load, stages, settings.rounds)[0] for _ in range(settings.repetitions)]
        )
        del bed, load  # 2 GB
    figures = [large / small for small, large in zip(*taken, strict=True)]
    return measure("a packet at 10,000,000 flows, to 1,000,000", "times", figures, SLOWER_AIM)


def pause(settings: Settings) -> Measure:
    """Measure the longest that packets wait while a million flows run out together."""
    figures = []
    for _ in range(settings.repetitions):
        bed = Bed()
        make_flows(bed, calls_of(NEW_FLOWS, UDP), UDP)
        figures.append(max(bed.pauses(LONG_AFTER)))
    return measure("longest pause, 1,000,000 flows running out", "ms", figures, PAUSE_AIM)


def net(bed: Bed, load: Load, stages: Sequence[int], rounds: int) -> list[float]:
    """Return nanoseconds a packet as far as each stage but the first, which is taken from them."""
    copied, *rest = (bed.take(load, stage, rounds) for stage in stages)
    return [each - copied for each in rest]


def stage_measures(case: Case, taken: list[Stages]) -> Iterator[Measure]:
    """Give what each stage adds to the one before."""
    adds = {
        "parse": [each.parsed for each in taken],
        "hash and look up": [each.found - each.parsed for each in taken],
        "rewrite": [each.rewritten - each.found for each in taken],
        "judge, follow, count, put out": [each.whole - each.rewritten for each in taken],
    }
    for stage, figures in adds.items():
        yield measure(f"of which {stage}: {case.words}", NANOSECONDS, figures)


def visits(bed: Bed, case: Case) -> Load:
    """Make the case's flows, and return packets of theirs at random, half of them answers."""
    calls = calls_of(case.flows, case.protocol)
    answers = make_flows(bed, calls, case.protocol)
    random = np.random.default_rng(SEED)
    rows = random.integers(0, case.flows, VISITS)
    ways = random.integers(PUBLIC, PRIVATE + 1, VISITS)
    pairs = zip(calls.chosen(rows), answers.chosen(rows), strict=True)
    ends = forge.Ends(*(np.where(ways == PUBLIC, call, answer) for call, answer in pairs))
    return bed.load(packets(ends, case.protocol), ways)


def make_flows(bed: Bed, calls: Ends, protocol: int) -> Ends:
    """Open a flow for each of the calls, both ways; return the ends of the answers."""
    bed.take(bed.load(packets(calls, protocol, SYN), PUBLIC), WHOLE)
    answers = bed.answers_to(calls)
    bed.take(bed.load(packets(answers, protocol, SYN | ACK), PRIVATE), WHOLE)
    bed.take(bed.load(packets(calls, protocol), PUBLIC), WHOLE)
    return answers


def packets(ends: Ends, protocol: int, flags: int = ACK) -> NDArray[np.uint8]:
    """Return the smallest packets that a protocol has: frames of 64 octets on Ethernet."""
    return forge.udp4(ends, PAYLOAD) if protocol == UDP else forge.tcp4(ends, flags)


def new_flows(settings: Settings, *, touched: bool) -> Measure:
    """Measure first packets, each of which makes a flow, from an empty table to a full one."""
    figures = [insert_all(touched=touched) for _ in range(settings.repetitions)]
    name = f"new flows: UDP, {table_words(touched=touched)}"
    return measure(name, "M flows/s", figures, NEW_FLOWS_AIM)


def insert_all(*, touched: bool) -> float:
    """Return how many million flows a second were made in a new table."""
    bed = Bed(touched=touched)
    load = bed.load(packets(calls_of(NEW_FLOWS, UDP), UDP), PUBLIC)
    copied = bed.take(load, COPIED)
    return 1000 / (bed.take(load, WHOLE) - copied)


def table_words(*, touched: bool) -> str:
    """Return how the table's memory was before."""
    return "a table touched before" if touched else "a table never touched"


def measure(name: str, unit: str, figures: Sequence[float], aim: Aim | None = None) -> Measure:
    """Return a line of this part of the report."""
    return Measure(part=PART, name=name, unit=unit, figures={OURS: tuple(figures)}, aim=aim)
