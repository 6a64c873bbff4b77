"""Sockets of checks: opened, connected, read within bounds, reset."""

from __future__ import annotations

import asyncio
import errno
import socket
from ipaddress import ip_address

import pytest

from natlb.control.config import parse_config
from natlb.control.health.codes import Code
from natlb.control.health.sockets import (
    MOST_READ,
    TURNS,
    connected,
    open_here,
    open_stream,
    opener,
)
from natlb.control.health.steps import Failure, Steps
from tests.unit.control.health.servers import flooding, listening, saying, target

SERVICE = "services: {web: {listen: tcp://203.0.113.10:80, backends: [10.77.0.11]}}\n"


def test_a_namespace_is_entered_by_who_may() -> None:
    """Without one, control opens its sockets itself."""

    async def ask(family: int, kind: int) -> socket.socket:
        return await open_here(family, kind)

    private = "datapath: {public: {netns: out}, private: {netns: in}}\n"

    assert opener(parse_config(SERVICE, "natlb.yaml"), ask) is open_here
    assert opener(parse_config(SERVICE + private, "natlb.yaml"), ask) is ask


def test_the_source_is_as_asked() -> None:
    """A backend may let in no other."""

    async def run() -> None:
        async with listening(saying(b"")) as port:
            place = target(port, source=ip_address("127.0.0.2"))
            with await connected(place, socket.SOCK_STREAM, Steps(), open_here) as made:
                assert made.getsockname()[0] == "127.0.0.2"

    asyncio.run(run())


def test_a_connection_to_oneself_is_no_connection() -> None:
    """Where nobody listens at a port that connect draws from, TCP may meet itself."""

    async def run() -> None:
        made = socket.socket()
        made.bind(("127.0.0.1", 0))

        async def same(_family: int, _kind: int) -> socket.socket:
            return made

        with pytest.raises(ConnectionRefusedError):
            await connected(target(made.getsockname()[1]), socket.SOCK_STREAM, Steps(), same)
        assert made.fileno() == -1

    asyncio.run(run())


def test_a_socket_that_cannot_connect_is_closed() -> None:
    """A thousand checks a second would use up all there are."""

    async def run() -> None:
        made = await open_here(socket.AF_INET, socket.SOCK_STREAM)

        async def same(_family: int, _kind: int) -> socket.socket:
            return made

        place = target(1, source=ip_address("192.0.2.1"))
        with pytest.raises(OSError, match=r".") as refused:
            await connected(place, socket.SOCK_STREAM, Steps(), same)
        assert refused.value.errno == errno.EADDRNOTAVAIL
        assert made.fileno() == -1

    asyncio.run(run())


def test_a_flood_is_read_up_to_a_bound() -> None:
    """And the loop has its turns in between."""

    async def run() -> None:
        async with listening(flooding(b"x" * 65536)) as port:
            stream = await open_stream(target(port), Steps(), open_here)
            read = 0
            try:
                while octets := await stream.receive():
                    read += len(octets)
            except Failure as failure:
                assert failure.code is Code.L7RSP  # noqa: PT017 - how far it came matters too
            stream.close()
            assert MOST_READ - MOST_READ // TURNS <= read <= MOST_READ

    asyncio.run(run())


def test_a_connection_is_closed_by_a_reset() -> None:
    """No TIME_WAIT is left on this side, of which a thousand a second use up all ports."""

    async def run() -> None:
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def talk(connection: socket.socket) -> None:
            try:
                await asyncio.get_running_loop().sock_recv(connection, 1)
                ended.set_result("closed")
            except ConnectionResetError:
                ended.set_result("reset")

        async with listening(talk) as port:
            (await open_stream(target(port), Steps(), open_here)).close()
            assert await ended == "reset"

    asyncio.run(run())
