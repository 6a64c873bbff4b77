"""A destination's next hop is looked up once in a generation."""

from __future__ import annotations

import numpy as np
import pytest

from natlb.core.layout import PRIVATE, PUBLIC
from natlb.core.next_hops import ON_LINK
from natlb.io.known_hops import destination_of, look_up_hop
from natlb.io.sending import forget_hops, make_sending
from natlb.testing import packets
from tests.kernels import needs_plain_kernels
from tests.paper_hops import Paper, lanes_of

needs_plain_kernels()


@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8:1:2:3:4:5:6"])
def test_a_packet_says_where_it_goes(address: str) -> None:
    """Of either version."""
    source = "203.0.113.1:1" if "." in address else "[2001:db8::1]:1"
    end = f"{address}:80" if "." in address else f"[{address}]:80"
    slot = np.frombuffer(bytes(128) + packets.tcp(source, end), np.uint8)

    assert destination_of(slot, 128) == lanes_of(address)


def test_what_was_found_is_kept_until_the_next_generation() -> None:
    """Also that nothing was found; each side has its own."""
    paper, sending = Paper(), make_sending([])
    paper.link(0, 7, "0a0000000001")
    paper.route("10.77.0.0/24", ON_LINK, table=1, mtu=1400)
    paper.neighbour("10.77.0.11", table=1, mac="0a000000000b")
    at = lanes_of("10.77.0.11")
    known = look_up_hop(sending, paper.hops, PRIVATE, at)
    seen = [int(known[name]) for name in ("ifindex", "mtu", "to_high", "to_low", "from_low")]

    assert seen == [7, 1400, 0x0A00, 0x0B, 0x01]
    assert look_up_hop(sending, paper.hops, PUBLIC, at)["ifindex"] == 0
    assert look_up_hop(sending, paper.hops, PRIVATE, lanes_of("10.77.0.12"))["ifindex"] == 0
    paper.hops.neighbours["used"] = 0
    assert look_up_hop(sending, paper.hops, PRIVATE, at)["ifindex"] == 7
    forget_hops(sending)
    assert look_up_hop(sending, paper.hops, PRIVATE, at)["ifindex"] == 0
