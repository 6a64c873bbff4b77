"""The protocol between the processes, judged by hand-made octets."""

import struct
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control.coding import (
    HEADER,
    LARGEST,
    LARGEST_TEXT,
    VERSION,
    MessageError,
    decode,
    encode,
)
from natlb.control.messages import (
    KINDS,
    Attach,
    Hold,
    Leave,
    Message,
    Note,
    Reload,
)
from natlb.control.roles import Role


def sample(kind: type[Message]) -> Message:
    """Return a message of this kind with a different value in each field."""
    values: dict[str, object] = {}
    for number, field in enumerate(fields(kind), start=3):
        values[field.name] = number
    if "role" in values:
        values["role"] = Role.TABLES
    if "text" in values:
        values["text"] = "/etc/natlb/ünïcode\udcff.yaml"
    return kind(**values)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.__name__)
def test_every_kind_comes_out_as_it_went_in(kind: type[Message]) -> None:
    """Both ends are built from one description, so one round shows both."""
    message = sample(kind)

    assert decode(encode(message), kind.fds) == message


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.__name__)
def test_a_message_of_the_wrong_length_is_refused(kind: type[Message]) -> None:
    """Each octet too many or too few, for each kind."""
    octets = encode(sample(kind))
    for length in range(len(octets)):
        with pytest.raises(MessageError):
            decode(octets[:length], kind.fds)

    with pytest.raises(MessageError):
        decode(octets + b"x", kind.fds)


def test_fds_that_were_not_announced_are_refused() -> None:
    """An fd that nobody expects would never be closed."""
    with pytest.raises(MessageError, match="Leave came with 1 fds, not 0"):
        decode(encode(Leave()), 1)
    with pytest.raises(MessageError, match="Hold came with 0 fds, not 1"):
        decode(encode(Hold(role=Role.FLOWS)), 0)


def test_an_unknown_role_is_refused() -> None:
    """A role decides what an fd is used for."""
    octets = bytearray(encode(Hold(role=Role.FLOWS)))
    struct.pack_into("<H", octets, HEADER.size, 999)

    with pytest.raises(MessageError, match="role 999"):
        decode(bytes(octets), 1)


def test_an_unknown_kind_and_another_version_are_refused() -> None:
    """An old process may talk to a new one."""
    good = encode(Leave())
    with pytest.raises(MessageError, match="kind 999"):
        decode(good[:6] + struct.pack("<H", 999) + good[8:], 0)
    with pytest.raises(MessageError, match=f"version {VERSION + 1}"):
        decode(good[:4] + struct.pack("<H", VERSION + 1) + good[6:], 0)


def test_text_on_a_kind_without_text_is_refused() -> None:
    """Nothing that is said goes unread."""
    octets = HEADER.pack(b"ntlb", VERSION, Attach.kind, 0, Attach.layout.size, 2)

    with pytest.raises(MessageError, match="no text"):
        decode(octets + bytes(Attach.layout.size) + b"hi", 0)


def test_a_long_text_loses_its_end_and_still_is_a_message() -> None:
    """An error of any length is told as far as it goes."""
    octets = encode(Note(text="x" * (LARGEST_TEXT + 10)))

    assert len(octets) <= LARGEST
    assert decode(octets, 0) == Note(text="x" * LARGEST_TEXT)


@given(st.binary(max_size=200), st.integers(0, 2))
def test_no_octets_raise_anything_but_a_message_error(octets: bytes, fds: int) -> None:
    """Whoever was taken over may send anything."""
    try:
        decode(octets, fds)
    except MessageError:
        return


@given(st.integers(0, 60), st.integers(0, 255))
def test_a_changed_octet_is_refused_or_means_a_message(at: int, value: int) -> None:
    """No mutation gets through as half a message."""
    octets = bytearray(encode(Reload(text="/etc/natlb.yaml")))
    octets[at % len(octets)] = value
    try:
        decoded = decode(bytes(octets), 0)
    except MessageError:
        return

    assert encode(decoded) == bytes(octets)
