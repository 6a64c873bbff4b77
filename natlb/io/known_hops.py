"""Next hops as they were looked up for earlier packets: a destination's costs a compare.

Direct-mapped by destination and side; a new generation empties it (`sending.forget_hops`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.hashing import State, second_hash
from natlb.core.next_hops import BY_HOST, find_next_hop, find_route
from natlb.io.sending import MOST_KNOWN
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.fields import IP4_DESTINATION, IP6_DESTINATION, MAPPED_LANE
from natlb.wire.octets import get_u32

if TYPE_CHECKING:
    from natlb.core.next_hops import NextHops
    from natlb.io.sending import Sending
    from natlb.wire.octets import Octets


@kernel
def destination_of(slot: Octets, start: int) -> State:
    """Return where the packet at `start` goes, as lanes."""
    if i64(slot[start]) >> 4 == 4:
        return 0, 0, MAPPED_LANE, get_u32(slot, start + IP4_DESTINATION)
    at = start + IP6_DESTINATION
    return get_u32(slot, at), get_u32(slot, at + 4), get_u32(slot, at + 8), get_u32(slot, at + 12)


@kernel
def look_up_hop(sending: Sending, hops: NextHops, side: int, lanes: State) -> Any:
    """Return the record of a destination's next hop, whose `ifindex` is 0 if the host knows it."""
    mixed = lanes[3] ^ lanes[2] << 1 ^ lanes[1] << 2 ^ lanes[0] << 3 ^ side
    known = sending.known[second_hash(mixed & 0xFFFFFFFF) & MOST_KNOWN - 1]
    if (
        i64(known["address3"]) != lanes[3]
        or i64(known["side"]) != side + 1
        or i64(known["address2"]) != lanes[2]
        or i64(known["address1"]) != lanes[1]
        or i64(known["address0"]) != lanes[0]
    ):
        _learn(known, hops, side, lanes)
    return known


@rare_kernel
def _learn(known: Any, hops: NextHops, side: int, lanes: State) -> None:
    """Look a destination's next hop up, and keep it."""
    known["address0"] = lanes[0]
    known["address1"] = lanes[1]
    known["address2"] = lanes[2]
    known["address3"] = lanes[3]
    known["side"] = side + 1
    known["ifindex"] = 0
    at = find_next_hop(hops, side, lanes, 0)
    if at == BY_HOST:
        return
    neighbour = hops.neighbours[at]
    link = hops.links[i64(neighbour["link"])]
    known["mtu"] = hops.routes[find_route(hops, side, lanes)]["mtu"]
    known["to_high"] = neighbour["mac_high"]
    known["to_low"] = neighbour["mac_low"]
    known["from_high"] = link["mac_high"]
    known["from_low"] = link["mac_low"]
    known["ifindex"] = link["ifindex"]
