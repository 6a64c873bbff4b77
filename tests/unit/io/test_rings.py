"""Rings as a worker finds them: new, left by another in any state, or of another shape."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import numpy as np
import pytest

from natlb.core.layout import PUBLIC
from natlb.io.ports import Port, PortKind
from natlb.io.rings import (
    COMPLETION,
    CONSUMER,
    FILL,
    OFFSETS_OCTETS,
    PRODUCER,
    RECEIVE,
    SEND,
    WORD,
    make_rings,
    offsets_of,
    read_offsets,
    take_over,
)
from natlb.io.xsk_shape import FRAME_OCTETS, RECEIVE_FRAMES, RING_SIZE, SEND_FRAMES, UMEM_OCTETS
from tests.kernels import needs_plain_kernels
from tests.unit.io.xsks import FakeXsk, install

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_plain_kernels()


@pytest.fixture
def xsk(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeXsk]:
    """Return a socket that nobody has mapped."""
    install(monkeypatch)
    made = FakeXsk(PUBLIC, 7)
    yield made
    made.close()


def test_a_new_socket_is_given_its_frames_once(xsk: FakeXsk) -> None:
    """Each that is for receiving, whole; whoever maps it again adds none."""
    rings = make_rings([xsk.port])
    make_rings([xsk.port])
    given = [int(xsk.entry(FILL, number)[0]) for number in range(RECEIVE_FRAMES)]

    assert given == list(range(0, UMEM_OCTETS // 2, FRAME_OCTETS))
    assert xsk.count(FILL, PRODUCER) == RECEIVE_FRAMES
    assert xsk.count(SEND, PRODUCER) == xsk.count(RECEIVE, CONSUMER) == 0
    assert rings.frames.shape == (1, UMEM_OCTETS)


def test_each_socket_has_rings_and_frames_of_its_own(xsk: FakeXsk) -> None:
    """What one end writes the other one reads, in the right one."""
    other = FakeXsk(PUBLIC, 8)
    rings = make_rings([xsk.port, other.port])
    rings.frames[1, -1] = 7
    rings.entries[1, COMPLETION, 100] = 9
    seen = other.rings
    other.close()

    assert (seen.frames[0, -1], xsk.rings.frames[0, -1]) == (7, 0)
    assert (seen.entries[0, COMPLETION, 100], xsk.rings.entries[0].max()) == (
        9,
        int(xsk.entry(FILL, RECEIVE_FRAMES - 1)[0]),
    )


@pytest.mark.parametrize("base", [5000, WORD - 1])
def test_what_a_killed_worker_gave_to_one_ring_is_passed_over_in_the_other(
    xsk: FakeXsk, base: int
) -> None:
    """Wherever the counts stand; what it had not given yet is left for the next one."""
    made = xsk.rings
    for given, taken, frames in ((FILL, RECEIVE, RECEIVE_FRAMES), (SEND, COMPLETION, SEND_FRAMES)):
        xsk.set(given, PRODUCER, base + 3)
        xsk.set(taken, CONSUMER, base - frames)
    take_over(made, 0)
    moved = [xsk.count(ring, CONSUMER) for ring in (RECEIVE, COMPLETION)]
    take_over(made, 0)

    assert moved == [(base + 3 - frames) & WORD for frames in (RECEIVE_FRAMES, SEND_FRAMES)]
    assert [xsk.count(ring, CONSUMER) for ring in (RECEIVE, COMPLETION)] == moved


def test_a_worker_of_another_driver_has_no_rings() -> None:
    """Its arrays are there and empty, of the same types."""
    rings = make_rings([Port(PortKind.TUN, PUBLIC, 3)])

    assert [array.shape[0] for array in rings] == [0, 0, 0, 0]


def test_frames_of_another_size_are_refused(xsk: FakeXsk) -> None:
    """An AF_XDP socket knows addresses of its own memory only."""
    os.ftruncate(xsk.memory, UMEM_OCTETS // 2)
    with pytest.raises(ValueError, match=f"frames of {UMEM_OCTETS // 2} octets, expected"):
        make_rings([xsk.port])


def test_what_cannot_be_mapped_is_refused(xsk: FakeXsk) -> None:
    """No socket at all, say."""
    read_end, write_end = os.pipe()
    with pytest.raises(ValueError, match=r"cannot be mapped: .* mmap: Permission denied"):
        make_rings([xsk.port._replace(fd=read_end)])
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (bytes(96), "96 octets of ring offsets"),
        (np.full(16, 1 << 20, np.int64).tobytes(), "laid out otherwise"),
        (np.full(16, -1, np.int64).tobytes(), "laid out otherwise"),
    ],
)
def test_rings_that_natlb_does_not_know_are_refused(said: bytes, words: str) -> None:
    """An old kernel's, or a future one's."""
    with pytest.raises(ValueError, match=words):
        read_offsets(said)


def test_offsets_are_by_ring() -> None:
    """In the kernel's order, which is that of the rings here."""
    said = np.arange(16, dtype=np.int64)

    assert len(said.tobytes()) == OFFSETS_OCTETS
    assert read_offsets(said.tobytes()).tolist() == said.reshape((4, 4)).tolist()
    assert max(RECEIVE_FRAMES, SEND_FRAMES) <= RING_SIZE


def test_a_socket_of_another_family_has_no_rings() -> None:
    """It stays open: the descriptor is the caller's."""
    one, other = socket.socketpair()
    with one, other:
        with pytest.raises(OSError, match=r"not supported|not available"):
            offsets_of(one.fileno())
        assert one.fileno() >= 0
