"""Adoption: a new supervisor gets everything from the control that its dead predecessor left.

The new one, which has the lock, connects to the socket `handover`. Control sees that its old
supervisor is gone, says `Hold` for all it holds and `HandedOver` at the end; the connection is
their conversation from then on. A control that does not answer is taken for dead.
"""

from __future__ import annotations

import os
import select
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from natlb.control.channel import Channel, close_all
from natlb.control.coding import MessageError
from natlb.control.listener import peer_credentials
from natlb.control.messages import HandedOver, Hold
from natlb.control.process import Process, belongs_to, hold

if TYPE_CHECKING:
    from pathlib import Path

    from natlb.control.holdings import Holdings

SECONDS_TO_ANSWER = 5.0
SECONDS_TO_DIE = 1.0  # the lock of a killed process may be free before its channel is closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A living control, the conversation with it, and what it said of the instance."""

    control: Process
    channel: Channel
    said: HandedOver


def ask(path: Path, token: str, holdings: Holdings) -> Adopted | None:
    """Fill `holdings` with what control holds; None, and nothing held, where none answers."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(SECONDS_TO_ANSWER)
    try:
        connection.connect(os.fspath(path))
    except OSError:
        connection.close()
        return None
    channel = Channel(connection)
    said = _receive_all(channel, holdings)
    control = hold(said.pid) if said else None
    if said is None or control is None or not belongs_to(control.pid, token):
        if control is not None:
            control.forget()
        channel.close()
        holdings.close()
        return None
    return Adopted(control=control, channel=channel, said=said)


def _is_readable(channel: Channel, seconds: float) -> bool:
    poll = select.poll()  # select() knows 1,024 fds
    poll.register(channel.fileno(), select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _receive_all(channel: Channel, holdings: Holdings) -> HandedOver | None:
    deadline = time.monotonic() + SECONDS_TO_ANSWER
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not _is_readable(channel, left):
            return None
        try:
            received = channel.receive()
        except (OSError, MessageError):
            return None
        if received is None:
            return None
        message, fds = received
        if isinstance(message, Hold):
            holdings.take(message, fds.pop())
        elif isinstance(message, HandedOver):
            return message
        close_all(fds)


def may_take_over(connection: socket.socket, supervisor: Channel | None) -> bool:
    """Return whether whoever connected may supervise: it is our user, and the old one is gone."""
    _, uid, _ = peer_credentials(connection)
    if uid not in {0, os.getuid()}:
        return False
    if supervisor is None or supervisor.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(supervisor.fileno(), 0)
    return any(seen & select.POLLHUP for _, seen in poll.poll(SECONDS_TO_DIE * 1000))
