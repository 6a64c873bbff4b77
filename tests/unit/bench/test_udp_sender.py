"""The sender's memory is laid out as the kernel reads it, and what it says it sent arrives."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from natlb.bench.udp_sender import (
    BATCH,
    IOVEC,
    MMSGHDR,
    UdpSender,
    at_least_a_batch,
    frames,
    lay_out,
)
from natlb.bench.wire import received_by
from natlb.netlink import Netlink, call_inside, create_namespace, delete_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

NOWHERE = "02:00:00:00:00:01"


def test_records_are_as_long_as_the_kernels() -> None:
    """Linux: struct iovec and struct mmsghdr on 64-bit machines."""
    assert (IOVEC.itemsize, MMSGHDR.itemsize) == (16, 64)


def test_each_message_names_its_frame() -> None:
    """By the address of a vector that has the address of the frame."""
    packets = np.zeros((3, 60), np.uint8)
    vectors, messages = lay_out(packets)

    assert list(messages["vectors"] - vectors.ctypes.data) == [0, 16, 32]
    assert list(vectors["base"] - packets.ctypes.data) == [0, 60, 120]
    assert set(vectors["length"]) == {60}


def test_a_frame_is_addressed_to_the_next_hop() -> None:
    """Target, source, IPv4, then the packet."""
    frame = frames("02:00:00:00:00:0a", NOWHERE, np.full((1, 4), 7, np.uint8))[0]

    assert frame.tobytes().hex() == "02000000000102000000000a080007070707"


def test_few_frames_are_sent_over_and_over_with_one_system_call() -> None:
    """Else eight flows would cost a system call for eight datagrams, and the sender be slow."""
    few = np.arange(8, dtype=np.uint8).reshape(8, 1)

    assert at_least_a_batch(few).ravel().tolist() == [*range(8)] * 8
    assert at_least_a_batch(np.zeros((100, 1), np.uint8)).shape == (100, 1)


@pytest.fixture
def wire() -> Iterator[tuple[str, str]]:
    """Give two namespaces joined by eth0 on both sides."""
    names = [f"nlbb{os.getpid()}-{word}" for word in ("a", "b")]
    try:
        for name in names:
            create_namespace(name)
        with Netlink(names[0]) as netlink:
            netlink.add_veth("eth0", "eth0", peer_netns=names[1])
        for name in names:
            with Netlink(name) as netlink:
                netlink.set_up("eth0")
        yield names[0], names[1]
    finally:
        for name in names:
            delete_namespace(name)


@pytest.mark.netns
def test_what_was_sent_arrives_at_the_rate_that_was_asked_for(wire: tuple[str, str]) -> None:
    """Half a second at 10,000 a second, of 100 frames in turn: no whole number of batches."""
    here, there = wire
    packets = np.zeros((100, 46), np.uint8)

    def received() -> int:
        return call_inside(there, lambda: received_by("eth0"))

    with UdpSender(here, "eth0", frames(NOWHERE, NOWHERE, packets)) as sender:
        before = received()
        sent = sender.send(0.5, 10_000)
        came = received() - before

    assert sent.refused == 0
    assert sent.frames <= came <= sent.frames + 20  # the kernel's own multicast comes on top
    assert 2_000 <= sent.frames <= 5_000 + 4 * BATCH
