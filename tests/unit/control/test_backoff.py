"""Patience, with the time told to it."""

from natlb.control.backoff import FREE_STARTS, LONGEST_DELAY, SECONDS_A_TOKEN, BackOff


def test_first_deaths_cost_no_delay() -> None:
    """Whoever is killed is replaced at once."""
    backoff = BackOff(0.0)

    assert [backoff.died(float(n)) for n in range(FREE_STARTS)] == [0.0] * FREE_STARTS


def test_a_child_that_dies_at_once_again_and_again_is_waited_for_ever_longer() -> None:
    """A spin of starts would take a processor from the packets."""
    backoff = BackOff(0.0)
    for _ in range(FREE_STARTS):
        backoff.died(0.0)
    delays = [backoff.died(0.0) for _ in range(8)]

    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, LONGEST_DELAY, LONGEST_DELAY, LONGEST_DELAY]


def test_a_death_now_and_then_never_costs_a_delay() -> None:
    """A worker killed every few seconds for hours is still replaced at once."""
    backoff = BackOff(0.0)

    assert all(backoff.died(n * SECONDS_A_TOKEN) == 0.0 for n in range(1000))


def test_quiet_gives_all_patience_back() -> None:
    """After a while without deaths, a new row begins."""
    backoff = BackOff(0.0)
    for _ in range(20):
        backoff.died(0.0)
    later = FREE_STARTS * SECONDS_A_TOKEN

    assert backoff.died(later) == 0.0
    assert backoff.deaths == 1


def test_of_a_thousand_deaths_ten_are_reported() -> None:
    """Log lines are bounded: powers of two."""
    backoff = BackOff(0.0)
    reported = []
    for _ in range(1000):
        backoff.died(0.0)
        if backoff.worth_a_line:
            reported.append(backoff.deaths)

    assert reported == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_who_starts_cheaply_may_die_more_often() -> None:
    """As many at once as are free, and then one for each token that came back."""
    backoff = BackOff(0.0, free_starts=3, seconds_a_token=0.5)
    delays = [backoff.died(0.0) for _ in range(4)]

    assert delays == [0.0, 0.0, 0.0, 0.25]
    assert [backoff.died(1.0 + n / 2) for n in range(5)] == [0.0] * 5
