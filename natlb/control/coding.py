"""Messages as octets, and back: what travels over SOCK_SEQPACKET.

A message is a header, a body of the layout that its kind has, at most one text behind it, and the
fds that its kind carries; what is larger than a text travels as a memfd. Nothing is pickled. The
reader checks magic, version, kind, lengths, enumerations and the number of fds before it believes
a word: a message that differs anywhere is refused whole.

    header   magic "ntlb", version, kind, number of fds, length of the body, length of the text
"""

from __future__ import annotations

import struct
from dataclasses import fields
from typing import Any

from natlb.control.messages import (
    KINDS,
    Message,
)
from natlb.control.roles import Role

MAGIC = b"ntlb"
VERSION = 2
HEADER = struct.Struct("<4sHHHHI")
LARGEST_BODY = 64
LARGEST_TEXT = 8192  # a path has at most 4096 octets, an error with its fix stays below this
MOST_FDS = 1
LARGEST = HEADER.size + LARGEST_BODY + LARGEST_TEXT


class MessageError(Exception):
    """This is no message of this protocol; says where it differs."""


def encode(message: Message) -> bytes:
    """Return the message as octets; a text that is too long loses its end."""
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    text: bytes = values.pop("text", "").encode("utf-8", "surrogateescape")[:LARGEST_TEXT]
    body: bytes = message.layout.pack(*values.values())
    header = HEADER.pack(MAGIC, VERSION, message.kind, message.fds, len(body), len(text))
    return header + body + text


def decode(octets: bytes, fds: int) -> Message:
    """Return the message that these octets and this number of fds are.

    Raises `MessageError`, saying what differs.
    """
    kind, text_length = _parse_header(octets, fds)
    names = [field.name for field in fields(kind)]
    text = octets[len(octets) - text_length :].decode("utf-8", "surrogateescape")
    body = kind.layout.unpack(octets[HEADER.size : HEADER.size + kind.layout.size])
    values: dict[str, Any] = dict(zip(names, body, strict=False))
    if "text" in names:
        values["text"] = text
    elif text:
        raise MessageError(f"{kind.__name__} carries no text")
    if "role" in values:
        values["role"] = _role(values["role"])
    return kind(**values)


def _parse_header(octets: bytes, fds: int) -> tuple[type[Message], int]:
    """Return the kind and the length of the text, once everything in the header agrees."""
    if len(octets) < HEADER.size:
        raise MessageError(f"{len(octets)} octets are no message")
    magic, version, number, carried, body, text = HEADER.unpack_from(octets)
    if (magic, version) != (MAGIC, VERSION):
        raise MessageError(f"magic {magic!r}, version {version}: not this protocol")
    kind = KINDS.get(number)
    if kind is None:
        raise MessageError(f"kind {number} is unknown")
    if carried != kind.fds or fds != kind.fds:
        raise MessageError(f"{kind.__name__} came with {fds} fds, not {kind.fds}")
    expected = HEADER.size + kind.layout.size + text
    if body != kind.layout.size or text > LARGEST_TEXT or len(octets) != expected:
        raise MessageError(f"{kind.__name__} has {len(octets)} octets, not {expected}")
    return kind, text


def _role(number: int) -> Role:
    try:
        return Role(number)
    except ValueError as error:
        raise MessageError(f"role {number} is unknown") from error
