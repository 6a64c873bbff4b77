"""The log's lines."""

from __future__ import annotations

import json
import logging
import os
import sys

import pytest
import structlog

from natlb.control import log
from natlb.control.repetition import MOST_LINES, SECONDS, Repetition


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


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("web", "web"),
        ("it was killed", '"it was killed"'),
        ("a\n2026-01-02T03:04:05Z error forged x=1", r'"a\n2026-01-02T03:04:05Z error forged x=1"'),
        ("\x1b[2J\r\0", r'"\x1b[2J\r\x00"'),
        ("a\u2028b\u202ec\ud800", r'"a\u2028b\u202ec\ud800"'),
        ('say "a=b" \\', r'"say \"a=b\" \\"'),
        ("", '""'),
        (None, ""),
        (True, "true"),
        (3.1, "3.1"),
        (["web/b1", "web/b2"], "web/b1,web/b2"),
        ("größe", "größe"),
    ],
)
def test_a_value_is_a_word_or_in_quotes_and_never_another_line(value, shown) -> None:
    """Names come from files and answers from strangers: none of them may write the log."""
    assert log.spelled(value) == shown
    assert log.spelled(value).isprintable()


@pytest.mark.parametrize("json", [False, True])
def test_no_field_can_forge_a_line(capsys: pytest.CaptureFixture[str], json) -> None:
    """In either form, with a time that is not the journal's."""
    log.configure(json=json)
    structlog.get_logger().warning("check_failed", reason="x\n<0>panic\r\n" + "y" * 100_000)
    text = capsys.readouterr().err

    assert text.count("\n") == 1
    assert "\r" not in text
    assert len(text) < 10_000


def test_the_journal_gets_priorities_and_no_time(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the time itself; `journalctl -p warning` goes by the number."""
    found = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    log.configure(logging.DEBUG)
    logger = structlog.get_logger()
    for level in log.LEVELS:
        getattr(logger, level)("turned", to=level)
    log.configure(json=True)
    logger.error("turned")
    *lines, last = capfd.readouterr().err.splitlines()

    assert lines == [
        "<7>debug turned to=debug",
        "<6>info turned to=info",
        "<4>warning turned to=warning",
        "<3>error turned to=error",
    ]
    assert last.startswith("<3>{")
    assert "timestamp" not in json.loads(last[3:])


def test_a_journal_that_standard_error_is_not_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who redirects natlb's output inherits the variable; a closed one is nothing."""
    assert not log.writes_to_journal("")
    assert not log.writes_to_journal("0:1")
    assert not log.writes_to_journal("0:1", descriptor=-1)


def test_what_was_suppressed_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under its own kind and level, whoever speaks next."""
    now = [0.0]
    monkeypatch.setattr(log, "repetition", Repetition(lambda: now[0]))
    log.configure()
    for _ in range(MOST_LINES + 5):
        structlog.get_logger().warning("backend_down", backend="web/b1")
    now[0] = SECONDS
    log.tell_suppressed()
    lines = capsys.readouterr().err.splitlines()

    assert len(lines) == MOST_LINES + 1
    assert lines[-1].endswith("warning backend_down backend=web/b1 similar_suppressed=5")
