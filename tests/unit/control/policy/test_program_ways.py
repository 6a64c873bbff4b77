from __future__ import annotations

import time

from natlb.control.policy.program_ways import ways_of


def test_circles_of_calls_are_found() -> None:
    """By the function that closes each."""
    calls = {"a": ["b", "c"], "b": ["c"], "c": ["b", "c"], "d": ["a"], "e": ["e"], "f": []}

    assert ways_of(calls)[0] == {"c", "e"}


def test_functions_that_share_others_are_no_circle() -> None:
    """However many ways lead to one."""
    calls = {"a": ["b", "c"], "b": ["d", "d"], "c": ["d"], "d": []}

    assert ways_of(calls)[0] == set()


def test_many_functions_are_gone_through_once() -> None:
    """Each of thousands calls the next, and all of them the last."""
    most = 5000
    calls = {str(at): [str(at + 1), str(most)] for at in range(most)} | {str(most): []}
    began = time.perf_counter()

    assert ways_of(calls)[0] == set()
    assert time.perf_counter() - began < 1.0


def test_how_deep_calls_go_is_known() -> None:
    """By the longest way."""
    calls = {"a": ["b", "c"], "b": ["c"], "c": [], "d": ["a", "a"]}

    assert ways_of(calls)[1] == {"a": 3, "b": 2, "c": 1, "d": 4}
