"""The socket's end: uvicorn on a listening socket, inside the loop that control runs already.

Whoever may open the socket may send anything. What a connection can cost is bounded:

    connections   `CONNECTIONS` at a time; one more is answered 503 and closed
    head          `HEAD_BYTES`, then 400
    waiting       `CLIENT_SECONDS` for a request to come whole, or an answer to be taken: then cut
    malformed     answered 400 in the form of every other error, and closed
    files         none left to take a connection with: told once, tried again every second

A connection's door, and so its role, is the socket that it came in by. Signals stay the caller's:
cancelling `serve()` is how it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from socket import AF_UNIX
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from natlb.api.answers import encode, error_document
from natlb.api.app import create_app
from natlb.api.exhaustion import Exhaustion
from natlb.control.listener import peer_credentials
from natlb.errors import BusyError, NatlbError, UsageError, WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from natlb.control.doors import Door, Doors
    from natlb.control.instance import Instance

CONNECTIONS = 64
HEAD_BYTES = 16 << 10
CLIENT_SECONDS = 10.0
IDLE_SECONDS = 5
LEAVE_SECONDS = 2


class Connection(H11Protocol):
    """One connection of a client, cut off when it makes natlb wait."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn
        """Take the connection, or say that there are too many."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "door": self._door(), "caller": self._caller()}
        self._watch()
        if len(self.connections) > CONNECTIONS:
            self._refuse(503, BusyError(f"natlb serves {CONNECTIONS} connections already"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._stop_clock()

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn never keeps one half open
        """Answer what a client asked before it closed its half; refuse the half of a request."""
        if self._is_ours():
            self.cycle.keep_alive = False
            return True
        half_a_body = self.cycle is not None and not self.cycle.response_complete
        if half_a_body or self.conn.trailing_data[0]:
            self.send_400_response("it ended early")
        return False

    def handle_events(self) -> None:
        """Go on with what came in."""
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """Turn to the next request."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Wait for the client to take what was written."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Write on."""
        super().resume_writing()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        reason = msg.removesuffix(".")
        self._refuse(400, UsageError(f"not a whole, well-formed HTTP/1.1 request: {reason}"))

    def _door(self) -> Door:
        """Return the door that this connection came in by."""
        assert isinstance(self.config, _Configuration)
        return self.config.doors[self.transport.get_extra_info("sockname")]

    def _caller(self) -> str:
        """Return the user at the other end, where that is known."""
        connected = self.transport.get_extra_info("socket")
        return str(peer_credentials(connected)[1]) if connected.family == AF_UNIX else ""

    def _is_ours(self) -> bool:
        """Tell whether the client waits for natlb, and not natlb for the client."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and not cycle.more_body

    def _watch(self) -> None:
        """Let the clock run exactly while natlb waits; what trickles in does not set it back."""
        if self._is_ours() and not self.flow.write_paused:
            self._stop_clock()
        elif self._deadline is None and self in self.connections:
            self._deadline = self.loop.call_later(CLIENT_SECONDS, self._cut)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self) -> None:
        """End a connection that made natlb wait: with a word if nothing was said, else at once."""
        self._deadline = None
        answering = self.cycle is not None and self.cycle.response_started
        if self.transport.is_closing() or (answering and not self.cycle.response_complete):
            self.transport.abort()
            return
        error = WaitTimeoutError(f"no whole request came within {CLIENT_SECONDS:g} s")
        self._refuse(408, error)
        self._watch()

    def _refuse(self, status: int, error: NatlbError) -> None:
        """Say why and close; not through h11, which knows no answer to half a request."""
        if self._may_write():
            self.transport.write(_raw_answer(status, error))
        self.transport.close()

    def _may_write(self) -> bool:
        """Tell whether an answer now would stand on its own, in no other answer's middle."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or not cycle.response_started


def _raw_answer(status: int, error: NatlbError) -> bytes:
    body = encode(error_document(error))
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: in control, signals belong to the supervisor's words."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Configuration(uvicorn.Config):
    """uvicorn's, with the doors by the address that connections have at their own end."""

    doors: Mapping[object, Door]


def _configuration(instance: Instance, doors: Doors, leaving: asyncio.Event) -> _Configuration:
    configuration = _Configuration(
        create_app(instance, doors, leaving),
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",  # its words are about clients' mistakes: those get an answer
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=LEAVE_SECONDS,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    configuration.doors = {door.listening.getsockname(): door for door in doors.doors}
    return configuration


async def serve(instance: Instance, doors: Doors) -> None:
    """Answer at these doors, whose sockets are closed at the end, until cancelled.

    Then answers under way get `LEAVE_SECONDS` to be finished and taken.
    """
    leaving = asyncio.Event()
    server = _Server(_configuration(instance, doors, leaving))
    asyncio.get_running_loop().set_exception_handler(Exhaustion(instance))
    running = asyncio.ensure_future(server.serve([door.listening for door in doors.doors]))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        leaving.set()
        server.should_exit = True
        await running
        raise
    finally:
        for connection in list(server.server_state.connections):
            connection.transport.abort()
