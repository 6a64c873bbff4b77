from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from functools import partial

import pytest

from natlb.lab.backend import Echo, datagram_sockets, serve_connection


def talk(octets: bytes) -> bytes:
    """Return all that a backend answers to these octets before it or we close."""

    async def conversation() -> bytes:
        server = await asyncio.start_server(
            partial(serve_connection, "b1"), "127.0.0.1", 0, limit=65536
        )
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(octets)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        server.close()
        return answer

    return asyncio.run(asyncio.wait_for(conversation(), 20))


def bodies(answer: bytes) -> list[bytes]:
    """Return the bodies of the answers."""
    return [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 ")[1:]]


def test_it_answers_with_its_name_and_with_who_called() -> None:
    """The client counts the names, and sees that the backend saw the client's own address."""
    answer = talk(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nX-Client: 127.0.0.1:" in answer
    assert bodies(answer) == [b"b1\n"]


def test_a_connection_is_kept_until_asked_to_close() -> None:
    """Requests may also come at once, before the first is answered."""
    kept = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n"

    answer = talk(kept + kept + last + kept)
    assert bodies(answer) == [b"b1\n"] * 3
    assert answer.count(b"Connection: close") == 1


def test_http_1_0_closes_unless_asked_not_to() -> None:
    """RFC 9112, section 9.3: what `ab` sends."""
    closing = b"GET / HTTP/1.0\r\n\r\n"
    keeping = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"

    assert len(bodies(talk(closing + closing))) == 1
    assert len(bodies(talk(keeping + closing))) == 2


def test_a_body_is_skipped() -> None:
    """What follows it is the next request."""
    post = b"POST / HTTP/1.1\r\nHost: x\r\ncontent-length: 30\r\n\r\n" + b"GET /" * 6

    assert len(bodies(talk(post + post))) == 2


def test_head_has_no_body() -> None:
    """Its length is told all the same."""
    answer = talk(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert b"Content-Length: 3\r\n" in answer
    assert bodies(answer) == [b""]


@pytest.mark.parametrize("size", [0, 1, 65536, 200_001])
def test_it_sends_as_much_as_is_asked_for(size: int) -> None:
    """Enough of it makes the kernel send super-packets."""
    answer = talk(b"GET /bytes/%d HTTP/1.1\r\nHost: x\r\n\r\n" % size)

    assert len(bodies(answer)[0]) == size


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"rubbish\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
        (b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70000 + b"\r\n\r\n", b"431"),
    ],
)
def test_what_it_does_not_read_is_refused_and_closed(octets: bytes, status: bytes) -> None:
    """Reading on after such a request would take a body for a request."""
    answer = talk(octets + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    "octets", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"]
)
def test_a_client_that_stops_in_the_middle_is_let_go(octets: bytes) -> None:
    """It gets no answer, and the backend goes on."""
    assert talk(octets) == b""


def test_a_datagram_comes_back_with_the_name_before_it() -> None:
    """Over IPv4 and IPv6, on the same port, also an empty one."""

    async def conversation() -> list[bytes]:
        loop = asyncio.get_running_loop()
        answers = []
        for address in ("127.0.0.1", "::1"):
            [sock] = datagram_sockets(address, 0)
            transport, _ = await loop.create_datagram_endpoint(lambda: Echo("b1"), sock=sock)
            with socket.socket(sock.family, socket.SOCK_DGRAM) as client:
                client.setblocking(False)
                await loop.sock_connect(client, sock.getsockname()[:2])
                for octets in (b"hello", b"", b"x" * 60000):
                    await loop.sock_sendall(client, octets)
                    answers.append(await loop.sock_recv(client, 65536))
            transport.close()
        return answers

    answers = asyncio.run(asyncio.wait_for(conversation(), 20))
    assert answers == [b"b1 hello", b"b1 ", b"b1 " + b"x" * 60000] * 2


def test_one_port_serves_both_ip_versions() -> None:
    """Each has its socket, so that an answer leaves by the address that was asked."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as free:
        free.bind(("::", 0))
        port = free.getsockname()[1]
    sockets = datagram_sockets(None, port)

    assert {sock.family for sock in sockets} == {socket.AF_INET, socket.AF_INET6}
    for sock in sockets:
        sock.close()


def test_the_process_says_ready_once_it_listens() -> None:
    """What started it waits for that line, and may then stop reading."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "natlb.lab.backend", "--name", "b7"]
    options = ["--http", str(port), "--udp", str(port), "--address", "127.0.0.1"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.read() == b"ready\n"
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert client.makefile("rb").read().endswith(b"\r\n\r\nb7\n")
        finally:
            process.kill()
