"""Packet sockets: a batch of frames by `recvmmsg`, each into its slot, super-packets and all.

Before an IP packet in its slot stand the Ethernet header and, before that, a virtio-net header
that counts from there. The kernel takes a VLAN tag out of the frame and says it beside it.

A link that goes down says so once, by ENETDOWN, and its socket works again when the link is up. One
that is deleted is silent from then on: whoever made the socket makes another (`Port`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.batch import COUNT_IN, start_batch
from natlb.core.layout import HEADROOM, SLOT_BYTES
from natlb.core.next_hops import VLAN_BITS
from natlb.io.calls import (
    AUXDATA_OCTETS,
    LINK_ADDRESS_OCTETS,
    MMSGHDR,
    MSG_DONTWAIT,
    PACKET_HOST,
    VLAN_VALID,
    recvmmsg,
)
from natlb.io.errno import EBADF, EINTR, EINVAL, ENOTSOCK, last_error
from natlb.io.neighbours import answer_arp, answer_solicitation
from natlb.io.queues import DRIVER, TUN_DRIVER
from natlb.io.tun import MOST_OCTETS
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.ethernet import ETHERNET_HEADER, TYPE_ARP, TYPE_IP4, TYPE_IP6, VLAN_NUMBER
from natlb.wire.frame import VNET_HEADER, read_outer_vnet_header
from natlb.wire.neighbour import may_be_solicitation
from natlb.wire.octets import get_u16

if TYPE_CHECKING:
    from natlb.core.batch import Batch
    from natlb.core.next_hops import NextHops
    from natlb.io.queues import Queues

BEFORE = ETHERNET_HEADER + VNET_HEADER
ROOM = SLOT_BYTES - HEADROOM + BEFORE
MESSAGE_OCTETS = MMSGHDR.itemsize
LEAST_BURST = 4


@kernel
def read_links(queues: Queues, batch: Batch, hops: NextHops) -> int:
    """Fill the batch with what waits, an equal share of each link at most; return how many.

    Questions for natlb's addresses are answered here, and are no part of the batch.
    """
    share = max(1, batch.frames.size // queues.fds.size)
    slot, count = 0, 0
    for way in range(queues.fds.size):
        if queues.ready[way] == 0 or slot + share > batch.frames.size:
            continue
        got = _receive(queues, batch, way, slot, share)
        for at in range(slot, slot + got):
            count += _take(queues, batch, hops, way, at, count)
        slot += got
    start_batch(batch, count)
    return count


@kernel
def _receive(queues: Queues, batch: Batch, way: int, slot: int, share: int) -> int:
    """Receive frames into the slots from `slot` on; return how many."""
    receiving = queues.receiving
    wanted = min(share, i64(receiving.bursts[way]))
    base = batch.slots.ctypes.data + HEADROOM - BEFORE
    for at in range(slot, slot + wanted):
        piece = receiving.pieces[at]
        piece["base"] = base + at * SLOT_BYTES
        piece["octets"] = ROOM
        message = receiving.messages[at]
        message["name_octets"] = LINK_ADDRESS_OCTETS
        message["control_octets"] = AUXDATA_OCTETS
    messages = receiving.messages.ctypes.data + slot * MESSAGE_OCTETS
    got = i64(recvmmsg(queues.fds[way], messages, wanted, MSG_DONTWAIT, 0))
    if got < 0:
        _judge_failure(queues, way)
        return 0
    octets = 0
    for at in range(slot, slot + got):
        octets += i64(receiving.messages[at]["octets"])
    if octets >= MOST_OCTETS:
        receiving.bursts[way] = max(LEAST_BURST, wanted // 2)
    else:
        receiving.bursts[way] = min(share, 2 * wanted)
    queues.ready[way] = 1 if got == wanted else 0
    return got


@rare_kernel
def _judge_failure(queues: Queues, way: int) -> None:
    """Note whether a link that gave nothing is worth another look: most say that it is empty.

    EINVAL is of one frame, in a form that no virtio-net header can say, and it is gone.
    """
    code = last_error(queues.sending.error)
    if code == EINTR or code == EINVAL:
        return
    queues.ready[way] = 0
    if code == EBADF or code == ENOTSOCK:
        queues.polled[way]["fd"] = -1  # poll() would say so for ever


@kernel
def _take(queues: Queues, batch: Batch, hops: NextHops, way: int, at: int, count: int) -> int:
    """Make a received frame the batch's next; return 1, or 0 where it is no packet for natlb."""
    receiving = queues.receiving
    octets = i64(receiving.messages[at]["octets"]) - BEFORE
    if octets <= 0:
        return 0
    slot = batch.slots[at]
    tag = _tag_of(queues, at)
    if tag & VLAN_NUMBER and is_of_another(hops, i64(receiving.ifindexes[way]), tag):
        return 0
    receiving.tags[at] = tag
    kind = get_u16(slot, HEADROOM - 2)
    if kind == TYPE_ARP:
        answer_arp(queues, batch, hops, way, at)
        return 0
    if kind == TYPE_IP6 and may_be_solicitation(slot[HEADROOM : HEADROOM + octets]):
        answer_solicitation(queues, batch, hops, way, at)
        return 0
    is_ip = kind == TYPE_IP4 or kind == TYPE_IP6
    if not is_ip or i64(receiving.addresses[at]["kind"]) != PACKET_HOST:
        return 0
    frame = batch.frames[count]
    frame["slot"] = at
    frame["start"] = HEADROOM
    frame["length"] = octets
    frame["way"] = queues.sides[way]
    read_outer_vnet_header(slot, frame, ETHERNET_HEADER)
    return 1


@kernel
def _tag_of(queues: Queues, at: int) -> int:
    """Return the VLAN tag of a received frame as its four octets, or 0."""
    control = queues.receiving.controls[at]
    told = i64(queues.receiving.messages[at]["control_octets"])
    if told < AUXDATA_OCTETS or i64(control["status"]) & VLAN_VALID == 0:
        return 0
    return i64(control["tag_type"]) << 16 | i64(control["tag"])


@rare_kernel
def is_of_another(hops: NextHops, ifindex: int, tag: int) -> bool:
    """Return whether a VLAN has an interface of its own, which such a frame comes in by as well."""
    number = ifindex << VLAN_BITS | tag & VLAN_NUMBER
    found = 0
    for vlan in hops.vlans:
        found |= 1 if i64(vlan) == number else 0
    return found != 0


@kernel
def tag_of_output(queues: Queues, batch: Batch, at: int) -> int:
    """Return the tag that an output frame keeps: that of the packet it was put out for."""
    origin = i64(batch.origins[at])
    if queues.numbers[DRIVER] == TUN_DRIVER or not 0 <= origin < batch.numbers[COUNT_IN]:
        return 0
    return i64(queues.receiving.tags[batch.frames[origin]["slot"]])
