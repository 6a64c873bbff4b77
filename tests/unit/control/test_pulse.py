"""Silence and its limits, with a clock and a processor that are numbers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from natlb.control import pulse as module
from natlb.control.pulse import Limits, Pulse, Usage, usage_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

LIMITS = Limits(idle=2.0, busy=10.0)
LOOK = 0.25


def seconds_to_be_hung(
    pulse: Pulse, *, ran: float = 0.0, waited: float = 0.0, look: float = LOOK, disk: bool = False
) -> float:
    """Return after how long it hangs, where it runs and waits for so much of each second."""
    pulse.ask(0.0, Usage())
    for number in range(1, 1000):
        now = number * look
        if pulse.is_hung(now, Usage(ran * now, waited * now, disk)):
            return now
    return float("inf")


def test_one_that_is_stopped_is_known_after_the_limit() -> None:
    """A worker within three seconds of its stop: asked at the look after it."""
    assert seconds_to_be_hung(Pulse(LIMITS, 0.0)) == 2.25


def test_one_that_computes_has_more_time() -> None:
    """It may be compiling tables."""
    assert seconds_to_be_hung(Pulse(LIMITS, 0.0), ran=0.9) == 10.25


def test_one_that_waits_for_a_disk_has_more_time() -> None:
    """A disk that stalls is not a reason to begin anew."""
    assert seconds_to_be_hung(Pulse(LIMITS, 0.0), disk=True) == 10.25


def test_one_that_waits_for_a_processor_is_slow_and_does_not_hang() -> None:
    """Nine tenths of each second another one ran."""
    assert seconds_to_be_hung(Pulse(LIMITS, 0.0), waited=0.9) > 20


def test_a_supervisor_that_stood_still_finds_nobody_silent() -> None:
    """A look that comes an hour late counts as half a second."""
    pulse = Pulse(LIMITS, 0.0)
    pulse.ask(0.0, Usage())

    assert not pulse.is_hung(3600.0, Usage())
    assert pulse.silence == module.MOST_A_LOOK


def test_an_answer_ends_a_silence() -> None:
    """And the next question is due."""
    pulse = Pulse(LIMITS, 0.0)
    assert pulse.wants_question()
    pulse.ask(0.0, Usage())
    assert not pulse.wants_question()
    assert not pulse.is_hung(1.0, Usage())
    pulse.answered(0)

    assert pulse.wants_question()
    assert pulse.silence == 0


def test_announced_work_has_its_time() -> None:
    """A table of millions is recovered in one piece."""
    pulse = Pulse(LIMITS, 0.0)
    pulse.answered(patience=30.0)

    assert seconds_to_be_hung(pulse) == 30.25


def test_the_kernel_says_what_a_process_used() -> None:
    """Of one that is gone: nothing."""
    used = usage_of(os.getpid())

    assert used.ran > 0
    assert not used.waits_for_disk
    assert usage_of(2**22 + 1) == Usage()


def test_a_kernel_that_does_not_count_is_no_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without schedstat a starved child is taken for a silent one."""
    monkeypatch.setattr(module, "PROC", folder)

    assert usage_of(1) == Usage()
