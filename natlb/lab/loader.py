"""The client process of a lab: it sends traffic, and counts who answered as the client saw it.

    python -m natlb.lab.loader '{"phases": [...], "deadline": 30}'

Prints JSON lines: `{"progress": ...}` while a phase runs, `{"outcome": ...}` at the end of each.
Every phase is bounded in count and in time; what was not done by the deadline is an error, so that
a result without errors means that everything was sent and answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Kind = Literal["connections", "requests", "datagrams"]

ANSWER_SECONDS = 5.0  # a lost SYN is sent again after 1 s and after 3 s (Linux: TCP_TIMEOUT_INIT)
PROGRESS_SECONDS = 0.25
IP_BIND_ADDRESS_NO_PORT = 24  # Linux: in.h; the port is chosen at connect, by the whole 4-tuple
REQUEST = b"GET / HTTP/1.1\r\nHost: lab\r\n%s\r\n"
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


class BadAnswerError(Exception):
    """What came back is not what was asked for; the text says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One kind of traffic to one service: new connections, kept ones, or datagrams."""

    service: str
    kind: Kind
    address: str
    port: int
    count: int
    concurrency: int
    sources: list[str]  # the client's addresses, taken in turn; none: the kernel's choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the client saw of a phase. `moved` counts sources that two backends answered."""

    service: str
    kind: Kind
    address: str
    sent: int
    answered: int
    seconds: float
    backends: dict[str, int]
    latency_ms: dict[str, float]
    errors: dict[str, int]
    sources: int
    moved: int


@dataclass(slots=True)
class Tally:
    """The counts of a phase while it runs."""

    phase: Phase
    sent: int = 0
    latencies: list[int] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    backends: Counter[str] = field(default_factory=Counter)
    answerers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def answered(self, source: str, backend: str, began_ns: int) -> None:
        """Count an answer."""
        self.latencies.append(time.perf_counter_ns() - began_ns)
        self.backends[backend] += 1
        self.answerers[source].add(backend)

    def outcome(self, seconds: float) -> Outcome:
        """Return the counts; what was never sent, or sent and not heard of, is an error."""
        phase = self.phase
        missing = phase.count - len(self.latencies) - self.errors.total()
        errors = self.errors + Counter({"not done by the deadline": missing})
        return Outcome(
            service=phase.service,
            kind=phase.kind,
            address=phase.address,
            sent=self.sent,
            answered=len(self.latencies),
            seconds=round(seconds, 3),
            backends=dict(sorted(self.backends.items())),
            latency_ms=percentiles(self.latencies),
            errors=dict(errors),
            sources=len(self.answerers),
            moved=sum(len(names) > 1 for names in self.answerers.values()),
        )


@dataclass(slots=True)
class Lane:
    """One of the senders of a phase: its source address, and its share of what is to be sent.

    Shares are equal, so that a backend gets what its connections were given, not what it is
    quickest at.
    """

    tally: Tally
    source: str
    left: int

    def take(self) -> bool:
        """Return whether there is one more to send, and count it as sent."""
        if not self.left:
            return False
        self.left -= 1
        self.tally.sent += 1
        return True

    def open(self, kind: socket.SocketKind) -> socket.socket:
        """Return a socket that does not block, bound to the source address."""
        v6 = ":" in self.tally.phase.address
        sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, kind)
        sock.settimeout(0)
        try:
            if self.source:
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((self.source, 0))
        except OSError:
            sock.close()
            raise
        return sock

    async def connect(self, sock: socket.socket) -> None:
        """Connect a socket to the service."""
        place = (self.tally.phase.address, self.tally.phase.port)
        await asyncio.get_running_loop().sock_connect(sock, place)

    def answered(self, backend: str, began_ns: int) -> None:
        """Count an answer."""
        self.tally.answered(self.source, backend, began_ns)


def make_lanes(tally: Tally) -> list[Lane]:
    """Return the senders of a phase, the sources taken in turn."""
    phase = tally.phase
    sources = phase.sources or [""]
    lanes = min(phase.concurrency, phase.count)
    share, rest = divmod(phase.count, lanes)
    return [
        Lane(tally, sources[lane % len(sources)], share + (lane < rest)) for lane in range(lanes)
    ]


def percentiles(latencies_ns: list[int]) -> dict[str, float]:
    """Return percentiles in milliseconds, by nearest rank; nothing of nothing."""
    ordered = sorted(latencies_ns)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {
        name: round(ordered[min(int(share * len(ordered)), last)] / 1e6, 3)
        for name, share in PERCENTILES.items()
    }


async def run_phase(phase: Phase, deadline: float, report: Callable[[Tally], None]) -> Outcome:
    """Send a phase's traffic for at most `deadline` seconds; `report` hears of it meanwhile."""
    tally = Tally(phase)
    senders = {"connections": send_connections, "requests": send_requests}
    send = senders.get(phase.kind, send_datagrams)
    began = time.perf_counter()
    reporter = asyncio.create_task(_report(tally, report))
    tasks = [asyncio.create_task(_work(send, lane)) for lane in make_lanes(tally)]
    await asyncio.wait(tasks, timeout=deadline)
    for task in (reporter, *tasks):
        task.cancel()
    await asyncio.gather(reporter, *tasks, return_exceptions=True)
    return tally.outcome(time.perf_counter() - began)


async def _report(tally: Tally, report: Callable[[Tally], None]) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        report(tally)


async def _work(send: Callable[[Lane], Coroutine[None, None, None]], lane: Lane) -> None:
    """Send until there is no more to send.

    `send` is called with one request taken, takes more while all goes well, and raises for the
    one it holds: that is one error, and the lane begins afresh.
    """
    errors = lane.tally.errors
    while lane.take():
        try:
            await send(lane)
        except TimeoutError:
            errors["no answer"] += 1
        except OSError as error:
            errors[os.strerror(error.errno).lower() if error.errno else str(error)] += 1
        except BadAnswerError as error:
            errors[str(error)] += 1


async def send_connections(lane: Lane) -> None:
    """Send one request over a connection of its own."""
    began = time.perf_counter_ns()
    async with asyncio.timeout(ANSWER_SECONDS):
        with lane.open(socket.SOCK_STREAM) as sock:
            await lane.connect(sock)
            backend = await _ask(sock, REQUEST % b"Connection: close\r\n")
    lane.answered(backend, began)


async def send_requests(lane: Lane) -> None:
    """Send requests over one kept connection, each when the one before was answered."""
    began = time.perf_counter_ns()
    with lane.open(socket.SOCK_STREAM) as sock:
        async with asyncio.timeout(ANSWER_SECONDS):
            await lane.connect(sock)
        while True:
            async with asyncio.timeout(ANSWER_SECONDS):
                backend = await _ask(sock, REQUEST % b"")
            lane.answered(backend, began)
            if not lane.take():
                return
            began = time.perf_counter_ns()


async def send_datagrams(lane: Lane) -> None:
    """Send datagrams from one socket, each when the one before was answered."""
    loop = asyncio.get_running_loop()
    with lane.open(socket.SOCK_DGRAM) as sock:
        await lane.connect(sock)
        while True:
            began = time.perf_counter_ns()
            asked = b"datagram %d" % lane.tally.sent
            async with asyncio.timeout(ANSWER_SECONDS):
                await loop.sock_sendall(sock, asked)
                name, _, echoed = (await loop.sock_recv(sock, 2048)).partition(b" ")
            if echoed != asked:
                raise BadAnswerError("an answer to another datagram")
            lane.answered(name.decode("latin-1"), began)
            if not lane.take():
                return


async def _ask(sock: socket.socket, request: bytes) -> str:
    """Return who answered the request; BadAnswerError for anything but a whole 200."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, request)
    received = b""
    while True:
        chunk = await loop.sock_recv(sock, 65536)
        received += chunk
        head, found, body = received.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head):
            break
        if not chunk:
            raise BadAnswerError("connection closed before the answer")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise BadAnswerError(head.partition(b"\r\n")[0].decode("latin-1"))
    return body.decode("latin-1").strip()


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0] or b"0")


def _print(kind: str, value: object) -> None:
    sys.stdout.write(json.dumps({kind: value}) + "\n")
    sys.stdout.flush()


def _print_progress(tally: Tally) -> None:
    phase = tally.phase
    done = len(tally.latencies)
    _print("progress", {"service": phase.service, "kind": phase.kind, "done": done})


async def run(phases: list[Phase], deadline: float) -> None:
    """Run the phases one after the other, in `deadline` seconds all of them."""
    end = time.monotonic() + deadline
    for phase in phases:
        outcome = await run_phase(phase, max(0.0, end - time.monotonic()), _print_progress)
        _print("outcome", asdict(outcome))


def main() -> None:
    """Run the plan that is the only argument."""
    plan = json.loads(sys.argv[1])
    asyncio.run(run([Phase(**each) for each in plan["phases"]], plan["deadline"]))


if __name__ == "__main__":
    main()
