"""The queues of the TUN devices, one a side, whoever holds them."""

from __future__ import annotations

import select

from natlb.control.messages import Role

SIDES = (Role.QUEUE_PUBLIC, Role.QUEUE_PRIVATE)


def is_lost(queue: int) -> bool:
    """Return whether the device behind a queue is gone: its poll says POLLERR for ever."""
    poll = select.poll()
    poll.register(queue, 0)
    return any(seen & (select.POLLERR | select.POLLNVAL) for _, seen in poll.poll(0))
