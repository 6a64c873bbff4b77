"""By the host's raw sockets: single, finished packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw

from natlb.core.batch import emit, make_batch, start_batch
from natlb.core.layout import HEADROOM, PRIVATE, PUBLIC
from natlb.io.fallback import send_by_host
from natlb.io.queues import make_queues
from natlb.testing import packets
from natlb.wire.frame import GSO_TCP4
from tests.kernels import needs_plain_kernels
from tests.unit.io.links import FakeLink

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_plain_kernels()

CALL = IP(src="198.51.100.7", dst="10.77.0.11") / TCP(sport=1, dport=2) / Raw(bytes(3000))


@pytest.fixture
def hosts() -> Iterator[list[FakeLink]]:
    """Return a raw socket for IPv4 and one for IPv6."""
    made = [FakeLink(0), FakeLink(0)]
    yield made
    for each in made:
        each.close()


def sent(hosts: list[FakeLink], packet: bytes, **form: int) -> bool:
    """Return whether the host took a packet."""
    links = [FakeLink(7), FakeLink(8)]
    ports = [each.link(side) for side, each in enumerate(links)]
    ports += [each.host(PRIVATE, 4 + 2 * at) for at, each in enumerate(hosts)]
    queues, batch = make_queues(ports), make_batch(2)
    start_batch(batch, 1)
    batch.slots[0, HEADROOM : HEADROOM + len(packet)] = memoryview(packet)
    frame = batch.frames[0]
    frame["start"], frame["length"] = HEADROOM, len(packet)
    for name, value in form.items():
        frame[name] = value
    batch.parsed[0]["payload"] = 40
    emit(batch, frame, PRIVATE)
    taken = send_by_host(queues, batch, 0)
    for each in links:
        each.close()
    assert queues.sending.hosts[PUBLIC].tolist() == [-1, -1]
    return taken


@pytest.mark.parametrize(
    ("ends", "at"),
    [(("198.51.100.7:1", "10.77.0.11:2"), 0), (("[2001:db8::7]:1", "[fd00::11]:2"), 1)],
)
def test_each_version_has_its_socket(hosts: list[FakeLink], ends: tuple[str, str], at: int) -> None:
    """A finished packet is written as it is."""
    packet = packets.udp(*ends, payload=b"what?")

    assert sent(hosts, packet)
    assert hosts[at].packets() == [packet]


def test_a_checksum_that_was_left_open_is_finished(hosts: list[FakeLink]) -> None:
    """A raw socket has no form beside the packet."""
    whole = bytes(CALL)
    pseudo = bytearray(whole)
    total = sum(int.from_bytes(whole[at : at + 2]) for at in range(12, 20, 2)) + 6 + 3020
    pseudo[36:38] = (total % 0xFFFF).to_bytes(2)

    assert sent(hosts, bytes(pseudo), needs_checksum=1, checksum_start=20, checksum_offset=16)
    assert hosts[0].packets() == [whole]


def test_a_super_packet_is_cut(hosts: list[FakeLink]) -> None:
    """A bulk flow does not stall because a neighbour is not known."""
    form = {"needs_checksum": 1, "checksum_start": 20, "checksum_offset": 16}
    assert sent(hosts, bytes(CALL), gso_type=GSO_TCP4, gso_size=1448, **form)
    found = [IP(packet) for packet in hosts[0].packets()]

    assert [each.len for each in found] == [1488, 1488, 144]
    assert [each[TCP].seq for each in found] == [0, 1448, 2896]


@pytest.mark.parametrize("gso_type", [0, GSO_TCP4])
def test_what_the_host_refuses_is_said(hosts: list[FakeLink], gso_type: int) -> None:
    """Without a route, or too large."""
    hosts[0].vanish()

    form = {"needs_checksum": 1, "checksum_start": 20, "checksum_offset": 16}
    assert not sent(hosts, bytes(CALL), gso_type=gso_type, gso_size=1448, **form)
