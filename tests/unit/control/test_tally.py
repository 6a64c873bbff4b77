"""What control counts itself, in memory that outlives it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from natlb.control.compile.indices import Indices
from natlb.control.compile.run_time import AS_CONFIGURED, RunTime
from natlb.control.tally import BYTES, MAGIC, Tally, create_tally

if TYPE_CHECKING:
    from collections.abc import Iterator

THEN = datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)
LATER = datetime(2026, 1, 2, 4, 4, 5, tzinfo=UTC)
B1, B2 = ("web", "b1"), ("web", "b2")
INDICES = Indices(services={"web": 0}, backends={B1: 0, B2: 7})


@pytest.fixture
def fd() -> Iterator[int]:
    """Return a fresh memfd."""
    made = create_tally(lambda: THEN)
    yield made
    os.close(made)


def test_an_instance_begins_with_nothing_but_its_configuration(fd) -> None:
    """Which came well into force, or there would be no instance."""
    counts = Tally(fd).read(INDICES)

    assert counts.reloads == {"success": 0, "failure": 0}
    assert counts.last_success == THEN.timestamp()
    assert counts.backends[B1].checks == {"up": 0, "down": 0}
    assert set(counts.backends[B2].transitions.values()) == {0}


def test_reloads_are_counted_by_how_they_ended(fd) -> None:
    """One that failed leaves the time of the last that did not."""
    tally = Tally(fd, lambda: LATER)
    tally.reloaded(well=False)
    before = tally.read(INDICES).last_success
    tally.reloaded(well=True)

    assert before == THEN.timestamp()
    assert tally.read(INDICES).reloads == {"success": 1, "failure": 1}
    assert tally.read(INDICES).last_success == LATER.timestamp()


def test_transitions_count_what_a_backend_turns_to(fd) -> None:
    """State and health each, and only where they change; names without a number are gone."""
    tally = Tally(fd)
    down = RunTime(health="down", state="draining")
    tally.turned(INDICES, {}, {B1: down, ("web", "gone"): down}, AS_CONFIGURED)
    tally.turned(INDICES, {B1: down}, {B1: RunTime(health="up", state="draining")}, AS_CONFIGURED)
    tally.turned(INDICES, {B1: RunTime(state="draining")}, {}, AS_CONFIGURED)
    turned = tally.read(INDICES).backends[B1].transitions

    assert turned == {"up": 1, "down": 1, "ready": 1, "draining": 1, "maint": 0}


def test_counts_survive_who_counts(fd) -> None:
    """Another control maps the same memory."""
    first = Tally(fd)
    first.checked(7, well=True)
    first.checked(7, well=False)
    first.checked(7, well=False)
    del first

    assert Tally(fd).read(INDICES).backends[B2].checks == {"up": 1, "down": 2}


def test_a_number_that_gets_another_owner_starts_at_zero(fd) -> None:
    """And the others keep what they have."""
    tally = Tally(fd)
    tally.checked(0, well=True)
    tally.checked(7, well=True)
    new = Indices(services={"web": 0}, backends={B1: 0, ("web", "b3"): 7})
    tally.begin(INDICES, new)
    counts = tally.read(new).backends

    assert counts[B1].checks["up"] == 1
    assert counts["web", "b3"].checks["up"] == 0


def test_memory_of_another_layout_is_refused() -> None:
    """State is never misread."""
    short, other = os.memfd_create("short"), os.memfd_create("other")
    os.ftruncate(other, BYTES)
    os.pwrite(other, np.array([MAGIC, 99], np.int64).tobytes(), 0)
    try:
        with pytest.raises(ValueError, match="0 octets are no tally"):
            Tally(short)
        with pytest.raises(ValueError, match="a tally of version 99, expected 1"):
            Tally(other)
    finally:
        os.close(short)
        os.close(other)


def test_the_most_that_was_seen_stays_the_most() -> None:
    """Of flows, over many looks; it outlives who looked."""
    fd = create_tally()
    assert [Tally(fd).peaked(flows) for flows in (3, 9, 4)] == [3, 9, 9]
    assert Tally(fd).peaked(0) == 9
    os.close(fd)
