"""Output straight to the next hop: packets of a batch leave by a packet socket, run by run.

Before each packet stand its Ethernet header and, before that, a virtio-net header that counts
from there (packet(7), PACKET_VNET_HDR). What cannot go so, the host routes: whose next hop is not
resolved or not Ethernet, what does not fit its way, and what its link refuses.

Laws
    Packets to one destination leave in their order: a run is sent before one of it goes by host.
    No call waits longer than PATIENCE_MS: a socket that takes no more loses packets, and they are
    counted as `queue-full`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.batch import OF_NO_PACKET, OUTPUT
from natlb.core.layout import PUBLIC, SLOT_BYTES
from natlb.core.verdict import PASS
from natlb.io.calls import MMSGHDR, MSG_DONTWAIT, POLLOUT, poll, sendmmsg
from natlb.io.errno import EAGAIN, EINTR, ENOBUFS, last_error
from natlb.io.fallback import send_by_host
from natlb.io.known_hops import destination_of, look_up_hop
from natlb.io.packet import tag_of_output
from natlb.io.ports import SHUT_4, SHUT_6
from natlb.io.queues import DRIVER, SHUT, TUN_DRIVER, XDP_DRIVER
from natlb.io.sending import RUN, SIDES
from natlb.io.unsent import NONE_LOST, account_lost, headers_of
from natlb.io.xdp import NO_SOCKET, push_rings, put_into_ring, socket_for
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.ethernet import (
    ETHERNET_HEADER,
    TYPE_IP4,
    TYPE_IP6,
    TYPE_VLAN,
    write_addresses,
    write_type,
)
from natlb.wire.frame import VNET_HEADER, write_outer_vnet_header

if TYPE_CHECKING:
    from natlb.core.batch import Batch
    from natlb.core.counters import Counters
    from natlb.core.next_hops import NextHops
    from natlb.io.queues import Queues

PATIENCE_MS = 1  # for a socket's buffer to empty, once in a run
MESSAGE_OCTETS = MMSGHDR.itemsize


@kernel
def send_directly(queues: Queues, batch: Batch, counters: Counters, hops: NextHops) -> None:
    """Send the batch's output, each frame to its next hop, or by the host."""
    for side in range(SIDES):
        queues.sending.lost[side] = NONE_LOST
    for at in range(batch.numbers[OUTPUT]):
        _send_frame(queues, batch, counters, hops, at)
    for side in range(SIDES):
        send_run(queues, batch, counters, side)
    push_rings(queues)
    batch.numbers[OUTPUT] = 0


@kernel
def _send_frame(queues: Queues, batch: Batch, counters: Counters, hops: NextHops, at: int) -> None:
    """Put an output frame into its side's run, or have the host send it."""
    if queues.numbers[SHUT] != 0 and _is_shut_in(queues, batch, at):
        _shut_in(queues, batch, counters, at)
        return
    sending = queues.sending
    frame = batch.output[at]
    side, slot = i64(frame["way"]), batch.slots[frame["slot"]]
    headers = headers_of(batch, at)
    octets = i64(frame["length"])
    if headers != 0:
        octets = min(octets, headers + i64(frame["gso_size"]))
    known = look_up_hop(sending, hops, side, destination_of(slot, i64(frame["start"])))
    if known["ifindex"] == 0:
        _send_apart(queues, batch, counters, at)
    elif octets > known["mtu"]:
        send_run(queues, batch, counters, side)
        push_rings(queues)
        _send_apart(queues, batch, counters, at)
    elif queues.numbers[DRIVER] == XDP_DRIVER and _is_in_ring(queues, batch, counters, at, known):
        return
    else:
        if sending.filled[side] == RUN:
            send_run(queues, batch, counters, side)
        _append(queues, batch, at, known, headers)


@kernel
def _is_in_ring(queues: Queues, batch: Batch, counters: Counters, at: int, known: Any) -> bool:
    """Put an output frame into its interface's ring, and return whether there is one."""
    frame = batch.output[at]
    way = socket_for(queues, frame, i64(known["ifindex"]))
    if way == NO_SOCKET:
        return False
    if not put_into_ring(queues, batch, at, known, way):
        side, lost = i64(frame["way"]), queues.sending.lost
        lost[side] = account_lost(batch, counters, at, i64(lost[side]))
    return True


@rare_kernel
def _is_shut_in(queues: Queues, batch: Batch, at: int) -> bool:
    """Return whether an output frame is a backend's own packet that nobody carried before natlb."""
    frame, origin = batch.output[at], i64(batch.origins[at])
    if origin == OF_NO_PACKET or i64(frame["way"]) != PUBLIC:
        return False
    version = i64(batch.slots[frame["slot"]][frame["start"]]) >> 4
    shut = i64(queues.numbers[SHUT]) & (SHUT_4 if version == 4 else SHUT_6)
    return i64(batch.outcomes[origin]) & 0xFF == PASS and shut != 0


@rare_kernel
def _shut_in(queues: Queues, batch: Batch, counters: Counters, at: int) -> None:
    """Have the host's rules refuse such a packet by TUN, or else drop it, as they would."""
    if queues.numbers[DRIVER] == TUN_DRIVER:
        _send_apart(queues, batch, counters, at)


@rare_kernel
def _send_apart(queues: Queues, batch: Batch, counters: Counters, at: int) -> None:
    """Have the host send an output frame."""
    if not send_by_host(queues, batch, at):
        side = i64(batch.output[at]["way"])
        lost = queues.sending.lost
        lost[side] = account_lost(batch, counters, at, i64(lost[side]))


@kernel
def _append(queues: Queues, batch: Batch, at: int, known: Any, headers: int) -> None:
    """Write an output frame's headers before it, and put it into its side's run."""
    sending = queues.sending
    frame = batch.output[at]
    side, packet = i64(frame["way"]), i64(frame["start"])
    slot = batch.slots[frame["slot"]]
    kind = TYPE_IP4 if i64(slot[packet]) >> 4 == 4 else TYPE_IP6
    tag = tag_of_output(queues, batch, at)
    start = write_type(slot, packet, kind, tag)
    write_addresses(
        slot,
        start,
        i64(known["to_high"]),
        i64(known["to_low"]),
        i64(known["from_high"]),
        i64(known["from_low"]),
    )
    write_outer_vnet_header(slot, frame, headers, packet - start)
    start -= VNET_HEADER
    message = side * RUN + i64(sending.filled[side])
    piece = sending.pieces[message]
    piece["base"] = batch.slots.ctypes.data + frame["slot"] * SLOT_BYTES + start
    piece["octets"] = packet - start + frame["length"]
    address = sending.addresses[message]
    address["ifindex"] = known["ifindex"]
    kind = kind if packet - start == VNET_HEADER + ETHERNET_HEADER else TYPE_VLAN
    address["protocol"] = (kind & 0xFF) << 8 | kind >> 8
    sending.frames[message] = at
    sending.filled[side] += 1


@rare_kernel
def send_run(queues: Queues, batch: Batch, counters: Counters, side: int) -> None:
    """Send what is in a side's run, in order."""
    sending = queues.sending
    first, count = 0, i64(sending.filled[side])
    messages = sending.messages.ctypes.data + side * RUN * MESSAGE_OCTETS
    patience = PATIENCE_MS
    while first < count:
        at = messages + first * MESSAGE_OCTETS
        sent = i64(sendmmsg(sending.outputs[side], at, count - first, MSG_DONTWAIT))
        if sent > 0:
            first += sent
            continue
        code = last_error(sending.error)
        if code == EINTR:
            continue
        if code == EAGAIN and patience > 0:
            _wait_for_room(queues, side, patience)
            patience = 0
            continue
        _lose(queues, batch, counters, side * RUN + first, code)
        first += 1
    sending.filled[side] = 0


@rare_kernel
def _wait_for_room(queues: Queues, side: int, milliseconds: int) -> None:
    """Wait for a side's socket to take packets again."""
    sending = queues.sending
    sending.polled[0]["fd"] = sending.outputs[side]
    sending.polled[0]["events"] = POLLOUT
    poll(sending.polled.ctypes.data, 1, milliseconds)


@rare_kernel
def _lose(queues: Queues, batch: Batch, counters: Counters, message: int, code: int) -> None:
    """Drop a message that a full queue did not take, and hand any other that failed to the host."""
    sending = queues.sending
    at = i64(sending.frames[message])
    if code == EAGAIN or code == ENOBUFS:
        side = i64(batch.output[at]["way"])
        sending.lost[side] = account_lost(batch, counters, at, i64(sending.lost[side]))
    else:
        _send_apart(queues, batch, counters, at)
