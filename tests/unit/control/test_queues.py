"""Queues that are lost."""

import os

from natlb.control.holdings import Holdings
from natlb.control.messages import Hold
from natlb.control.queues import has_ways_in, is_lost, place_index, place_value, ports_of, worker_of
from natlb.control.roles import Role
from natlb.io.ports import Port, PortKind


def test_a_quiet_queue_is_not_lost() -> None:
    """Nor one with packets in it."""
    queue = os.eventfd(1)

    assert not is_lost(queue)
    os.close(queue)


def test_an_error_that_poll_reports_is_a_loss() -> None:
    """As of a TUN that was deleted; a pipe without a reader says the same."""
    reading, writing = os.pipe()
    os.close(reading)

    assert is_lost(writing)
    os.close(writing)


def test_an_fd_that_is_none_is_lost() -> None:
    """Rather than polled for ever."""
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)

    assert is_lost(writing)


def test_ports_are_told_from_what_is_held() -> None:
    """Each with its side, and what its kind has."""
    held, fds = Holdings(), {}
    said = (
        Hold(role=Role.QUEUE_PRIVATE, index=2),
        Hold(role=Role.OUTPUT_PUBLIC, index=2, value=place_value(0, number=3)),
        Hold(role=Role.LINK, index=place_index(2, 1), value=place_value(1, 7)),
        Hold(role=Role.HOST, index=place_index(2, 3), value=place_value(1, number=6)),
        Hold(role=Role.XSK, index=place_index(2, 4), value=place_value(0, 5, 3)),
        Hold(role=Role.XSK_MEMORY, index=place_index(2, 4)),
        Hold(role=Role.FLOWS, index=2),
    )
    for each in said:
        fds[each.role] = os.eventfd(0)
        held.take(each, fds[each.role])

    assert ports_of(held) == [
        Port(PortKind.TUN, 1, fds[Role.QUEUE_PRIVATE]),
        Port(PortKind.OUTPUT, 0, fds[Role.OUTPUT_PUBLIC], number=3),
        Port(PortKind.LINK, 1, fds[Role.LINK], ifindex=7),
        Port(PortKind.HOST, 1, fds[Role.HOST], number=6),
        Port(PortKind.XSK, 0, fds[Role.XSK], 5, 3, fds[Role.XSK_MEMORY]),
    ]
    assert {worker_of(each.index) for each in said} == {2}
    held.close()


def test_a_worker_has_a_way_in_by_both_tuns_or_by_interfaces() -> None:
    """Its own: another worker's are of no use to it."""
    for roles, expected in (
        ((), False),
        ((Role.QUEUE_PUBLIC,), False),
        ((Role.QUEUE_PUBLIC, Role.QUEUE_PRIVATE), True),
        ((Role.LINK,), True),
        ((Role.XSK, Role.XSK_MEMORY), True),
        ((Role.HOST, Role.OUTPUT_PUBLIC), False),
    ):
        held = Holdings()
        for role in roles:
            held.take(Hold(role=role, index=place_index(2, 1)), os.eventfd(0))

        assert has_ways_in(held, 2) is expected
        assert not has_ways_in(held, 1)
        held.close()
