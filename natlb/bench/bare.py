"""A bare forwarder: what any forwarder through TUN in this language must pay, and nothing more.

    python -m natlb.bench.bare PATH VIP BACKEND JOURNAL CLIENT-MAC BACKEND-MAC

Reads, writes and waits as natlb does, by natlb's own kernels, on two TUN devices that natlb's own
set-up of the host made. Between them one fixed address is replaced, VIP by backend and back, and
the checksums follow. No table, no parse, no check, no count. Prints `ready`, forwards until killed.
"""

from __future__ import annotations

import sys
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from natlb.bench.bare_ways import hops_to, outputs
from natlb.control.host import (
    PRIVATE_TUN,
    PUBLIC_TUN,
    Journal,
    KernelReader,
    Wanted,
    apply,
    operations,
    resolve,
)
from natlb.control.host.plan import SideWanted
from natlb.core.batch import COUNT_IN, Batch, emit, make_batch, start_batch
from natlb.core.layout import PRIVATE, PUBLIC
from natlb.core.memory import Kind, make
from natlb.io.loop import BATCH, no_hops
from natlb.io.path import LOST, read_batch, wait, write_batch
from natlb.io.ports import Port, PortKind
from natlb.io.queues import Queues, make_queues
from natlb.jit import compile_for, entry, i64, kernel
from natlb.wire.checksum import (
    adjust_checksum,
    adjust_partial_checksum,
    apply_delta,
)
from natlb.wire.fields import IP4_CHECKSUM, IP4_DESTINATION, IP4_SOURCE, TCP, UDP
from natlb.wire.octets import get_u8, get_u16, set_u16, set_u32

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from natlb.control.host import Tun
    from natlb.core.counters import Counters
    from natlb.core.next_hops import NextHops

IP4_PROTOCOL, IP4_HEADER, UDP_HEADER, TCP_OFFSET = 9, 20, 8, 12
LOOK_UP_MS = 1000
DIRECT = "tun-direct"
ADDRESS, DELTA = 0, 1


@entry
def forward(
    queues: Queues,
    batch: Batch,
    counters: Counters,
    hops: NextHops,
    changes: NDArray[np.int64],
) -> int:
    """Forward until a queue is gone. `changes[way]` is (address, checksum delta)."""
    while True:
        if read_batch(queues, batch, hops) == 0:
            seen = wait(queues, LOOK_UP_MS)
            if seen >= LOST:
                return seen
            continue
        for i in range(batch.numbers[COUNT_IN]):
            _replace(batch, i, changes)
        write_batch(queues, batch, counters, hops)
        start_batch(batch, 0)


@kernel
def _replace(batch: Batch, i: int, changes: NDArray[np.int64]) -> None:
    """Replace the one address of a packet, and put the packet out by the other side."""
    frame = batch.frames[i]
    way = i64(frame["way"])
    packet = batch.slots[frame["slot"], frame["start"] : frame["start"] + frame["length"]]
    protocol = get_u8(packet, IP4_PROTOCOL)
    if protocol != TCP and protocol != UDP:  # noqa: PLR1714 - it compiles to compares alone
        return
    delta = changes[way, DELTA]
    set_u32(packet, IP4_DESTINATION if way == PUBLIC else IP4_SOURCE, changes[way, ADDRESS])
    set_u16(packet, IP4_CHECKSUM, apply_delta(get_u16(packet, IP4_CHECKSUM), delta))
    if frame["needs_checksum"]:
        adjust_partial_checksum(packet, IP4_HEADER, protocol, delta)
    else:
        adjust_checksum(packet, IP4_HEADER, protocol, delta)
    header = UDP_HEADER
    if protocol == TCP:
        header = get_u8(packet, IP4_HEADER + TCP_OFFSET) >> 4 << 2
    batch.parsed[i]["payload"] = IP4_HEADER + header  # a super-packet's header needs it
    emit(batch, frame, PRIVATE if way == PUBLIC else PUBLIC)


def changes_of(vip: IPv4Address, backend: IPv4Address) -> NDArray[np.int64]:
    """Return what is written into packets of each side, and what it changes in their sums."""
    changes = np.zeros((2, 2), np.int64)
    for way, old, new in ((PUBLIC, int(vip), int(backend)), (PRIVATE, int(backend), int(vip))):
        changes[way] = new, delta_of(old, new)
    return changes


def delta_of(old: int, new: int) -> int:
    """Return the change that one address for another makes in a sum (`wire.checksum`: a delta)."""
    total = (~old & 0xFFFFFFFF) + new
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def set_up(vip: IPv4Address, backend: IPv4Address, journal: Path) -> Mapping[str, Tun]:
    """Have this host route to two TUN devices as natlb has it, and return their queues."""
    wanted = Wanted(
        public=SideWanted(interfaces=("public0",)),
        private=SideWanted(interfaces=("private0",)),
        vips=(vip,),
        backends=(backend,),
    )
    with KernelReader() as reader:
        plan = resolve(wanted, reader)
    return apply(operations(None, plan), Journal(journal))


def main() -> None:
    """Set up, say `ready`, forward. The namespace goes when it is killed, and all with it."""
    path, vip, backend, journal, client_mac, backend_mac = sys.argv[1:7]
    addresses = IPv4Address(vip), IPv4Address(backend)
    tuns = set_up(*addresses, Path(journal))
    ports = [
        Port(PortKind.TUN, PUBLIC, tuns[PUBLIC_TUN].fd),
        Port(PortKind.TUN, PRIVATE, tuns[PRIVATE_TUN].fd),
    ]
    hops = no_hops()
    if path == DIRECT:
        ports += outputs()
        hops = hops_to({PUBLIC: client_mac, PRIVATE: backend_mac})
    queues = make_queues(ports)
    batch, counters = make_batch(BATCH), make(Kind.COUNTERS)
    changes = changes_of(*addresses)
    compile_for(forward, queues, batch, counters, hops, changes)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    forward(queues, batch, counters, hops, changes)


if __name__ == "__main__":
    main()
