"""Forged SYNs are whole, of different senders, and come from where nobody is."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import IP, TCP
from scapy.packet import Padding

from bench.syn_flood import SOURCES, main, random_ends, syns

VIP = "203.0.113.10"


def test_no_two_have_the_same_source() -> None:
    """Neither address nor port of the ends alone is new each time: the pair is."""
    ends = random_ends(10_000, VIP, 80, seed=1)
    pairs = set(zip(ends.source.tolist(), ends.source_port.tolist(), strict=True))

    assert len(pairs) == 10_000
    assert all(IPv4Address(address) in SOURCES for address, _ in pairs)
    assert all(1024 <= port <= 65535 for _, port in pairs)
    assert len(set(ends.source.tolist())) > 9_000


def test_a_seed_says_which() -> None:
    """Two floods are the same or not, as one likes."""
    first, again, other = (random_ends(10, VIP, 80, seed).source.tolist() for seed in (1, 1, 2))

    assert first == again != other


def test_a_syn_is_whole() -> None:
    """As scapy reads and sums it; 46 octets fill the smallest frame."""
    octets = syns(1, VIP, 80, seed=1)[0].tobytes()
    packet = IP(octets)
    packet[Padding].underlayer.remove_payload()
    again = packet.copy()
    del again[IP].chksum, again[TCP].chksum

    assert len(octets) == 46
    assert (packet[IP].dst, packet[TCP].dport, packet[TCP].flags) == (VIP, 80, "S")
    assert bytes(IP(bytes(again))) == bytes(packet)


def test_what_is_not_said_is_asked_for() -> None:
    """There is no service to flood by default."""
    with pytest.raises(SystemExit):
        main(["--netns", "none"])
