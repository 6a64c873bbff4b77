"""Raw IP sockets: the host routes and resolves what is written there (raw(7), IP_HDRINCL).

It takes single, finished packets: a checksum that was left to a device is finished before, and a
super-packet is cut into its segments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.layout import SLOT_BYTES
from natlb.io.calls import AF_INET, AF_INET6, MSG_DONTWAIT, sendto
from natlb.io.unsent import headers_of
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.cut import finish_checksum
from natlb.wire.fields import IP4_DESTINATION, IP6_DESTINATION
from natlb.wire.frame import GSO_NONE
from natlb.wire.segments import NO_SEGMENT, write_segment

if TYPE_CHECKING:
    from natlb.core.batch import Batch
    from natlb.io.queues import Queues
    from natlb.io.sending import Sending
    from natlb.wire.octets import Octets

NAME_OCTETS4, NAME_OCTETS6 = 16, 28  # sockaddr_in, sockaddr_in6
MOST_SEGMENTS = 1 << 16


@rare_kernel
def write_to_host(queues: Queues, batch: Batch, at: int) -> bool:
    """Write an output frame to its side's raw socket; return whether all of it was taken."""
    sending = queues.sending
    frame = batch.output[at]
    slot, start, length = i64(frame["slot"]), i64(frame["start"]), i64(frame["length"])
    packet = batch.slots[slot, start : start + length]
    version = 0 if i64(packet[0]) >> 4 == 4 else 1
    fd = i64(sending.hosts[frame["way"], version])
    _write_name(sending, packet, version)
    if frame["gso_type"] == GSO_NONE:
        finish_checksum(packet, frame)
        memory = batch.slots.ctypes.data + slot * SLOT_BYTES + start
        return _hand_over(sending, fd, memory, length, version)
    headers = headers_of(batch, at)
    memory = sending.segment.ctypes.data
    for number in range(MOST_SEGMENTS):
        octets = write_segment(packet, frame, headers, number, sending.segment)
        if octets == NO_SEGMENT:
            return True
        if not _hand_over(sending, fd, memory, octets, version):
            return False
    return True


@kernel
def _write_name(sending: Sending, packet: Octets, version: int) -> None:
    """Write a packet's destination as the kernel takes it: without a port or a scope."""
    name = sending.name
    first, place, octets = IP4_DESTINATION, 4, 4
    if version != 0:
        first, place, octets = IP6_DESTINATION, 8, 16
    name[:] = 0
    name[0] = AF_INET if version == 0 else AF_INET6
    for octet in range(octets):
        name[place + octet] = packet[first + octet]


@kernel
def _hand_over(sending: Sending, fd: int, memory: int, octets: int, version: int) -> bool:
    """Write one packet; return whether it was taken."""
    name = sending.name.ctypes.data
    name_octets = NAME_OCTETS4 if version == 0 else NAME_OCTETS6
    return bool(sendto(fd, memory, octets, MSG_DONTWAIT, name, name_octets) == octets)
