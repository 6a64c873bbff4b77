"""The log of supervisor and control: past facts with fields, on standard error.

    2026-01-02T03:04:05Z info worker_replaced index=0 pid=12 milliseconds=3.1

or the same as one JSON object a line. A reader that went away stops no process.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, TextIO, cast

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


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
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer() if json else render_text,
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _StandardError())),
        cache_logger_on_first_use=False,
    )


_fields = structlog.processors.LogfmtRenderer()


def render_text(logger: WrappedLogger, name: str, event: EventDict) -> str:
    """Return the line: time, level, what happened, fields."""
    head = [str(event.pop(key, "")) for key in ("timestamp", "level", "event")]
    return " ".join([*head, *([str(_fields(logger, name, event))] if event else [])])


def say(line: str) -> None:
    """Write a line that is no log: `ready …`, the progress of a cold compile."""
    error = _StandardError()
    error.write(line + "\n")
    error.flush()
