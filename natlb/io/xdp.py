"""AF_XDP sockets: a batch of frames out of their rings, and output frames into them.

A frame has no virtio-net header, so each is a single packet, and its checksums are whole: what
still needs one is finished before it is sent. In a lab, the far end of a veth pair must do the
same (`ethtool -K DEV tx off`). An 802.1Q tag stands in the frame where the device leaves it there,
and goes out again with the packet; one that the device takes out is not seen here.

What cannot go by a ring leaves as under driver packet: a super-packet and what goes out by an
interface without a socket by a packet socket, what has no known next hop by the host. A ring that
is full loses packets, counted as `queue-full`. ARP and neighbour discovery are the kernel's.

Order of memory: each ring has one who writes and one who reads. What is in an entry is written
before the count that shows it (`release_fence`), and read after it (`acquire_fence`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.batch import start_batch
from natlb.core.layout import HEADROOM, SLOT_BYTES
from natlb.io.calls import MSG_DONTWAIT, memmove, sendto
from natlb.io.errno import EAGAIN, EINTR, last_error
from natlb.io.packet import tag_of_output
from natlb.io.rings import (
    COMPLETION,
    CONSUMER,
    ENTRIES,
    FILL,
    FLAGS,
    PRODUCER,
    RECEIVE,
    SEND,
    WORD,
    Rings,
    count_of,
    set_count,
)
from natlb.io.xsk_shape import FRAME_OCTETS, RECEIVE_FRAMES, RING_SIZE, SEND_FRAMES, UMEM_OCTETS
from natlb.jit import acquire_fence, i64, kernel, rare_kernel, release_fence
from natlb.wire.cut import finish_checksum
from natlb.wire.ethernet import (
    ETHERNET_HEADER,
    TYPE_IP4,
    TYPE_IP6,
    TYPE_VLAN,
    VLAN_TAG,
    write_addresses,
    write_type,
)
from natlb.wire.frame import GSO_NONE, set_plain
from natlb.wire.octets import get_u16, get_u32

if TYPE_CHECKING:
    from natlb.core.batch import Batch
    from natlb.io.queues import Queues

NO_SOCKET = -1
NEED_WAKEUP = 1  # of a ring's flags: Linux, if_xdp.h
TYPE_PROVIDER_VLAN = 0x88A8
ENTRY_MASK = RING_SIZE - 1
MOST_PUSHES = RING_SIZE // 16  # a call sends 32 frames in copy mode (TX_BATCH_SIZE), or 16
NO_FRAME = -1


@kernel
def read_rings(queues: Queues, batch: Batch) -> int:
    """Fill the batch with what waits, an equal share of each socket at most; return how many."""
    share = max(1, batch.frames.size // queues.fds.size)
    slot, count = 0, 0
    for way in range(queues.fds.size):
        if queues.ready[way] == 0 or slot + share > batch.frames.size:
            continue
        got = _receive(queues, batch, way, slot, share)
        for at in range(slot, slot + got):
            count += _take(queues, batch, way, at, count)
        slot += got
    start_batch(batch, count)
    return count


@kernel
def _receive(queues: Queues, batch: Batch, way: int, slot: int, share: int) -> int:
    """Copy received frames into the slots from `slot` on, give them back; return how many."""
    rings = queues.rings
    first = count_of(rings, way, RECEIVE, CONSUMER)
    waiting = (count_of(rings, way, RECEIVE, PRODUCER) - first) & WORD
    acquire_fence()
    got = min(share, waiting)
    queues.ready[way] = 1 if waiting > got else 0
    if got == 0:
        return 0
    fill = count_of(rings, way, FILL, PRODUCER)
    entries = i64(rings.places[way, RECEIVE, ENTRIES]) // 8
    given = i64(rings.places[way, FILL, ENTRIES]) // 8
    for number in range(got):
        entry = entries + 2 * ((first + number) & ENTRY_MASK)
        frame = i64(rings.entries[way, RECEIVE, entry])
        octets = i64(rings.entries[way, RECEIVE, entry + 1]) & WORD
        _copy_in(queues, batch, way, slot + number, frame, octets)
        rings.entries[way, FILL, given + ((fill + number) & ENTRY_MASK)] = _start_of(frame)
    release_fence()
    set_count(rings, way, FILL, PRODUCER, fill + got)
    release_fence()
    set_count(rings, way, RECEIVE, CONSUMER, first + got)
    return got


@kernel
def _start_of(frame: int) -> int:
    """Return where the frame begins that an address lies in."""
    return frame & ~(FRAME_OCTETS - 1) & (RECEIVE_FRAMES * FRAME_OCTETS - 1)


@kernel
def _copy_in(queues: Queues, batch: Batch, way: int, at: int, frame: int, octets: int) -> None:
    """Copy a received frame into a slot, its Ethernet header before HEADROOM; say its length."""
    if not 0 <= frame <= UMEM_OCTETS - octets or octets > FRAME_OCTETS:
        octets = 0
    source = queues.rings.frames.ctypes.data + way * UMEM_OCTETS + frame
    target = batch.slots.ctypes.data + at * SLOT_BYTES + HEADROOM - ETHERNET_HEADER
    if octets > 0:
        memmove(target, source, octets)
    queues.receiving.messages[at]["octets"] = octets


@kernel
def _take(queues: Queues, batch: Batch, way: int, at: int, count: int) -> int:
    """Make a received frame the batch's next; return 1, or 0 where it is no packet for natlb."""
    octets = i64(queues.receiving.messages[at]["octets"]) - ETHERNET_HEADER
    if octets <= VLAN_TAG:
        return 0
    slot = batch.slots[at]
    start, tag, kind = HEADROOM, 0, get_u16(slot, HEADROOM - 2)
    if kind == TYPE_VLAN or kind == TYPE_PROVIDER_VLAN:
        tag = get_u32(slot, HEADROOM - 2)
        start += VLAN_TAG
        octets -= VLAN_TAG
        kind = get_u16(slot, start - 2)
    if kind != TYPE_IP4 and kind != TYPE_IP6:
        return 0
    queues.receiving.tags[at] = tag
    frame = batch.frames[count]
    frame["slot"] = at
    frame["start"] = start
    frame["length"] = octets
    frame["way"] = queues.sides[way]
    set_plain(frame)
    return 1


@kernel
def socket_for(queues: Queues, frame: Any, ifindex: int) -> int:
    """Return which socket sends by an interface, or NO_SOCKET: what is no single packet has none.

    So has what is larger than a frame of the rings.
    """
    if frame["gso_type"] != GSO_NONE:
        return NO_SOCKET
    if frame["length"] > FRAME_OCTETS - ETHERNET_HEADER - VLAN_TAG:
        return NO_SOCKET
    found = NO_SOCKET
    for way in range(queues.rings.places.shape[0]):
        if i64(queues.receiving.ifindexes[way]) == ifindex:
            found = way
    return found


@kernel
def put_into_ring(queues: Queues, batch: Batch, at: int, known: Any, way: int) -> bool:
    """Copy an output frame behind the header of its next hop into a ring; return if it had room.

    Whoever has put the last one in calls `push_rings`.
    """
    place = _frame_to_send(queues, way)
    if place == NO_FRAME:
        _push(queues, way)
        place = _frame_to_send(queues, way)
        if place == NO_FRAME:
            return False
    frame = batch.output[at]
    slot, packet, length = batch.slots[frame["slot"]], i64(frame["start"]), i64(frame["length"])
    finish_checksum(slot[packet : packet + length], frame)
    kind = TYPE_IP4 if i64(slot[packet]) >> 4 == 4 else TYPE_IP6
    start = write_type(slot, packet, kind, tag_of_output(queues, batch, at))
    to_high, to_low = i64(known["to_high"]), i64(known["to_low"])
    write_addresses(slot, start, to_high, to_low, i64(known["from_high"]), i64(known["from_low"]))
    octets = packet - start + length
    source = batch.slots.ctypes.data + i64(frame["slot"]) * SLOT_BYTES + start
    memmove(queues.rings.frames.ctypes.data + way * UMEM_OCTETS + place, source, octets)
    _send(queues, way, place, octets)
    return True


@kernel
def _circulating(rings: Rings, way: int) -> int:
    """Return how many of the frames for sending were ever sent: all of them, but in the beginning.

    From then on each is taken from the completion ring.
    """
    sent = count_of(rings, way, SEND, PRODUCER)
    return (sent - count_of(rings, way, COMPLETION, CONSUMER)) & WORD


@kernel
def _frame_to_send(queues: Queues, way: int) -> int:
    """Return the octet of the UMEM where the next frame to send begins, or NO_FRAME."""
    rings = queues.rings
    fresh = _circulating(rings, way)
    if fresh < SEND_FRAMES:
        return (RECEIVE_FRAMES + fresh) * FRAME_OCTETS
    taken = count_of(rings, way, COMPLETION, CONSUMER)
    if count_of(rings, way, COMPLETION, PRODUCER) == taken:
        return NO_FRAME
    acquire_fence()
    entries = i64(rings.places[way, COMPLETION, ENTRIES]) // 8
    frame = i64(rings.entries[way, COMPLETION, entries + (taken & ENTRY_MASK)])
    return frame & (UMEM_OCTETS - 1) & ~(FRAME_OCTETS - 1)


@kernel
def _send(queues: Queues, way: int, place: int, octets: int) -> None:
    """Give a frame to the ring for sending, and take it from where it came from."""
    rings = queues.rings
    is_fresh = _circulating(rings, way) < SEND_FRAMES
    sent = count_of(rings, way, SEND, PRODUCER)
    entry = i64(rings.places[way, SEND, ENTRIES]) // 8 + 2 * (sent & ENTRY_MASK)
    rings.entries[way, SEND, entry] = place
    rings.entries[way, SEND, entry + 1] = octets  # no options
    release_fence()
    set_count(rings, way, SEND, PRODUCER, sent + 1)
    if not is_fresh:
        release_fence()
        taken = count_of(rings, way, COMPLETION, CONSUMER)
        set_count(rings, way, COMPLETION, CONSUMER, taken + 1)


@rare_kernel
def push_rings(queues: Queues) -> None:
    """Have the kernel send what is in the rings, where it asks to be told."""
    for way in range(queues.rings.places.shape[0]):
        _push(queues, way)


@rare_kernel
def _push(queues: Queues, way: int) -> None:
    """Tell the kernel until it has taken all, or takes no more: poll() tells it again.

    In copy mode it sends within the call, a few frames in each, and then says EAGAIN.
    """
    rings = queues.rings
    for _ in range(MOST_PUSHES):
        sent = count_of(rings, way, SEND, PRODUCER)
        if count_of(rings, way, SEND, CONSUMER) == sent:
            return
        if count_of(rings, way, SEND, FLAGS) & NEED_WAKEUP == 0:
            return
        if sendto(queues.fds[way], 0, 0, MSG_DONTWAIT, 0, 0) >= 0:
            continue
        code = last_error(queues.sending.error)
        if code != EAGAIN and code != EINTR:
            return
