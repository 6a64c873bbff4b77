"""Many connections that move data all the time, and a pulse of datagrams that shows each pause.

    python -m tests.netns.crowd server ADDRESS PORT NAME
    python -m tests.netns.crowd client VIP PORT CONNECTIONS DATAGRAM_FLOWS SECONDS
    python -m tests.netns.crowd callers VIP PORT CALLERS SECONDS

The client opens its connections, says `{"open": N}`, and then sends on each of them every
`ROUND_SECONDS` a message that must come back whole. Of each flow of datagrams the same backend
must answer always. A line on its standard input is answered by what was seen since the line
before; at the end of its input, or of SECONDS, it ends.

Callers make a connection for each request, one after the other; the server hangs up first, so
that the client's ports are free again at once. At the end they say how many requests there were,
and what failed.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import selectors
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field

ROUND_SECONDS = 2.0
PULSE_SECONDS = 0.005
PATIENCE_SECONDS = 30.0  # for an echo: longer than a retransmission takes after any pause
AT_ONCE = 100  # connections that are being opened
MESSAGE = 512
ONCE = b"once\n"  # after this the server hangs up
CALL_SECONDS = 20.0


@dataclass(slots=True)
class Talk:
    """A connection of the client's: what it sent and has not got back yet."""

    number: int
    sock: socket.socket
    due: float
    expected: bytes = b""
    sent_at: float = 0.0
    rounds: int = 0


@dataclass(slots=True)
class Seen:
    """What happened since somebody asked."""

    echoes: int = 0
    datagrams: int = 0
    longest_gap: float = 0.0
    gap_since: float = field(default_factory=time.monotonic)
    failures: list[str] = field(default_factory=list)

    def as_json(self) -> str:
        """Return it as one line."""
        return json.dumps(
            {
                "echoes": self.echoes,
                "datagrams": self.datagrams,
                "longest_gap": round(self.longest_gap, 4),
                "failures": self.failures[:20],
                "failed": len(self.failures),
            }
        )


class Crowd:
    """The client: connections, flows of datagrams, and the pulse among them."""

    def __init__(self, vip: str, port: int, connections: int, flows: int) -> None:
        """Open all of them."""
        self._target = (vip, port)
        self._selector = selectors.DefaultSelector()
        self._talks: list[Talk] = []
        self._owners: dict[int, str] = {}
        self.seen = Seen()
        self._open_all(connections)
        self._datagrams = [self._datagram_socket(at) for at in range(flows + 1)]
        self._queue = deque(sorted(self._talks, key=lambda talk: talk.due))
        self._pulse_due = self._flows_due = time.monotonic()
        self._pulses = 0

    def _open_all(self, count: int) -> None:
        for number in range(count):
            sock = socket.create_connection(self._target, timeout=PATIENCE_SECONDS)
            sock.setblocking(False)
            share = ROUND_SECONDS * number / count
            talk = Talk(number, sock, time.monotonic() + share)
            self._talks.append(talk)
            self._selector.register(sock, selectors.EVENT_READ, talk)
            if number % AT_ONCE == 0:
                self._selector.select(0)

    def _datagram_socket(self, number: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(self._target)
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, number)
        return sock

    def run(self, seconds: float) -> None:
        """Talk until standard input ends, or the time is over."""
        self._selector.register(sys.stdin, selectors.EVENT_READ, None)
        os.set_blocking(sys.stdin.fileno(), False)
        end = time.monotonic() + seconds
        self.seen = Seen()
        while time.monotonic() < end:
            for key, _ in self._selector.select(PULSE_SECONDS / 2):
                if key.data is None:
                    if not self._answer():
                        return
                elif isinstance(key.data, Talk):
                    self._hear(key.data)
                else:
                    self._hear_datagram(key.data)
            self._send_due(time.monotonic())

    def _answer(self) -> bool:
        if not os.read(sys.stdin.fileno(), 100):
            return False
        self._note_gap(time.monotonic())
        say(self.seen.as_json())
        self.seen = Seen()
        return True

    def _send_due(self, now: float) -> None:
        if now >= self._pulse_due:
            self._pulse_due = now + PULSE_SECONDS
            self._send_datagram(0)
        if now >= self._flows_due:
            self._flows_due = now + ROUND_SECONDS
            for number in range(1, len(self._datagrams)):
                self._send_datagram(number)
        while self._queue and self._queue[0].due <= now:
            talk = self._queue.popleft()
            self._send(talk, now)
            talk.due = now + ROUND_SECONDS
            self._queue.append(talk)

    def _send(self, talk: Talk, now: float) -> None:
        if talk.sock.fileno() < 0:
            return
        if talk.expected:
            if now - talk.sent_at > PATIENCE_SECONDS:
                self._fail(talk, f"no echo of round {talk.rounds} in {PATIENCE_SECONDS:g} s")
            return
        talk.rounds += 1
        text = f"{talk.number}:{talk.rounds}:".encode()
        talk.expected, talk.sent_at = text.ljust(MESSAGE, b"x"), now
        try:
            talk.sock.sendall(talk.expected)
        except OSError as error:
            self._fail(talk, f"cannot send: {error}")

    def _hear(self, talk: Talk) -> None:
        try:
            piece = talk.sock.recv(4096)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(talk, f"{error} in round {talk.rounds}")
            return
        if not piece or not talk.expected.startswith(piece):
            self._fail(talk, f"{piece[:40]!r} came in round {talk.rounds}")
            return
        talk.expected = talk.expected[len(piece) :]
        self.seen.echoes += not talk.expected

    def _fail(self, talk: Talk, why: str) -> None:
        where = talk.sock.getsockname()[1]
        self.seen.failures.append(f"connection {talk.number} of port {where}: {why}")
        self._selector.unregister(talk.sock)
        talk.sock.close()

    def _send_datagram(self, number: int) -> None:
        try:
            self._datagrams[number].send(str(number).encode())
        except BlockingIOError:
            pass
        except OSError as error:
            self.seen.failures.append(f"datagrams {number}: {error}")

    def _hear_datagram(self, number: int) -> None:
        try:
            owner = self._datagrams[number].recv(100).decode()
        except BlockingIOError:
            return
        except OSError as error:
            self.seen.failures.append(f"datagrams {number}: {error}")
            return
        self.seen.datagrams += 1
        if number == 0:
            self._note_gap(time.monotonic())
        before = self._owners.setdefault(number, owner)
        if owner != before:
            self.seen.failures.append(f"datagrams {number}: went from {before} to {owner}")
            self._owners[number] = owner

    def _note_gap(self, now: float) -> None:
        self.seen.longest_gap = max(self.seen.longest_gap, now - self.seen.gap_since)
        self.seen.gap_since = now


async def call_again_and_again(vip: str, port: int, callers: int, seconds: float) -> None:
    """Make one request after the other, so many at once, and say what became of them."""
    end = time.monotonic() + seconds
    failures: Counter[str] = Counter()
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.monotonic() < end:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    await _call_once(vip, port)
            except (OSError, EOFError) as error:
                failures[f"{type(error).__name__}: {error}"] += 1
            done += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    say(json.dumps({"requests": done, "failed": failures.total(), "failures": failures}))


async def _call_once(vip: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (vip, port))
        await loop.sock_sendall(sock, ONCE)
        answer = b""
        while piece := await loop.sock_recv(sock, 100):
            answer += piece
        if answer != ONCE:
            raise EOFError(f"{answer!r} came back")


def say(line: str) -> None:
    """Tell whoever started this process."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def serve(address: str, port: int, name: str) -> None:
    """Echo what connections send, and answer each datagram with a name, until killed."""
    selector = selectors.DefaultSelector()
    listening = socket.create_server((address, port), backlog=1024)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((address, port))
    for sock in (listening, datagrams):
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ)
    say("serving")
    while True:
        for key, _ in selector.select():
            ready = key.fileobj
            assert isinstance(ready, socket.socket)
            if ready is listening:
                connection, _ = ready.accept()
                selector.register(connection, selectors.EVENT_READ)
            elif ready is datagrams:
                _, client = ready.recvfrom(2048)
                ready.sendto(name.encode(), client)
            else:
                _echo(selector, ready)


def _echo(selector: selectors.BaseSelector, sock: socket.socket) -> None:
    try:
        piece = sock.recv(4096)
        if piece:
            sock.sendall(piece)
        if piece and piece != ONCE:
            return
    except OSError:
        pass
    selector.unregister(sock)
    sock.close()


def main(words: list[str]) -> None:
    """Be one of the three."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if words[0] == "server":
        serve(words[1], int(words[2]), words[3])
    elif words[0] == "callers":
        callers, seconds = int(words[3]), float(words[4])
        asyncio.run(call_again_and_again(words[1], int(words[2]), callers, seconds))
    else:
        crowd = Crowd(words[1], int(words[2]), int(words[3]), int(words[4]))
        say(json.dumps({"open": int(words[3])}))
        crowd.run(float(words[5]))


if __name__ == "__main__":
    main(sys.argv[1:])
