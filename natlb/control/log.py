"""The log of supervisor and control: past facts with fields, on standard error.

    2026-01-02T03:04:05Z info worker_replaced index=0 pid=12 milliseconds=3.1

or the same as one JSON object a line. Where standard error is the journal, which has the time
itself, a line has none and begins with its priority: `<6>info worker_replaced …`. What recurs is
limited (`repetition`). A reader that went away stops no process.

A fact is one line whatever is in its fields: what is not printable is escaped, so that no name
and no answer of a backend can forge a line or move a terminal's cursor.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, TextIO, cast

import structlog

from natlb.control.repetition import Repetition

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # syslog's
STANDARD_ERROR = 2
MOST_CHARACTERS = 8192  # of a value: the journal cuts lines at 48 KiB
QUOTED = frozenset(' ="\\')  # and nothing: what a reader could not tell the end of

repetition = Repetition()


class _StandardError:
    """Standard error as it is at the moment of writing; what cannot be written is lost."""

    def write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def configure(level: int = logging.INFO, *, json: bool = False) -> None:
    """Log from this level on, as text or JSON; loggers made before follow."""
    is_journal = writes_to_journal(os.environ.get("JOURNAL_STREAM", ""))
    stamp = structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ", utc=True)
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        repetition,
        *([] if is_journal else [stamp]),
        structlog.processors.format_exc_info,
        shortened,
        structlog.processors.JSONRenderer() if json else render_text,
    ]
    structlog.configure(
        processors=[_prioritised(processors)] if is_journal else processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _StandardError())),
        cache_logger_on_first_use=False,
    )


def writes_to_journal(stream: str, descriptor: int = STANDARD_ERROR) -> bool:
    """Tell whether a descriptor is the journal's `DEVICE:INODE` (systemd.exec(5)).

    Who redirects natlb's standard error inherits the variable and not the journal.
    """
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return stream == f"{found.st_dev}:{found.st_ino}"


def _prioritised(processors: list[Processor]) -> Processor:
    """Return these as one, which puts the level in front of the line as sd-daemon(3) has it."""

    def render(logger: WrappedLogger, name: str, event: EventDict) -> str:
        line: object = event
        for processor in processors:
            line = processor(logger, name, cast("EventDict", line))
        return f"<{PRIORITIES.get(name, 6)}>{line}"

    return render


def shortened(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Return the line with no text in it longer than anybody reads."""
    for key, value in event.items():
        if isinstance(value, str) and len(value) > MOST_CHARACTERS:
            event[key] = f"{value[:MOST_CHARACTERS]}… {len(value)} characters"
    return event


def render_text(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    """Return the line: time, level, what happened, fields."""
    head = [str(event.pop(key)) for key in ("timestamp", "level", "event") if key in event]
    return " ".join([*head, *(f"{key}={spelled(value)}" for key, value in event.items())])


def spelled(value: object) -> str:
    """Return a field's value in one word or in quotes, on one line, with nothing unprintable."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return spelled(",".join(map(str, value)))
    text = str(value)
    if text and text.isprintable() and not QUOTED.intersection(text):
        return text
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def tell_suppressed() -> None:
    """Log how many lines were left out, of what has been over for a while; call it every second."""
    for level, kind, words in repetition.over():
        getattr(structlog.get_logger(), level)(kind, **words)


def say(line: str) -> None:
    """Write a line that is no log: `ready …`, the progress of a cold compile."""
    error = _StandardError()
    error.write(line + "\n")
    error.flush()
