"""Which worker a packet belongs to: a hash of the client's address, or a port of natlb's.

Workers share nothing they write, so both directions of a flow must reach the same one. What they
have in common is the client's address, wherever it stands in the packet:

    what came in                                     belongs to the worker of
    public side                                      its source
    ... an ICMP error                                the destination of what it quotes
    private side, to a source address (full NAT)     its destination port
    ... an ICMP error                                the source port of what it quotes
    private side, to a VIP (hairpin)                 as on the public side
    private side, all else                           its destination

What has no port where one is asked for is worker 0's: later fragments to a source address, and
protocols without ports. What is no IP packet is worker 0's, and so is neighbour discovery.

The hash is no secret, unlike the index hash: programs in the kernel compute it, in 32-bit
arithmetic without division (natlb.bpf.steering). To the bit, on the four 32-bit lanes of the
address, the first first, IPv4 as ::ffff:a.b.c.d, all modulo 2^32:

    h = ((lane0 * C + lane1) * C + lane2) * C + lane3      C = 0x1E35A7BD
    twice:  h = (h ^ h >> 16) * D                          D = 0x045D9F3B
    h = h ^ h >> 16

Each step can be undone, so addresses that differ in one lane never collide: neighbours are spread
as evenly as chance would. The worker is h modulo the number of workers; that of a port is the port
modulo the number of workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.hashing import WORD, State
from natlb.core.layout import WORKER, WORKERS
from natlb.jit import i64, kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLD = 0x1E35A7BD
MIX = 0x045D9F3B


@kernel
def steering_hash(lanes: State) -> int:
    """Return the 32-bit hash of a client address that says its worker.

    The multipliers are below 2^31, so that no product passes 63 bits.
    """
    h = (lanes[0] * FOLD + lanes[1]) & WORD
    h = (h * FOLD + lanes[2]) & WORD
    h = (h * FOLD + lanes[3]) & WORD
    h = ((h ^ h >> 16) * MIX) & WORD
    h = ((h ^ h >> 16) * MIX) & WORD
    return h ^ h >> 16


@kernel
def worker_of(lanes: State, workers: int) -> int:
    """Return the worker that a client's flows belong to."""
    return steering_hash(lanes) % workers


@kernel
def worker_of_port(port: int, workers: int) -> int:
    """Return the worker that a port of a source address belongs to: its answers come home."""
    return port % workers


@kernel
def share_of(meta: NDArray[np.int64], whole: int) -> int:
    """Return a worker's part of what all workers may have together, rounded up."""
    workers = max(1, i64(meta[WORKERS]))
    return (whole + workers - 1) // workers


@kernel
def first_own_port(meta: NDArray[np.int64], least: int) -> int:
    """Return the first port from `least` on whose answers come home to the table's worker."""
    workers = max(1, i64(meta[WORKERS]))
    return least + (i64(meta[WORKER]) + workers - least % workers) % workers
