"""Through TUN in namespaces, beside a bare forwarder, the kernel's own DNAT and connection proxies.

All forwarders stand ready in labs of their own. Each trial goes round them once a repetition, so
that what the machine does besides meets all of them alike.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.forwarders import FORWARDERS
from bench.results import OURS, Aim, Measure, MeasureError
from bench.stand import Stand, stand
from bench.traffic import bulk, datagrams, requests, unless
from natlb.errors import NatlbError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.results import Session

PART = "tun"
RATE = 50_000  # datagrams a second that every forwarder here can take
FLOWS = "64-byte UDP, 1,000 flows"
PACKETS_AIM = Aim(at_least=0.95, of="bare")
CPU_NOTE = (
    "CPU: all that the machine worked meanwhile, the sender's part included, divided by the "
    "packets that reached the backend"
)
BULK_AIM = Aim(at_least=0.45, of="nft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a trial's in the report."""

    name: str
    unit: str
    aim: Aim | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One load, and the lines that it gives; `packets`: connection proxies cannot take it."""

    about: str
    lines: tuple[Line, ...]
    take: Callable[[Stand, float], tuple[float, ...]]
    packets: bool = False
    loader: str = ""


def flood(stand: Stand, seconds: float) -> tuple[float, ...]:
    """Send as many datagrams as go."""
    came = datagrams(stand, seconds)
    return came.delivered_per_second / 1000, came.sent_per_second / 1000, came.cpu_us


def trickle(stand: Stand, seconds: float) -> tuple[float, ...]:
    """Send datagrams at a rate that leaves the machine idle half the time."""
    came = datagrams(stand, seconds, RATE)
    return came.cpu_us, came.share


def bulk_trial(streams: int, *, from_backend: bool) -> Trial:
    """Return a trial of bulk TCP."""
    where = "from the backend" if from_backend else "to the backend"
    words = f"bulk TCP, {streams} stream{'s' if streams > 1 else ''}, {where}"
    return Trial(
        about=words,
        lines=(Line(name=words, unit="Gb/s", aim=BULK_AIM if streams > 1 else None),),
        take=lambda stand, s: (bulk(stand, s, streams=streams, from_backend=from_backend),),
        loader="iperf3",
    )


def request_trial(words: str, *, kept: bool) -> Trial:
    """Return a trial of HTTP requests."""
    return Trial(
        about=words,
        lines=(Line(name=words, unit="k requests/s"),),
        take=lambda stand, s: (requests(stand, s, kept=kept) / 1000,),
        loader="wrk",
    )


TRIALS = (
    Trial(
        about=f"{FLOWS}, as many as go",
        lines=(
            Line(name=f"{FLOWS}: delivered", unit="k packets/s", aim=PACKETS_AIM),
            Line(name=f"{FLOWS}: sent meanwhile", unit="k packets/s"),
            Line(name=f"{FLOWS}: whole machine's CPU", unit="µs a packet"),
        ),
        take=flood,
        packets=True,
    ),
    Trial(
        about=f"{FLOWS}, {RATE:,} a second",
        lines=(
            Line(name=f"{FLOWS}, {RATE:,}/s: whole machine's CPU", unit="µs a packet"),
            Line(name=f"{FLOWS}, {RATE:,}/s: delivered", unit="%"),
        ),
        take=trickle,
        packets=True,
    ),
    *(bulk_trial(streams, from_backend=back) for streams in (1, 4) for back in (False, True)),
    request_trial("HTTP, kept connections", kept=True),
    request_trial("HTTP, a new connection for each request", kept=False),
)


def run(session: Session) -> Iterator[Measure]:
    """Measure all there is to measure through TUN; the labs stay for `clean_up`."""
    with ExitStack() as stack:
        stands = list(ready_stands(stack, session))
        session.notes.extend(f"{each.forwarder.name}: {each.forwarder.about}" for each in stands)
        session.notes.extend((http_note(), CPU_NOTE))
        for trial in TRIALS:
            why_not = unless(trial.loader) if trial.loader else ""
            if why_not:
                session.left_out[trial.about] = why_not
            else:
                yield from measures_of(trial, stands, session)


def http_note() -> str:
    """Return which server answered."""
    slow = "natlb's own server for labs, slower than any forwarder: apt-get install nginx"
    return f"HTTP: wrk asks {'nginx' if shutil.which('nginx') else slow}"


def ready_stands(stack: ExitStack, session: Session) -> Iterator[Stand]:
    """Give a stand for each forwarder that this machine has; ours must be among them."""
    for forwarder in FORWARDERS:
        why_not = forwarder.why_not()
        if why_not:
            session.left_out[forwarder.name] = why_not
            continue
        try:
            ready = stack.enter_context(stand(forwarder, session.say))
        except (MeasureError, NatlbError) as error:
            if forwarder.name == OURS:
                raise
            session.left_out[forwarder.name] = str(error)
        else:
            yield ready


def measures_of(trial: Trial, stands: list[Stand], session: Session) -> Iterator[Measure]:
    """Take a trial of every stand in turn, as often as there are repetitions."""
    able = [each for each in stands if each.forwarder.packets or not trial.packets]
    taken: dict[str, list[tuple[float, ...]]] = {each.forwarder.name: [] for each in able}
    for repetition in range(session.settings.repetitions):
        session.say(f"{trial.about}: {repetition + 1} of {session.settings.repetitions}")
        for each in list(able):
            try:
                taken[each.forwarder.name].append(trial.take(each, session.settings.seconds))
            except MeasureError as error:
                session.left_out[f"{trial.about}, {each.forwarder.name}"] = str(error)
                able.remove(each)  # what it has so far was taken in the same rounds as the others'
    for at, line in enumerate(trial.lines):
        figures = {name: tuple(each[at] for each in rounds) for name, rounds in taken.items()}
        yield Measure(part=PART, name=line.name, unit=line.unit, figures=figures, aim=line.aim)
