"""Who asks for an address that natlb answers for, by ARP or neighbour discovery, is told at once.

The host's kernel does not: it has no route to what natlb takes from the wire itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.layout import HEADROOM, SLOT_BYTES
from natlb.io.calls import LINK_ADDRESS_OCTETS, MSG_DONTWAIT, PACKET_OTHERHOST, sendto
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.arp import ARP_OCTETS, NOBODY, asked_by_arp, write_arp_reply
from natlb.wire.ethernet import (
    ETHERNET_HEADER,
    TYPE_ARP,
    TYPE_IP6,
    TYPE_VLAN,
    write_addresses,
    write_type,
)
from natlb.wire.fields import MAPPED_LANE
from natlb.wire.frame import VNET_HEADER
from natlb.wire.neighbour import (
    ADVERTISEMENT_OCTETS,
    GROUP_HIGH,
    GROUP_LOW,
    is_probe,
    is_solicitation,
    target_of,
    write_advertisement,
)
from natlb.wire.octets import get_u16, get_u32

if TYPE_CHECKING:
    from natlb.core.batch import Batch
    from natlb.core.next_hops import NextHops
    from natlb.io.queues import Queues
    from natlb.wire.rewrite import Lanes

NO_LINK = -1


@rare_kernel
def answer_arp(queues: Queues, batch: Batch, hops: NextHops, way: int, at: int) -> None:
    """Answer the frame in a slot if it asks by ARP for an address of natlb's on its link."""
    octets = i64(queues.receiving.messages[at]["octets"]) - VNET_HEADER - ETHERNET_HEADER
    packet = batch.slots[at, HEADROOM : HEADROOM + octets]
    asked = asked_by_arp(packet)
    if asked == NOBODY:
        return
    link = _link_of(queues, hops, way, at, (0, 0, MAPPED_LANE, asked))
    if link == NO_LINK:
        return
    high, low = i64(hops.links[link]["mac_high"]), i64(hops.links[link]["mac_low"])
    to_high, to_low = write_arp_reply(packet, high, low)
    _send(queues, batch, way, at, TYPE_ARP, ARP_OCTETS, (to_high, to_low, high, low))


@rare_kernel
def answer_solicitation(queues: Queues, batch: Batch, hops: NextHops, way: int, at: int) -> None:
    """Answer the frame in a slot if it solicits an address of natlb's on its link."""
    octets = i64(queues.receiving.messages[at]["octets"]) - VNET_HEADER - ETHERNET_HEADER
    slot = batch.slots[at]
    packet = slot[HEADROOM : HEADROOM + octets]
    if not is_solicitation(packet):
        return
    link = _link_of(queues, hops, way, at, target_of(packet))
    if link == NO_LINK:
        return
    high, low = i64(hops.links[link]["mac_high"]), i64(hops.links[link]["mac_low"])
    from_at = HEADROOM - ETHERNET_HEADER + 6
    to_high, to_low = get_u16(slot, from_at), get_u32(slot, from_at + 2)
    if is_probe(packet):
        to_high, to_low = GROUP_HIGH, GROUP_LOW
    write_advertisement(slot[HEADROOM : HEADROOM + ADVERTISEMENT_OCTETS], high, low)
    ends = to_high, to_low, high, low
    _send(queues, batch, way, at, TYPE_IP6, ADVERTISEMENT_OCTETS, ends)


@kernel
def _link_of(queues: Queues, hops: NextHops, way: int, at: int, lanes: Lanes) -> int:
    """Return the place of a frame's link if natlb answers there for an address, or NO_LINK."""
    ifindex = i64(queues.receiving.ifindexes[way])
    if i64(queues.receiving.addresses[at]["kind"]) >= PACKET_OTHERHOST:
        return NO_LINK
    found = 0
    for place in range(hops.answered.size):
        each = hops.answered[place]
        if (
            i64(each["address3"]) == lanes[3]
            and i64(each["ifindex"]) == ifindex
            and i64(each["address2"]) == lanes[2]
            and i64(each["address1"]) == lanes[1]
            and i64(each["address0"]) == lanes[0]
        ):
            found = 1
    link = NO_LINK
    for place in range(hops.links.size):
        if found != 0 and i64(hops.links[place]["ifindex"]) == ifindex:
            link = place
    return link


@kernel
def _send(
    queues: Queues, batch: Batch, way: int, at: int, kind: int, octets: int, ends: Lanes
) -> None:
    """Send what lies in a slot back by the link it came from, with its tag; lost where that fails.

    Whoever asked asks again.
    """
    slot = batch.slots[at]
    tag = i64(queues.receiving.tags[at])
    start = write_type(slot, HEADROOM, kind, tag)
    write_addresses(slot, start, ends[0], ends[1], ends[2], ends[3])
    start -= VNET_HEADER
    for place in range(VNET_HEADER):
        slot[start + place] = 0
    address = queues.receiving.addresses[at]
    address["ifindex"] = queues.receiving.ifindexes[way]
    outer = kind if tag == 0 else TYPE_VLAN
    address["protocol"] = (outer & 0xFF) << 8 | outer >> 8
    name = queues.receiving.addresses.ctypes.data + at * LINK_ADDRESS_OCTETS
    place = batch.slots.ctypes.data + at * SLOT_BYTES + start
    length = HEADROOM - start + octets
    fd = queues.sending.outputs[queues.sides[way]]
    sendto(fd, place, length, MSG_DONTWAIT, name, LINK_ADDRESS_OCTETS)
