from __future__ import annotations

from natlb.core.layout import (
    ANSWERED,
    CLOSING,
    ESTABLISHED,
    FIRST_LIVE,
    HALF_ORIGINAL,
    HALF_REPLY,
    OPENING,
    REPLIED,
    STATE_LABELS,
    UNREPLIED,
)
from natlb.core.tcp_transitions import (
    ARROWS,
    BACKEND,
    CLIENT,
    EVENTS,
    IS_DATAGRAM,
    IS_RESET,
    NO_ARROW,
    TRANSITIONS,
)
from tests.kernels import needs_plain_kernels

needs_plain_kernels()

HALVES = {HALF_ORIGINAL: HALF_REPLY, HALF_REPLY: HALF_ORIGINAL}


def test_the_table_holds_each_arrow_once_and_nothing_else() -> None:
    """An arrow that is drawn twice would hide what one of them says."""
    starts = [arrow[:3] for arrow in ARROWS]

    assert len(set(starts)) == len(starts)
    assert int((TRANSITIONS != NO_ARROW).sum()) == len(ARROWS)
    assert all(TRANSITIONS[arrow[:3]] == arrow[3] for arrow in ARROWS)


def test_arrows_lead_from_live_states_to_live_states() -> None:
    """What an event cannot do is end a row, or make one."""
    assert {arrow[0] for arrow in ARROWS} == set(STATE_LABELS)
    assert all(arrow[3] >= FIRST_LIVE for arrow in ARROWS)


def test_tcp_and_udp_do_not_meet() -> None:
    """A datagram moves UDP alone, and nothing else does."""
    tcp = {OPENING, ANSWERED, ESTABLISHED, HALF_ORIGINAL, HALF_REPLY, CLOSING}
    for start, _, event, behind in ARROWS:
        assert (start in tcp) is (behind in tcp) is (event != IS_DATAGRAM)


def test_a_reset_closes_whatever_is_open() -> None:
    """From either end; what is closing already stays as it is, and its timer runs on."""
    for start in (OPENING, ANSWERED, ESTABLISHED, HALF_ORIGINAL, HALF_REPLY):
        assert TRANSITIONS[start, CLIENT, IS_RESET] == CLOSING
        assert TRANSITIONS[start, BACKEND, IS_RESET] == CLOSING
    assert TRANSITIONS[CLOSING, CLIENT, IS_RESET] == NO_ARROW


def test_nothing_leads_back() -> None:
    """Each state is left for a later one only: no event makes a flow younger."""
    for start, _, _, behind in ARROWS:
        assert behind >= start
    assert TRANSITIONS[REPLIED, CLIENT, IS_DATAGRAM] != UNREPLIED


def test_once_established_both_ends_are_treated_alike() -> None:
    """Who opened it does not matter any more."""
    for start in (ESTABLISHED, HALF_ORIGINAL, HALF_REPLY, CLOSING):
        for event in range(len(EVENTS)):
            one = int(TRANSITIONS[start, CLIENT, event])
            other = int(TRANSITIONS[HALVES.get(start, start), BACKEND, event])
            assert HALVES.get(one, one) == other
