"""Conversations over real socket pairs."""

import os
import socket
from pathlib import Path

import pytest

from natlb.control.channel import Channel, ChannelFullError, close_all
from natlb.control.coding import LARGEST, MessageError, encode
from natlb.control.messages import (
    Hold,
    Leave,
    Note,
    Wake,
)
from natlb.control.roles import Role


def open_fds() -> int:
    """Return how many fds this process has."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_message_arrives_whole_with_its_fd() -> None:
    """The fd is a duplicate: it outlives the sender's."""
    one, other = Channel.pair()
    memfd = os.memfd_create("test")
    os.write(memfd, b"shared")
    one.send(Hold(role=Role.REGISTRY, value=7), memfd)
    os.close(memfd)
    received = other.receive()

    assert received is not None
    message, fds = received
    assert message == Hold(role=Role.REGISTRY, value=7)
    assert os.pread(fds[0], 6, 0) == b"shared"
    assert not os.get_inheritable(fds[0])
    close_all(fds)
    one.close()
    other.close()


def test_messages_keep_their_order_and_their_borders() -> None:
    """Two short messages are not one long one."""
    one, other = Channel.pair()
    one.send(Note(text="first"))
    one.send(Leave())

    assert other.receive() == (Note(text="first"), [])
    assert other.receive() == (Leave(), [])
    with pytest.raises(BlockingIOError):
        other.receive()
    one.close()
    assert other.receive() is None
    other.close()


def test_the_last_words_of_who_died_with_ours_unread_are_heard() -> None:
    """The kernel tells of a reset before them: what a dead child failed of, say, is behind it."""
    one, other = Channel.pair()
    other.send(Wake())
    memfd = os.memfd_create("test")
    one.send(Hold(role=Role.REGISTRY, value=7), memfd)
    one.send(Leave())
    os.close(memfd)
    one.close()
    received = other.receive()

    assert received is not None
    assert received[0] == Hold(role=Role.REGISTRY, value=7)
    close_all(received[1])
    assert other.receive() == (Leave(), [])
    assert other.receive() is None
    other.close()


@pytest.mark.parametrize(
    "octets", [b"\0", b"natlb", encode(Leave()) + b"x", b"ntlb" * (LARGEST // 4 + 1)]
)
def test_what_is_no_message_is_refused_and_its_fds_are_closed(octets: bytes) -> None:
    """A refused fd that stayed open would be a leak that anybody could drive."""
    raw, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = Channel(end)
    before = open_fds()
    socket.send_fds(raw, [octets], [0, 1, 2])
    with pytest.raises(MessageError):
        channel.receive()

    assert open_fds() == before
    raw.close()
    channel.close()


def test_a_peer_that_does_not_read_is_noticed_and_nobody_waits() -> None:
    """The supervisor must not hang because a child does."""
    one, other = Channel.pair()

    def send_for_ever() -> None:
        while True:
            one.send(Wake())

    with pytest.raises(ChannelFullError):
        send_for_ever()
    one.close()
    other.close()


def test_a_peer_that_is_gone_is_an_error_and_no_signal() -> None:
    """SIGPIPE would end the process."""
    one, other = Channel.pair()
    other.close()

    with pytest.raises(BrokenPipeError):
        one.send(Leave())
    one.close()
