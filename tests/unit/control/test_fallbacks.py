from __future__ import annotations

from natlb.control.fallbacks import SECONDS_A_LINE, Fallbacks


def test_the_first_is_told_at_once_and_then_once_a_while() -> None:
    """With all that came between."""
    fallbacks = Fallbacks()

    assert fallbacks.note(0.0, {"web": 0, "dns": 0}) == {}
    assert fallbacks.note(1.0, {"web": 2, "dns": 0}) == {"web": 2}
    assert fallbacks.note(2.0, {"web": 9, "dns": 1}) == {"dns": 1}
    assert fallbacks.note(1.0 + SECONDS_A_LINE, {"web": 9, "dns": 1}) == {"web": 7}
    assert fallbacks.note(500.0, {"web": 9, "dns": 1}) == {}


def test_a_service_that_is_counted_anew_begins_again() -> None:
    """Its number may be less than it was; one that is gone is forgotten."""
    fallbacks = Fallbacks()
    fallbacks.note(0.0, {"web": 9})

    assert fallbacks.note(100.0, {"web": 3}) == {"web": 3}
    assert fallbacks.note(101.0, {}) == {}
    assert fallbacks.note(102.0, {"web": 3}) == {"web": 3}
