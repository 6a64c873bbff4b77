from __future__ import annotations

from ipaddress import ip_address

import pytest

from natlb.control.compile.addresses import address_of, endpoint, lanes_of

KNOWN = {
    "203.0.113.10": (0, 0, 0xFFFF, 0xCB00710A),
    "0.0.0.0": (0, 0, 0xFFFF, 0),
    "2001:db8:1:2:3:4:5:6": (0x20010DB8, 0x00010002, 0x00030004, 0x00050006),
    "::": (0, 0, 0, 0),
    "::fffe:cb00:710a": (0, 0, 0xFFFE, 0xCB00710A),
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": (0xFFFFFFFF,) * 4,
}


@pytest.mark.parametrize("text", KNOWN)
def test_an_address_is_four_lanes_and_back(text: str) -> None:
    """IPv4 as ::ffff:a.b.c.d, so that one table holds both."""
    lanes = lanes_of(ip_address(text))

    assert lanes == KNOWN[text]
    assert address_of(lanes) == ip_address(text)


def test_an_endpoint_is_written_as_everywhere() -> None:
    """IPv6 in brackets, or its last colon would be the port's."""
    assert endpoint(ip_address("203.0.113.10"), 80) == "203.0.113.10:80"
    assert endpoint(ip_address("2001:db8::1"), 80) == "[2001:db8::1]:80"
