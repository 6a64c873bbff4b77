"""How often what somebody else undoes is mended."""

from __future__ import annotations

from natlb.control.host.patience import FREE_TIMES, LONGEST_WAIT, Patience


def test_the_first_times_cost_no_wait() -> None:
    """A flush by hand, or a few."""
    patience = Patience()

    assert [patience.mended(time) for time in range(FREE_TIMES)] == [0.0] * FREE_TIMES


def test_then_the_wait_doubles_up_to_a_limit() -> None:
    """And what is due is known."""
    patience, now, waits = Patience(), 0.0, []
    for _ in range(FREE_TIMES + 12):
        wait = patience.mended(now)
        assert patience.may_mend(now) is (wait == 0)
        now += wait
        assert patience.may_mend(now)
        waits.append(wait)

    assert waits[FREE_TIMES : FREE_TIMES + 4] == [1, 2, 4, 8]
    assert waits[-1] == LONGEST_WAIT


def test_a_good_while_in_peace_forgets_it_all() -> None:
    """Twice the last wait, and a minute at least."""
    patience, wait = Patience(), 0.0
    for _ in range(FREE_TIMES + 8):
        wait = patience.mended(0.0)

    assert wait == 128
    assert patience.mended(2 * wait) == 256
    assert patience.mended(2 * wait + 513) == 0
