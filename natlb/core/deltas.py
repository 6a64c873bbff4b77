"""What NAT changes in the sums of a flow's packets, summed once when the flow is made."""

from __future__ import annotations

from typing import Any, TypeAlias

from natlb.core.hashing import WORD
from natlb.jit import i64, kernel
from natlb.wire.checksum import NO_DELTA, fold

Half: TypeAlias = Any  # one record of HALF


@kernel
def sum_deltas(original: Half, reply: Half) -> None:
    """Sum what NAT changes in each direction's checksums: the other key replaces this one."""
    for this, other in ((original, reply), (reply, original)):
        total = NO_DELTA + _changes_of_addresses(this, other)
        this["address_delta"] = fold(total)
        total += WORD - i64(this["source_port"]) + i64(other["destination_port"])
        total += WORD - i64(this["destination_port"]) + i64(other["source_port"])
        this["transport_delta"] = fold(total)


@kernel
def _changes_of_addresses(this: Half, other: Half) -> int:
    """Return the sum of `~old + new` over both addresses, replaced crosswise by those of `other`.

    In words of 32 bits, which sum to the same as their halves once folded (RFC 1071 section 2C).
    """
    return (
        8 * WORD
        - (i64(this["source0"]) + i64(this["source1"]))
        - (i64(this["source2"]) + i64(this["source3"]))
        - (i64(this["destination0"]) + i64(this["destination1"]))
        - (i64(this["destination2"]) + i64(this["destination3"]))
        + (i64(other["destination0"]) + i64(other["destination1"]))
        + (i64(other["destination2"]) + i64(other["destination3"]))
        + (i64(other["source0"]) + i64(other["source1"]))
        + (i64(other["source2"]) + i64(other["source3"]))
    )
