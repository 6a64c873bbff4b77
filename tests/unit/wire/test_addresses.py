from __future__ import annotations

import pytest

from natlb.testing import packets
from natlb.wire.parsed import PARSED
from natlb.wire.reasons import ACCEPTED, MARTIAN
from tests.kernels import needs_plain_kernels, parsed_of

needs_plain_kernels()

GOOD, GOOD6 = "198.51.100.2", "2001:db8::2"
MARTIANS = [
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.255.255.255",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
]
MARTIANS6 = [
    "::",
    "::1",
    "ff02::1",
    "ff0e::1234",
    "fe80::1",
    "febf::1",
    "::ffff:198.51.100.2",
    "::ffff:0.0.0.0",
]
NEIGHBOURS = ["1.0.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255", "10.0.0.1"]
NEIGHBOURS6 = [
    "fec0::1",
    "fe7f::1",
    "fd00::1",
    "::2",
    "::1:0:0",
    "::fffe:1.2.3.4",
    "1::ffff:1.2.3.4",
]


def refusal(source: str, destination: str) -> int:
    """Return what is made of a datagram between two addresses."""
    form = "[{}]:7" if ":" in source else "{}:7"
    return int(parsed_of(packets.udp(form.format(source), form.format(destination)))["refusal"])


@pytest.mark.parametrize("address", MARTIANS)
def test_martians_are_refused_at_either_end(address: str) -> None:
    """Whoever answered one would answer everybody, or nobody (RFC 1812 section 5.3.7)."""
    assert refusal(address, GOOD) == MARTIAN
    assert refusal(GOOD, address) == MARTIAN


@pytest.mark.parametrize("address", MARTIANS6)
def test_martians_of_ip6_are_refused_at_either_end(address: str) -> None:
    """A v4-mapped address would be taken for the key of an IPv4 flow."""
    assert refusal(address, GOOD6) == MARTIAN
    assert refusal(GOOD6, address) == MARTIAN


@pytest.mark.parametrize("address", NEIGHBOURS)
def test_the_addresses_beside_martians_are_none(address: str) -> None:
    """A mask one bit off would silently cut off a whole network."""
    assert refusal(address, GOOD) == refusal(GOOD, address) == ACCEPTED


@pytest.mark.parametrize("address", NEIGHBOURS6)
def test_the_addresses_beside_martians_of_ip6_are_none(address: str) -> None:
    """The same for the other version."""
    assert refusal(address, GOOD6) == refusal(GOOD6, address) == ACCEPTED


def test_a_packet_to_its_own_source_is_refused() -> None:
    """The LAND attack: whoever answers it talks to itself."""
    assert refusal(GOOD, GOOD) == refusal(GOOD6, GOOD6) == MARTIAN


@pytest.mark.parametrize("other", ["3001:db8::2", "2001:db9::2", "2001:db8::1:0:2", "2001:db8::3"])
def test_addresses_that_differ_in_one_lane_are_two(other: str) -> None:
    """LAND is all lanes the same, not three of four."""
    assert refusal(GOOD6, other) == ACCEPTED


def test_a_record_has_room_for_every_lane() -> None:
    """Addresses are compared as lanes: one missing from the record would never differ."""
    names = set(PARSED.names or ())

    assert {f"{end}{lane}" for end in ("source", "destination") for lane in range(4)} <= names
