"""`python -m bench [PART]... [--quick]`: measure, print, write it down; no part means all."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.results import QUICK, MeasureError, Results, Session, Settings
from natlb.errors import BusyError, NatlbError, WaitTimeoutError
from natlb.lab import rights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.results import Measure

RESULTS = Path(__file__).parent / "results"
IN_NAMESPACES = ("start",)
PARTS = ("core", "workers", "policies", "checks", *IN_NAMESPACES)
INTERRUPTED = 130
FAILED = 70


def main() -> int:
    """Return the exit status: 0 whether aims are met or not, 130 if interrupted."""
    given = parse(sys.argv[1:])
    began = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:6.1f} s  {line}\n")

    try:
        with alone():
            return bench(given, say)
    except KeyboardInterrupt:
        return INTERRUPTED
    except NatlbError as error:
        fix = f"fix: {error.fix}\n" if error.fix else ""
        sys.stderr.write(f"error: {error}\n{fix}")
        return error.exit_code
    except MeasureError as error:
        sys.stderr.write(f"error: {error}\n")
        return FAILED


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; or all")
    parser.add_argument("--quick", action="store_true", help="once and short: does it all work?")
    parser.add_argument("--repetitions", type=int, metavar="N", help="instead of 3, or of 1 quick")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the results")
    parser.add_argument("--minutes", type=float, default=40, help="give up after so long")
    given = parser.parse_args(arguments)
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {min(unknown)!r}; there are {', '.join(PARTS)}")
    given.parts = [part for part in PARTS if part in (given.parts or PARTS)]
    return given


@contextmanager
def alone() -> Iterator[None]:
    """Keep other runs from this tree away meanwhile: two would measure each other."""
    here = os.open(Path(__file__).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(here, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BusyError("another run measures already", fix="wait for its end") from error
    finally:
        os.close(here)


def bench(given: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Measure the parts asked for; what was measured is written even if the rest fails."""
    in_namespaces = any(part in IN_NAMESPACES for part in given.parts)
    if in_namespaces:
        rights.check_tun()
        rights.enter(make=True)  # before NumPy is loaded: it must be the only thread
    try:
        settings = QUICK if given.quick else Settings()
        if given.repetitions is not None:
            settings = replace(settings, repetitions=max(1, given.repetitions))
        report_run(given, Session(settings=settings, say=say))
    finally:
        if in_namespaces:
            rights.settle()
    return 0


def report_run(given: argparse.Namespace, session: Session) -> None:
    """Measure, print and write."""
    from bench import report  # noqa: PLC0415 - after `rights.enter`
    from natlb.bench import machine  # noqa: PLC0415

    began = time.monotonic()
    described = machine.describe()
    name = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H%M%SZ")
    measures: list[Measure] = []
    try:
        with limited(60 * given.minutes):
            measure_all(given.parts, session, measures)
    except BaseException as error:
        session.left_out["the rest"] = f"the run ended early: {str(error) or type(error).__name__}"
        raise
    finally:
        results = Results(
            machine=described,
            settings=session.settings,
            measures=tuple(measures),
            notes=tuple(session.notes),
            left_out=session.left_out,
            seconds=time.monotonic() - began,
        )
        if measures:
            sys.stdout.write(report.markdown(results))
            for path in report.write(results, given.output, name):
                session.say(f"written: {path}")


def measure_all(parts: Sequence[str], session: Session, measures: list[Measure]) -> None:
    """Add the measures of all parts; every lab is removed, whatever happens."""
    from bench import checks, core, policies, start, workers  # noqa: PLC0415 - after `rights.enter`
    from natlb.bench.stand import clean_up  # noqa: PLC0415
    from natlb.lab.demonstration import signals_interrupt  # noqa: PLC0415

    runs = {
        "core": core.run,
        "workers": workers.run,
        "policies": policies.run,
        "checks": checks.run,
        "start": start.run,
    }
    with signals_interrupt():
        for part in parts:
            try:
                for measure in runs[part](session):
                    measures.append(measure)  # noqa: PERF402 - a failure later takes none away
            finally:
                surely(clean_up)


def surely(clean_up: Callable[[], None]) -> None:
    """Clean up, once more where a signal or the time's end came right then: neither comes twice."""
    try:
        clean_up()
    except (KeyboardInterrupt, WaitTimeoutError):
        clean_up()
        raise


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise WaitTimeoutError in the block once it has taken so long."""

    def give_up(*_: object) -> None:
        raise WaitTimeoutError(f"not done after {seconds / 60:.0f} minutes")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    sys.exit(main())
