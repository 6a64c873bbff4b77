from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control.health.hysteresis import Hysteresis

if TYPE_CHECKING:
    from natlb.model import HealthName


@pytest.mark.parametrize("ok", [True, False])
def test_the_first_result_decides(*, ok: bool) -> None:
    """Until then the backend serves like up: who is dead at start must not."""
    hysteresis = Hysteresis(rise=2, fall=3)

    assert hysteresis.feed(ok=ok) == ("up" if ok else "down")


def test_a_backend_goes_down_after_fall_bad_results_in_a_row() -> None:
    """One good one among them begins the count anew."""
    hysteresis = Hysteresis(rise=2, fall=3, health="up")
    said = [hysteresis.feed(ok=ok) for ok in (False, False, True, False, False, False, False)]

    assert said == [None, None, None, None, None, "down", None]


def test_a_backend_comes_back_after_rise_good_results_in_a_row() -> None:
    """A server that starts answers now and then."""
    hysteresis = Hysteresis(rise=2, fall=3, health="down")
    said = [hysteresis.feed(ok=ok) for ok in (True, False, True, True, True)]

    assert said == [None, None, None, "up", None]


@given(
    rise=st.integers(1, 5),
    fall=st.integers(1, 5),
    health=st.sampled_from(["unknown", "up", "down"]),
    results=st.lists(st.booleans(), max_size=60),
)
def test_health_is_what_the_last_results_say(
    rise: int, fall: int, health: str, results: list[bool]
) -> None:
    """Judged by all results at once: the last run that was long enough decides."""
    hysteresis = Hysteresis(rise=rise, fall=fall, health=cast("HealthName", health))
    expected = health
    for end, ok in enumerate(results, 1):
        word, needed = ("up", rise) if ok else ("down", fall)
        run = results[:end][-needed:]
        decides = expected == "unknown" or (len(run) == needed and set(run) == {ok})
        changes = decides and expected != word
        assert hysteresis.feed(ok=ok) == (word if changes else None)
        expected = word if changes else expected

        assert hysteresis.health == expected
