"""The kernel's news, from octets as it writes them, and from the kernel itself."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import pytest

from natlb.netlink.events import CLONED, Change, Events, parse


def message(kind: int, body: bytes) -> bytes:
    """Return a netlink message."""
    text = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body
    return text + bytes(-len(text) % 4)


def route(
    destination: str, length: int, *, table: int = 254, protocol: int = 3, flags: int = 0
) -> bytes:
    """Return a route's body, its table as an attribute where a byte cannot hold it."""
    address = ip_address(destination)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    short = table if table < 256 else 252
    head = struct.pack("=BBBBBBBBI", family, length, 0, 0, short, protocol, 0, 1, flags)
    size = len(address.packed)
    attributes = struct.pack("=HHI", 8, 15, table)
    if length:
        attributes += struct.pack("=HH", 4 + size, 1) + address.packed
    return head + attributes


@pytest.mark.parametrize(
    ("kind", "told"), [(16, "link"), (17, "link"), (21, "address"), (33, "rule"), (80, "switch")]
)
def test_what_kind_of_thing_changed_is_told(kind: int, told: str) -> None:
    """Made or gone is the same: a look follows."""
    assert [change.kind for change in parse(message(kind, bytes(12)))] == [told]


def test_of_a_route_it_is_told_which() -> None:
    """Nearly all of them lead elsewhere, and nobody is to look for their sake."""
    octets = message(24, route("203.0.113.0", 24, table=6285, protocol=78))
    octets += message(25, route("2001:db8::", 32))

    assert list(parse(octets)) == [
        Change("route", 4, 6285, 78, 24, int(ip_address("203.0.113.0"))),
        Change("route", 6, 254, 3, 32, int(ip_address("2001:db8::"))),
    ]


def test_a_default_route_has_no_destination() -> None:
    """Its length says so."""
    assert list(parse(message(24, route("0.0.0.0", 0)))) == [Change("route", 4, 254, 3, 0, 0)]


def test_what_the_kernel_learned_of_one_destination_is_no_route() -> None:
    """It clones one for each."""
    assert list(parse(message(24, route("2001:db8::1", 128, flags=CLONED)))) == []


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\1\2\3",
        message(3, b""),
        message(24, b"\2"),
        struct.pack("=IHHII", 4, 24, 0, 0, 0),
        message(24, struct.pack("=BBBBBBBBI", 99, 0, 0, 0, 254, 3, 0, 1, 0)),
    ],
)
def test_what_is_not_understood_is_passed_over(octets: bytes) -> None:
    """News are hints: one that is missed is made up for by the next look."""
    assert list(parse(octets)) == []


def test_a_broken_attribute_ends_the_reading() -> None:
    """And not the reader."""
    body = route("203.0.113.0", 24)[:12] + struct.pack("=HH", 1, 1)

    assert [change.length for change in parse(message(24, body))] == [24]


def test_nothing_said_is_nothing_read() -> None:
    """A session needs no right, and reads without waiting."""
    events = Events()
    try:
        assert events.fileno() >= 0
        assert events.read() == []
    finally:
        events.close()


def test_what_was_lost_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the kernel's word, or because there is no end of it."""
    events = Events()
    try:

        class Full:
            def recvfrom(self, _size: int) -> tuple[bytes, tuple[int, int]]:
                raise OSError(105, "No buffer space available")

            def close(self) -> None:
                pass

        class Endless(Full):
            def recvfrom(self, _size: int) -> tuple[bytes, tuple[int, int]]:
                return message(16, bytes(16)), (0, 1)

        real = events._socket
        for kind in (Full, Endless):
            monkeypatch.setattr(events, "_socket", kind())
            assert events.read() is None
        real.close()
    finally:
        events.close()
