"""A backend: an HTTP/1.1 server and a UDP echo that answer with their name.

    python -m natlb.lab.backend --name b1 --http 8080 --udp 9000

GET / answers `b1`, and says in `X-Client` who it was called by; GET /bytes/N answers N octets.
A datagram comes back with the name and a space before it. Prints `ready` once it listens, and then
nothing more. It serves a lab: enough of RFC 9112 for curl and load generators, no transfer codings.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
import sys
from typing import cast

MOST_HEAD = 65536  # octets of a request's head
MOST_BODY = 1 << 30  # octets of GET /bytes/N
CHUNK = bytes(65536)
MOST_ECHO = 65000  # a datagram holds 65,507 octets over IPv4, the name comes on top
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*\r\n", re.IGNORECASE)
CONNECTION = re.compile(rb"\r\nconnection:[ \t]*([^\r\n]*)\r\n", re.IGNORECASE)
METHODS = (b"GET", b"HEAD", b"POST", b"PUT")
REQUEST_LINE = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.([01])\r\n")


class BadRequestError(Exception):
    """What came is no request that this server reads; the text is the status line's end."""


async def serve_connection(
    name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer requests until one asks to close, the other end closes, or one cannot be read."""
    try:
        while await answer(name, reader, writer):
            pass
    except BadRequestError as error:
        writer.write(response(str(error).encode(), b"", name, [b"Connection: close"]))
    except (OSError, asyncio.IncompleteReadError):
        pass  # the other end is gone, possibly in the middle of a request
    finally:
        writer.close()


async def answer(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer one request; return whether the connection is kept."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise BadRequestError("431 Request Header Fields Too Large") from error
    line = REQUEST_LINE.match(head)
    if line is None:
        raise BadRequestError("400 Bad Request")
    method, target, minor = line.groups()
    if method not in METHODS or b"\r\ntransfer-encoding:" in head.lower():
        raise BadRequestError("501 Not Implemented")
    await skip_body(head, reader)
    keep = keeps(head, minor)
    fields = [b"X-Client: " + format_peer(writer)] + ([] if keep else [b"Connection: close"])
    await write_answer(name, target, writer, fields, only_head=method == b"HEAD")
    return keep


async def skip_body(head: bytes, reader: asyncio.StreamReader) -> None:
    """Read past the request's body."""
    found = LENGTH.search(head)
    left = int(found[1]) if found else 0
    while left:
        chunk = await reader.read(min(left, len(CHUNK)))
        if not chunk:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(chunk)


def keeps(head: bytes, minor: bytes) -> bool:
    """Return whether the connection outlives the request (RFC 9112, section 9.3)."""
    found = CONNECTION.search(head)
    options = [] if found is None else [each.strip().lower() for each in found[1].split(b",")]
    return b"close" not in options and (minor == b"1" or b"keep-alive" in options)


async def write_answer(
    name: str,
    target: bytes,
    writer: asyncio.StreamWriter,
    fields: list[bytes],
    *,
    only_head: bool,
) -> None:
    """Write the answer to a request for `target`."""
    size = re.fullmatch(rb"/bytes/(\d{1,10})", target)
    if size is None:
        body = name.encode() + b"\n"
        writer.write(response(b"200 OK", body, name, fields, only_head=only_head))
    else:
        left = min(int(size[1]), MOST_BODY)
        writer.write(head_of(b"200 OK", left, name, fields))
        while left and not only_head:
            writer.write(CHUNK[:left])
            left -= min(left, len(CHUNK))
            await writer.drain()
    await writer.drain()


def response(
    status: bytes, body: bytes, name: str, fields: list[bytes], *, only_head: bool = False
) -> bytes:
    """Return a whole answer."""
    return head_of(status, len(body), name, fields) + (b"" if only_head else body)


def head_of(status: bytes, length: int, name: str, fields: list[bytes]) -> bytes:
    """Return the head of an answer with a body of `length` octets."""
    lines = [
        b"HTTP/1.1 " + status,
        b"Server: " + name.encode(),
        b"Content-Type: text/plain",
        b"Content-Length: %d" % length,
        *fields,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def format_peer(writer: asyncio.StreamWriter) -> bytes:
    """Return who calls, as `address:port`, IPv4 without its mapped prefix."""
    host, port = writer.get_extra_info("peername")[:2]
    text = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return text.encode()


class Echo(asyncio.DatagramProtocol):
    """Sends each datagram back with the name before it."""

    def __init__(self, name: str) -> None:
        """Answer as `name`."""
        self.prefix = name.encode() + b" "
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = cast("asyncio.DatagramTransport", transport)  # by shape alone in 3.11

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Send it back."""
        assert self.transport is not None
        self.transport.sendto(self.prefix + data[:MOST_ECHO], addr)


async def serve(name: str, http: int | None, udp: int | None, address: str | None) -> None:
    """Serve on the ports, over IPv4 and IPv6, until killed. `address` None: on all of them."""
    servers = []
    if http is not None:
        server = await asyncio.start_server(
            lambda reader, writer: serve_connection(name, reader, writer),
            address,
            http,
            limit=MOST_HEAD,
            backlog=4096,
        )
        servers.append(server)
    if udp is not None:
        loop = asyncio.get_running_loop()
        for sock in datagram_sockets(address, udp):
            await loop.create_datagram_endpoint(lambda: Echo(name), sock=sock)
    announce()
    await asyncio.Event().wait()
    assert servers is not None  # held until here: a server without a name may be collected


def datagram_sockets(address: str | None, port: int) -> list[socket.socket]:
    """Return bound UDP sockets: for one address, or for all there are of both IP versions."""
    flags = socket.AI_PASSIVE
    found = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM, flags=flags)
    sockets = []
    for family, kind, protocol, _, place in found:
        sock = socket.socket(family, kind, protocol)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(place)
        sockets.append(sock)
    return sockets


def announce() -> None:
    """Print `ready` and let go of standard output: nobody reads it after that line."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m natlb.lab.backend")
    parser.add_argument("--name", required=True)
    parser.add_argument("--http", type=int, metavar="PORT")
    parser.add_argument("--udp", type=int, metavar="PORT")
    parser.add_argument("--address", help="serve on this address only")
    given = parser.parse_args()
    asyncio.run(serve(given.name, given.http, given.udp, given.address))


if __name__ == "__main__":
    main()
