"""One run from start to end: rights, stands, rounds, results written, nothing left behind."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from natlb.bench import loads as loads_
from natlb.bench import memory
from natlb.bench.alone import TimeIsUpError, alone, limited
from natlb.bench.columns import COLUMNS, choose
from natlb.bench.loads import LOADS
from natlb.bench.machine import busy_note, describe
from natlb.bench.results import Results, Session, Settings
from natlb.bench.rounds import estimate, measure_all, usable_columns, usable_loads
from natlb.bench.servers import http_note
from natlb.bench.stand import clean_up, stand
from natlb.bench.warden import watched
from natlb.errors import DeniedError, HostError, NatlbError, UnavailableError
from natlb.lab import rights
from natlb.lab.demonstration import signals_interrupt
from natlb.lab.lifecycle import remove_abandoned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from natlb.bench.forwarders import Forwarder
    from natlb.bench.loads import Load

    Say = Callable[[str], None]

QUICK = Settings(rounds=1, seconds=1.0)
SPARE_SECONDS = 600.0  # a first compile on a slow machine, several times
INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured, checked: names that there are."""

    columns: list[Forwarder]
    loads: list[Load]
    settings: Settings


def plan(columns: str | None, loads: str | None, settings: Settings) -> Plan:
    """Return what is asked for by names; UsageError of one that is not there."""
    return Plan(
        columns=choose(COLUMNS, columns, "--columns"),
        loads=choose(LOADS, loads, "--loads"),
        settings=settings,
    )


def check_folder(folder: Path) -> None:
    """Make the folder of the results; HostError where they could not be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".natlb-bench"
        probe.touch()
        probe.unlink()
    except OSError as error:
        why = f"cannot write results to '{folder}': {error.strerror}"
        raise HostError(why, fix="natlb bench --output FOLDER") from error


def run(wanted: Plan, say: Say) -> Results:
    """Return what was measured; what a signal or the time's end left undone is said in it.

    BusyError beside another run; DeniedError where this user can make no namespaces.
    """
    session = Session(settings=wanted.settings, say=say)
    with alone():
        able = usable(wanted, session)  # what may be opened here, as the user's own
        try:
            rights.enter(make=True)  # before NumPy is loaded: it must be the only thread
        except (DeniedError, HostError) as error:
            fix = (error.fix or "sudo natlb bench").replace("natlb lab …", "natlb bench")
            raise type(error)(error.message, fix=fix) from error
        try:
            with watched():
                return measured(able, session)
        finally:
            rights.settle()


def usable(wanted: Plan, session: Session) -> Plan:
    """Return what this machine has of the plan; UnavailableError where that is nothing."""
    columns = usable_columns(wanted.columns, session)
    loads = usable_loads(wanted.loads, session)
    if not columns or not loads:
        what = "columns" if not columns else "loads"
        raise UnavailableError(f"none of the {what} asked for can be measured here")
    return Plan(columns=columns, loads=loads, settings=wanted.settings)


def measured(wanted: Plan, session: Session) -> Results:
    """Measure in a place where namespaces can be made, and remove all that was made."""
    began = time.monotonic()
    machine = describe()
    session.notes += [loads_.CPU_NOTE, loads_.CLOSED_NOTE, http_note(), memory.NOTE]
    if note := busy_note():
        session.notes.append(note)
        session.say(f"warning: {note}")
    remove_abandoned(lambda _: None)
    ended_early = under_way(wanted, session)
    return Results(
        machine=machine,
        settings=wanted.settings,
        columns=tuple(session.columns),
        measures=tuple(session.measures),
        notes=tuple(session.notes),
        left_out=session.left_out,
        seconds=time.monotonic() - began,
        ended_early=ended_early,
    )


def under_way(wanted: Plan, session: Session) -> str:
    """Measure; return why it ended early, or nothing."""
    columns, loads = wanted.columns, wanted.loads
    seconds = estimate(loads, columns, wanted.settings)
    session.say(announcement(len(loads), len(columns), wanted.settings, seconds))
    try:
        with signals_interrupt():
            try:
                with limited(2 * seconds + SPARE_SECONDS), ExitStack() as stack:
                    measure_all(stack, columns, loads, session, stand)
            finally:
                surely_clean_up()
    except KeyboardInterrupt:
        return INTERRUPTED
    except TimeIsUpError as error:
        return str(error)
    return ""


def announcement(loads: int, columns: int, settings: Settings, seconds: float) -> str:
    """Return what will be done, and how long it will take."""
    length = f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"
    counts = (loads, "load"), (columns, "column"), (settings.rounds, "round")
    told = ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts)
    work = f"{told} of {settings.seconds:g} s"
    return f"{work}: about {length}, and minutes more where natlb is compiled for the first time"


def surely_clean_up() -> None:
    """Clean up, once more where a signal or the time's end came right then: neither comes twice."""
    try:
        clean_up()
    except (KeyboardInterrupt, TimeIsUpError, NatlbError):
        clean_up()
        raise
