"""Conversations between the processes: whole messages with their fds, or nothing.

Sending never waits: a peer that leaves hundreds of messages unread hangs, and the sender is told by
`ChannelFullError`. What is received and is no message is refused, and its fds are closed.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Self

from natlb.control.coding import LARGEST, MOST_FDS, MessageError, decode, encode

if TYPE_CHECKING:
    from natlb.control.messages import Message


class ChannelFullError(OSError):
    """The peer does not read."""


class Channel:
    """One end of a conversation: whole messages with their fds, or nothing."""

    def __init__(self, end: socket.socket) -> None:
        """Own this end of a SOCK_SEQPACKET pair or connection."""
        end.settimeout(0)
        self.end = end

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Return the two ends of a new conversation."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def from_fd(cls, fd: int) -> Self:
        """Return the end that this fd is, and own the fd."""
        return cls(socket.socket(fileno=fd))

    def fileno(self) -> int:
        """Return the fd of this end, -1 once it is closed."""
        return self.end.fileno()

    def send(self, message: Message, *fds: int) -> None:
        """Hand the message over, with duplicates of the fds.

        Raises `ChannelFullError` where the peer does not read, `OSError` where it is gone.
        """
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.end.sendmsg([encode(message)], ancillary, socket.MSG_NOSIGNAL)
        except BlockingIOError as error:
            raise ChannelFullError(error.errno, "the peer does not read") from error

    def receive(self) -> tuple[Message, list[int]] | None:
        """Return the next message and its fds, which the caller owns; None at the end.

        Raises `BlockingIOError` when nothing is there yet, `MessageError` for what is no message.
        """
        try:
            octets, ancillary, seen, _ = self._receive()
        except ConnectionResetError:
            # Linux: af_unix.c, unix_release_sock. The peer ended with a word of ours unread: told
            # once, and before what it had said itself, which its last word may be among.
            octets, ancillary, seen, _ = self._receive()
        received = _received_fds(ancillary)
        if not octets and not received:
            return None  # an empty message would read the same, and nobody sends one
        try:
            return _decode_whole(octets, seen, received), received
        except MessageError:
            close_all(received)
            raise

    def _receive(self) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
        size = socket.CMSG_SPACE(MOST_FDS * array.array("i").itemsize)
        return self.end.recvmsg(LARGEST + 1, size, socket.MSG_CMSG_CLOEXEC)

    def close(self) -> None:
        """End the conversation from this side."""
        self.end.close()


def _decode_whole(octets: bytes, seen: int, received: list[int]) -> Message:
    if seen & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise MessageError("a message larger than any of this protocol")
    return decode(octets, len(received))


def _received_fds(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    received = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(content[: len(content) - len(content) % received.itemsize])
    return list(received)


def close_all(fds: list[int]) -> None:
    """Close the fds, each whatever becomes of the others."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
