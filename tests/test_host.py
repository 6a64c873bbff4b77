"""The watch over what tests leave behind: it sees each kind of leftover."""

from __future__ import annotations

import os
import subprocess

from tests.host import MARK, Leftovers, announced, others_are_testing

NOTHING = Leftovers(namespaces=frozenset(), links=frozenset(), processes=frozenset())


def test_only_what_came_since_is_left_behind() -> None:
    """What was there before the tests is not theirs."""
    before = Leftovers(frozenset({"lab-lb"}), frozenset({"lo", "eth0"}), frozenset())
    after = Leftovers(frozenset({"lab-lb", "t-b1"}), frozenset({"lo", "t0"}), frozenset({"9: x"}))

    assert after.since(before) == ["network namespace t-b1", "link t0", "process 9: x"]


def test_a_process_is_known_by_its_mark_even_when_its_parent_is_gone() -> None:
    """A process whose parent died has no other tie to the tests that started it."""
    environment = {**os.environ, MARK: "a session"}
    words = ["sh", "-c", "sleep 60 & echo $!"]
    started = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    assert started.stdout is not None
    with started, started.stdout as output:
        orphan = int(output.readline())
    try:
        found = Leftovers.now("a session").since(NOTHING)
    finally:
        os.kill(orphan, 15)

    assert any(each.startswith(f"process {orphan}: ") for each in found)


def test_another_session_is_known_though_it_has_no_process() -> None:
    """It announces itself, as this one does: neither of the two is alone."""
    with announced("the one"):
        assert others_are_testing("the other")
        with announced("the other"):
            assert others_are_testing("the one")
    assert others_are_testing("the other")  # the one that runs this test


def test_the_loopback_link_is_seen() -> None:
    """A listing that reads the wrong place would be empty, and never complain."""
    assert "lo" in Leftovers.now("none").links
