"""Frames from packet sockets: which are packets for natlb, and in which form they come."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from natlb.core.batch import emit, make_batch
from natlb.core.layout import HEADROOM, PRIVATE, PUBLIC
from natlb.core.memory import Kind, make
from natlb.core.next_hops import VLAN_BITS
from natlb.io import packet as packet_module
from natlb.io.calls import AUXDATA_OCTETS, PACKET_OTHERHOST, VLAN_VALID
from natlb.io.packet import _take, is_of_another, read_links, tag_of_output
from natlb.io.queues import make_queues
from natlb.testing import packets
from tests.kernels import needs_plain_kernels
from tests.unit.io.links import FakeLink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.io.queues import Queues

needs_plain_kernels()

PACKET = packets.udp("198.51.100.7:4000", "203.0.113.10:53", payload=b"what?")
HOPS = make(Kind.NEXT_HOPS, links=1, routes=1, neighbours=1, vlans=1)


@pytest.fixture
def links() -> Iterator[list[FakeLink]]:
    """Return a link for each side."""
    made = [FakeLink(7), FakeLink(8)]
    yield made
    for each in made:
        each.close()


@pytest.fixture
def queues(links: list[FakeLink]) -> Queues:
    """Return them as the loop has them."""
    return make_queues([each.link(side) for side, each in enumerate(links)])


def test_a_packet_is_found_behind_its_headers(queues: Queues, links: list[FakeLink]) -> None:
    """With its side, and a form that counts from the packet on."""
    batch = make_batch(4)
    links[PUBLIC].frame(PACKET, form=(1, 1, 66, 1448, 34, 16))
    links[PRIVATE].frame(PACKET, kind="86dd")
    count = read_links(queues, batch, HOPS)
    first, second = batch.frames[:2]
    start = first["start"]

    assert (count, start, first["way"], second["way"]) == (2, HEADROOM, PUBLIC, PRIVATE)
    assert batch.slots[0, start : start + first["length"]].tobytes() == PACKET
    assert (first["checksum_start"], first["checksum_offset"], first["gso_size"]) == (20, 16, 1448)
    assert second["needs_checksum"] == second["checksum_start"] == 0


@pytest.mark.parametrize("kind", ["88cc", "8100", "0806"])
def test_what_is_no_ip_is_no_part_of_the_batch(
    queues: Queues, links: list[FakeLink], kind: str
) -> None:
    """What came behind it is, from its own slot."""
    batch = make_batch(4)
    links[PUBLIC].frame(PACKET, kind=kind)
    links[PUBLIC].frame(PACKET)

    assert read_links(queues, batch, HOPS) == 1
    assert batch.frames[0]["slot"] == 1


def test_what_was_not_sent_to_this_host_is_left(queues: Queues, links: list[FakeLink]) -> None:
    """An interface in promiscuous mode sees it; so do frames that hold nothing."""
    batch = make_batch(4)
    links[PUBLIC].frame(PACKET)
    read_links(queues, batch, HOPS)
    taken = [_take(queues, batch, HOPS, 0, 0, 0)]
    queues.receiving.addresses[0]["kind"] = PACKET_OTHERHOST
    taken.append(_take(queues, batch, HOPS, 0, 0, 0))
    queues.receiving.messages[0]["octets"] = 24
    taken.append(_take(queues, batch, HOPS, 0, 0, 0))

    assert taken == [1, 0, 0]


def test_no_link_can_fill_a_batch_alone(queues: Queues, links: list[FakeLink]) -> None:
    """A share that was filled may have more behind it."""
    for _ in range(5):
        links[PRIVATE].frame(PACKET)
    batch = make_batch(4)
    seen = [(read_links(queues, batch, HOPS), queues.ready.tolist()) for _ in range(3)]

    assert seen == [(2, [0, 1]), (2, [0, 1]), (1, [0, 0])]


def test_super_packets_are_asked_for_in_smaller_bursts(
    queues: Queues, links: list[FakeLink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a batch of them fits into a cache; small packets have the bursts grow again."""
    monkeypatch.setattr(packet_module, "MOST_OCTETS", 1000)
    batch, seen = make_batch(32), []
    for octets in (600, 600, 10, 10):
        queues.ready[:] = 1, 0
        for _ in range(16):
            links[PUBLIC].frame(bytes(octets))
        read_links(queues, batch, HOPS)
        seen.append(int(queues.receiving.bursts[PUBLIC]))
        links[PUBLIC].drain()

    assert seen == [8, 4, 8, 16]


def test_a_link_that_is_no_more_is_asked_no_more(queues: Queues) -> None:
    """poll() would say so for ever; the other one is still looked at."""
    queues.fds[PUBLIC] = -1
    read_links(queues, make_batch(4), HOPS)
    assert queues.ready.tolist() == [0, 0]
    assert queues.polled["fd"][PUBLIC] == -1
    assert queues.polled["fd"][PRIVATE] > 0


def test_a_file_is_no_socket(queues: Queues) -> None:
    """Another call that never succeeds."""
    read_end, write_end = os.pipe()
    queues.fds[PUBLIC] = read_end
    read_links(queues, make_batch(4), HOPS)
    os.close(read_end)
    os.close(write_end)

    assert queues.polled["fd"][PUBLIC] == -1


def test_a_tag_goes_out_with_the_packet_that_it_came_with(
    queues: Queues, links: list[FakeLink]
) -> None:
    """Of a VLAN that no interface of its own has; what natlb sends by itself has none."""
    batch = make_batch(4)
    links[PUBLIC].frame(PACKET)
    read_links(queues, batch, HOPS)
    emit(batch, batch.frames[0], PRIVATE)
    message, control = queues.receiving.messages[0], queues.receiving.controls[0]
    message["control_octets"] = AUXDATA_OCTETS
    control["status"], control["tag"], control["tag_type"] = VLAN_VALID, 0x6064, 0x8100
    taken = [_take(queues, batch, HOPS, 0, 0, 0)]
    tags = [tag_of_output(queues, batch, 0)]
    batch.origins[0] = -1
    tags.append(tag_of_output(queues, batch, 0))
    hops = HOPS._replace(vlans=HOPS.vlans.copy())
    hops.vlans[0] = 7 << VLAN_BITS | 0x64
    taken.append(_take(queues, batch, hops, 0, 0, 0))

    assert (taken, tags) == ([1, 0], [0x81006064, 0])
    assert is_of_another(hops, 7, 0x81000064)
    assert not is_of_another(hops, 8, 0x81000064)
