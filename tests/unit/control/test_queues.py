"""Queues that are lost."""

import os

from natlb.control.queues import is_lost


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
