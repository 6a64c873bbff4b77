"""Dumps as octets: message by message, refusals as errors."""

from __future__ import annotations

import struct

import pytest

from natlb.netlink.asking import ROUTE, Said, attributes, dump, messages
from natlb.netlink.forwarding import GET_LINK, LINK, NEW_LINK
from natlb.netlink.values import KernelError


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    """Return a message, padded."""
    whole = struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body
    return whole + bytes(-len(whole) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute, padded."""
    whole = struct.pack("=HH", 4 + len(value), kind) + value
    return whole + bytes(-len(whole) % 4)


def test_messages_are_read_to_the_last_whole_one() -> None:
    """What says that a dump was torn goes along."""
    octets = message(24, b"abcde") + message(28, b"", flags=0x10) + b"\1\0"
    assert list(messages(octets)) == [Said(24, False, b"abcde"), Said(28, True, b"")]
    assert list(messages(bytes(64))) == []


def test_attributes_are_read_by_type_whatever_their_flags() -> None:
    """Nested ones bear a flag; a cut one ends it."""
    octets = attribute(1, b"one") + attribute(0x8002, b"two") + struct.pack("=HH", 1, 3)
    assert attributes(b"head" + octets, 4) == {1: b"one", 2: b"two"}


def test_a_dump_is_read_to_its_end_and_a_refusal_raised() -> None:
    """Interfaces there always are; a kind of message that no kernel knows is refused."""
    found = list(dump(ROUTE, GET_LINK, LINK.pack(0, 0, 0, 0, 0, 0)))
    assert {said.kind for said in found} == {NEW_LINK}
    with pytest.raises(KernelError):
        list(dump(ROUTE, 0x3F0, bytes(16)))
