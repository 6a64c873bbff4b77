"""Servers of a few lines on loopback, each as good or as bad as a test needs it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from natlb.control.config.values import CheckConfig
from natlb.control.health import probe as probe_module
from natlb.control.health.probe import Result, Target, probe
from natlb.control.health.sockets import open_here

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

LONG = 60.0
"""A timeout that no test reaches, on whatever machine."""
SHORT = 0.1
"""A timeout that a test waits for."""

CLOSED = 1
"""A port that nobody listens at: tcpmux, which nobody has run for thirty years."""

Talk = Callable[[socket.socket], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[int]:
    """Serve connections of TCP, each by `talk`, which owns none of it; gives the port."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []
    connections: list[socket.socket] = []

    async def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError):
            await talk(connection)

    def accept(server: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connections.append(server.accept()[0])
            connections[-1].setblocking(False)
            tasks.append(loop.create_task(serve(connections[-1])))

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        loop.add_reader(server.fileno(), accept, server)
        try:
            yield server.getsockname()[1]
        finally:
            loop.remove_reader(server.fileno())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for connection in connections:
                connection.close()


@contextlib.asynccontextmanager
async def answering(answer: Callable[[bytes], bytes | None]) -> AsyncIterator[int]:
    """Serve datagrams, each with what `answer` gives; gives the port."""
    loop = asyncio.get_running_loop()

    async def serve(server: socket.socket) -> None:
        while True:
            said, who = await loop.sock_recvfrom(server, 65535)
            if (reply := answer(said)) is not None:
                await loop.sock_sendto(server, reply, who)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        task = loop.create_task(serve(server))
        try:
            yield server.getsockname()[1]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def saying(octets: bytes) -> Talk:
    """Return who hears something, says this and closes."""

    async def talk(connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_recv(connection, 65536)
        await loop.sock_sendall(connection, octets)
        connection.shutdown(socket.SHUT_WR)
        while await loop.sock_recv(connection, 65536):
            pass

    return talk


async def silent(connection: socket.socket) -> None:
    """Hear everything and say nothing."""
    while await asyncio.get_running_loop().sock_recv(connection, 65536):
        pass


async def closing(connection: socket.socket) -> None:
    """Close as soon as there is a connection, having read what was said."""
    await asyncio.get_running_loop().sock_recv(connection, 65536)


def flooding(piece: bytes) -> Talk:
    """Return who says this again and again, and never ends."""

    async def talk(connection: socket.socket) -> None:
        while True:
            await asyncio.get_running_loop().sock_sendall(connection, piece * 1000)

    return talk


def trickling(octets: bytes) -> Talk:
    """Return who says an octet at a time, with so much between that no check has time for all."""

    async def talk(connection: socket.socket) -> None:
        for octet in octets:
            await asyncio.get_running_loop().sock_sendall(connection, bytes([octet]))
            await asyncio.sleep(SHORT / 4)  # the server's own slowness: nobody waits for its end

    return talk


def target(port: int, **given: object) -> Target:
    """Return a backend on loopback."""
    fields = {"service": "web", "backend": "b1", "address": ip_address("127.0.0.1"), "port": port}
    return Target(**{**fields, **given})  # type: ignore[arg-type]


async def ask(port: int, *, timeout: float = LONG, **check: Any) -> Result:  # noqa: ASYNC109 - a check's key
    """Return what a check of this port comes to."""
    config = CheckConfig(timeout=timeout, **check)
    return await probe(config, target(port), open_here)


def against(talk: Talk, **check: Any) -> Result:
    """Return what a check comes to that meets this server."""

    async def run() -> Result:
        async with listening(talk) as port:
            return await ask(port, **check)

    return asyncio.run(run())


def never_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have natlb never take itself for held up: the machine of a test may be."""
    monkeypatch.setattr(probe_module, "LATE_SECONDS", LONG)


def make_certificates(folder: Path) -> None:
    """Make ca.pem, and web.pem and old.pem with their keys, of which the latter ran out."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    (folder / "names").write_text("subjectAltName=DNS:web.test,IP:127.0.0.1\n")
    ca = ("-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=natlb test")
    openssl("req", *curve, *ca)
    for name, days in (("web", "30"), ("old", "-1")):
        request = ("-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=web.test")
        openssl("req", "-new", *curve, *request)
        signed = ("-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
        given = ("-days", days, "-extfile", "names", "-out", f"{name}.pem")
        openssl("x509", "-req", *signed, *given)
