"""The bare forwarder's one address, replaced as a NAT would: interpreted and compiled alike."""

from __future__ import annotations

from ipaddress import IPv4Address

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP

from natlb.bench.bare import _replace, changes_of, delta_of
from natlb.core.batch import OUTPUT, make_batch, start_batch
from natlb.core.layout import HEADROOM, PRIVATE, PUBLIC
from natlb.testing.packets import tcp, udp

VIP, BACKEND = IPv4Address("203.0.113.10"), IPv4Address("10.77.0.11")
CLIENT = "198.51.100.2:40000"


def forwarded(packet: bytes, way: int) -> tuple[IP, int]:
    """Return a packet as it goes out, and how many went."""
    batch = make_batch(4)
    frame = batch.frames[0]
    frame["slot"], frame["start"], frame["length"], frame["way"] = 0, HEADROOM, len(packet), way
    batch.slots[0, HEADROOM : HEADROOM + len(packet)] = np.frombuffer(packet, np.uint8)
    start_batch(batch, 1)
    _replace(batch, 0, changes_of(VIP, BACKEND))
    held = batch.slots[0, HEADROOM : HEADROOM + len(packet)].tobytes()
    return IP(held), int(batch.numbers[OUTPUT])


@pytest.mark.parametrize("make", [tcp, udp])
def test_a_packet_goes_to_the_backend_with_right_checksums(make: object) -> None:
    """Scapy sums them anew."""
    packet = tcp(CLIENT, f"{VIP}:80", "S") if make is tcp else udp(CLIENT, f"{VIP}:80", b"abc")
    read, count = forwarded(packet, PUBLIC)
    sums = read.chksum, read[TCP if make is tcp else UDP].chksum
    del read.chksum, read[TCP if make is tcp else UDP].chksum
    again = IP(bytes(read))

    assert (again.dst, count) == (str(BACKEND), 1)
    assert sums == (again.chksum, again[TCP if make is tcp else UDP].chksum)


def test_an_answer_comes_from_the_vip() -> None:
    """The other way, the other address."""
    read, count = forwarded(udp(f"{BACKEND}:80", CLIENT, b"abc"), PRIVATE)

    assert (read.src, read.dst, count) == (str(VIP), "198.51.100.2", 1)


def test_one_address_for_another_and_back_changes_nothing() -> None:
    """In ones' complement, as checksums are."""
    there, back = delta_of(int(VIP), int(BACKEND)), delta_of(int(BACKEND), int(VIP))

    assert (there + back) % 0xFFFF == 0
