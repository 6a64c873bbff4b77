"""The log's lines."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

import structlog

from natlb.control import log

if TYPE_CHECKING:
    import pytest


def test_a_line_is_time_level_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """In the words of the house: a past fact, and what it is about."""
    log.configure()
    structlog.get_logger().info("worker_replaced", pid=12, reason="it was killed")
    line = capsys.readouterr().err

    assert line.split(" ", 1)[1] == 'info worker_replaced pid=12 reason="it was killed"\n'
    assert line[:4].isdecimal()


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """For those who collect them."""
    log.configure(json=True)
    structlog.get_logger().warning("worker_died", pid=12)
    line = json.loads(capsys.readouterr().err)

    assert (line["level"], line["event"], line["pid"]) == ("warning", "worker_died", 12)


def test_levels_below_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Also by loggers that were made before."""
    logger = structlog.get_logger()
    log.configure(logging.ERROR)
    logger.warning("not_said")
    logger.error("said")

    assert "not_said" not in (err := capsys.readouterr().err)
    assert "said" in err


def test_a_reader_that_went_away_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """`natlb run 2>&1 | head` must go on forwarding."""

    class Gone:
        def write(self, _: str = "") -> None:
            raise BrokenPipeError

        flush = write

    monkeypatch.setattr(sys, "stderr", Gone())
    log.configure()
    structlog.get_logger().info("event")
    log.say("ready")
