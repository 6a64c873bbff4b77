"""Rates over a window, with the time told."""

from natlb.control.rates import WINDOW_SECONDS, Rates


def test_a_steady_count_has_its_rate() -> None:
    """Three flows a second for as long as one looks."""
    rates = Rates()
    for second in range(60):
        rates.note(float(second), {"web": 3 * second})

    assert rates.per_second() == {"web": 3.0}


def test_only_the_window_counts() -> None:
    """A burst a minute ago is over."""
    rates = Rates()
    rates.note(0.0, {"web": 0})
    rates.note(1.0, {"web": 1000})
    for second in range(2, 12):
        rates.note(float(second), {"web": 1000})

    assert rates.per_second() == {"web": 0.0}
    assert len(rates._readings) <= WINDOW_SECONDS + 2


def test_without_two_readings_every_rate_is_nothing() -> None:
    """The first second of an instance."""
    rates = Rates()
    assert rates.per_second() == {}
    rates.note(0.0, {"web": 5})

    assert rates.per_second() == {"web": 0.0}


def test_a_new_service_begins_at_nothing_and_a_count_that_fell_is_none() -> None:
    """A reload adds one; its total is not the growth of a second."""
    rates = Rates()
    rates.note(0.0, {"web": 5})
    rates.note(1.0, {"web": 2, "dns": 7})

    assert rates.per_second() == {"web": 0.0, "dns": 0.0}
