"""What a packet socket sees and the host keeps: taken out of a batch before the core sees it.

A socket's filter brings what is sent to VIPs and what backends send. Among that is what goes to
the host itself: answers to its checks, and the ports of a shared VIP that no service has. By TUN
such packets never come, since the host's own routing keeps them. An AF_XDP socket takes them away
from the host, which is given them back by a raw socket: it delivers them to itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.batch import OUTPUT, emit, start_batch
from natlb.core.layout import HOST, SHARED, VIP
from natlb.core.tables import NO_SERVICE_INDEX, find_service, kind_of_address
from natlb.io.known_hops import destination_of
from natlb.io.queues import DRIVER, XDP_DRIVER
from natlb.io.raw import write_to_host
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.fields import IP4_PROTOCOL, IP6_HEADER, IP6_NEXT_HEADER
from natlb.wire.octets import get_u8, get_u16

if TYPE_CHECKING:
    from natlb.core.batch import Batch
    from natlb.core.state import Core
    from natlb.core.tables import Tables
    from natlb.io.queues import Queues
    from natlb.wire.frame import Frame
    from natlb.wire.octets import Octets

LEAST = 20  # octets of a packet that can say where it goes; of IPv6 twice as many


@kernel
def leave_to_host(queues: Queues, core: Core, count: int) -> int:
    """Take what is the host's own out of a batch of `count` packets; return how many are left."""
    batch = core.batch
    kept = 0
    for at in range(count):
        frame = batch.frames[at]
        if is_hosts(core.tables, batch.slots[frame["slot"]], frame):
            if queues.numbers[DRIVER] == XDP_DRIVER:
                _give_back(queues, batch, at)
            continue
        if kept != at:
            _move(batch, at, kept)
        kept += 1
    if kept != count:
        start_batch(batch, kept)
    return kept


@rare_kernel
def _give_back(queues: Queues, batch: Batch, at: int) -> None:
    """Have the host deliver an input packet; one that it does not take now is lost."""
    frame = batch.frames[at]
    batch.numbers[OUTPUT] = 0
    emit(batch, frame, i64(frame["way"]))
    write_to_host(queues, batch, 0)
    batch.numbers[OUTPUT] = 0


@kernel
def is_hosts(tables: Tables, slot: Octets, frame: Frame) -> bool:
    """Return whether a packet goes to an address of the host, and to no service there."""
    start, length = i64(frame["start"]), i64(frame["length"])
    if length < LEAST or (i64(slot[start]) >> 4 == 6 and length < IP6_HEADER):
        return False
    kind = kind_of_address(tables, destination_of(slot, start))
    if kind & HOST == 0:
        return False
    return kind & (VIP | SHARED) == 0 or not _is_to_service(tables, slot, start, length)


@rare_kernel
def _is_to_service(tables: Tables, slot: Octets, start: int, length: int) -> bool:
    """Return whether a packet without extensions goes to a port that a service listens on."""
    is_ip4 = i64(slot[start]) >> 4 == 4
    header, protocol = IP6_HEADER, IP6_NEXT_HEADER
    if is_ip4:
        header, protocol = (i64(slot[start]) & 0x0F) * 4, IP4_PROTOCOL
    if length < header + 4:
        return False
    port = get_u16(slot, start + header + 2)
    number = get_u8(slot, start + protocol)
    lanes = destination_of(slot, start)
    return find_service(tables, lanes, port, number) != NO_SERVICE_INDEX


@rare_kernel
def _move(batch: Batch, source: int, target: int) -> None:
    """Give a frame another place among the batch's."""
    old, new = batch.frames[source], batch.frames[target]
    new["slot"] = old["slot"]
    new["start"] = old["start"]
    new["length"] = old["length"]
    new["way"] = old["way"]
    new["needs_checksum"] = old["needs_checksum"]
    new["checksum_start"] = old["checksum_start"]
    new["checksum_offset"] = old["checksum_offset"]
    new["gso_type"] = old["gso_type"]
    new["gso_size"] = old["gso_size"]
