"""What NAT changes in the sums of a flow's packets, summed once when the flow is made."""

from __future__ import annotations

from typing import Any, TypeAlias

from natlb.jit import i64, kernel
from natlb.wire.checksum import NO_DELTA, add_delta

Half: TypeAlias = Any  # one record of HALF


@kernel
def sum_deltas(original: Half, reply: Half) -> None:
    """Sum what NAT changes in each direction's checksums: the other key replaces this one."""
    for this, other in ((original, reply), (reply, original)):
        delta = _add_address(NO_DELTA, this, other)
        this["address_delta"] = delta
        delta = add_delta(delta, i64(this["source_port"]), i64(other["destination_port"]))
        delta = add_delta(delta, i64(this["destination_port"]), i64(other["source_port"]))
        this["transport_delta"] = delta


@kernel
def _add_address(delta: int, this: Half, other: Half) -> int:
    """Return `delta` with both addresses of `this` replaced by those of `other`, crosswise."""
    delta = _add_lane(delta, i64(this["source0"]), i64(other["destination0"]))
    delta = _add_lane(delta, i64(this["source1"]), i64(other["destination1"]))
    delta = _add_lane(delta, i64(this["source2"]), i64(other["destination2"]))
    delta = _add_lane(delta, i64(this["source3"]), i64(other["destination3"]))
    delta = _add_lane(delta, i64(this["destination0"]), i64(other["source0"]))
    delta = _add_lane(delta, i64(this["destination1"]), i64(other["source1"]))
    delta = _add_lane(delta, i64(this["destination2"]), i64(other["source2"]))
    return _add_lane(delta, i64(this["destination3"]), i64(other["source3"]))


@kernel
def _add_lane(delta: int, old: int, new: int) -> int:
    """Return `delta` with a 32-bit lane's change in it."""
    return add_delta(add_delta(delta, old >> 16, new >> 16), old & 0xFFFF, new & 0xFFFF)
