"""The bare forwarder's next hops: whatever leaves by a side goes to its one neighbour."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from natlb.bench.bare_ways import fixed_hops, halves
from natlb.core.layout import PRIVATE, PUBLIC
from natlb.core.next_hops import find_next_hop, find_route

if TYPE_CHECKING:
    from natlb.netlink import Link

OURS = {PUBLIC: "02:00:00:00:00:01", PRIVATE: "02:00:00:00:00:02"}
THEIRS = {PUBLIC: "0a:0b:00:00:00:01", PRIVATE: "0a:0b:00:00:00:02"}


def link(side: int) -> Link:
    """Return the link of a side."""
    found: Any = SimpleNamespace(index=7 + side, mac=OURS[side], mtu=1500)
    return cast("Link", found)


@pytest.mark.parametrize("side", [PUBLIC, PRIVATE])
def test_every_address_of_a_side_has_its_one_neighbour(side: int) -> None:
    """Each with its own link, and a packet that does not fit goes by the host."""
    hops = fixed_hops({each: (link(each), THEIRS[each]) for each in (PUBLIC, PRIVATE)})
    address = (0, 0, 0xFFFF, 0x0A4D000B)
    at = find_next_hop(hops, side, address, 1500)

    assert (hops.neighbours[at]["mac_high"], hops.neighbours[at]["mac_low"]) == (
        0x0A0B,
        1 + side,
    )
    found = hops.links[hops.neighbours[at]["link"]]
    assert (found["ifindex"], found["mac_low"]) == (7 + side, 1 + side)
    assert hops.routes[find_route(hops, side, address)]["mtu"] == 1500
    assert find_next_hop(hops, side, address, 1501) == -1


def test_an_address_is_kept_in_two_halves() -> None:
    """As the table of next hops has it."""
    assert halves("02:00:0a:0b:0c:0d") == (0x0200, 0x0A0B0C0D)
