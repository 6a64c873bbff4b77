"""ICMP errors about a flow between IPv6 and IPv4 (RFC 7915, sections 4.2, 4.3, 5.2 and 5.3).

Whoever sends one speaks the version of its side and quotes what natlb put out there. The other end
gets an error of its own version that quotes what it sent itself: from the VIP to a client, from
natlb's own address to a backend, since no other address of that side knows of the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.batch import QUOTED, emit
from natlb.core.flow_table import direction_of, half, row_of
from natlb.core.identification import next_identification
from natlb.core.state import TTL_OWN, Core
from natlb.core.verdict import FORWARD, drop
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.fields import (
    ICMP4_FRAGMENTATION_NEEDED,
    ICMP4_PARAMETER_PROBLEM,
    ICMP4_UNREACHABLE,
    ICMP6_PACKET_TOO_BIG,
    ICMP6_PARAMETER_PROBLEM,
    ICMP_CODE,
    ICMP_HEADER,
    ICMP_REST,
    ICMP_TYPE,
    IP4_MINIMUM_MTU,
    IP4_TOTAL_LENGTH,
    IP6_MINIMUM_MTU,
)
from natlb.wire.octets import get_u8, get_u16, get_u32
from natlb.wire.quote import quote_end, quote_start
from natlb.wire.reasons import UNSUPPORTED
from natlb.wire.xlat import GREW
from natlb.wire.xlat_icmp import (
    UNMAPPED,
    map_to4,
    map_to6,
    plateau_below,
    pointer_to4,
    pointer_to6,
    put_error,
)

if TYPE_CHECKING:
    from natlb.wire.octets import Octets


@rare_kernel
def cross_error(core: Core, i: int, packet: Octets, found: int, hops: int) -> int:
    """Return the outcome of an ICMP error about a flow whose ends speak different versions.

    `found` is what answers the quoted packet would be found as. The error and its quote were
    judged, and it has a hop left. Nothing of the flow changes.
    """
    batch = core.batch
    frame, parsed, quote = batch.frames[i], batch.parsed[i], batch.quotes[QUOTED]
    row = core.flows.rows[row_of(found)]
    this, other = half(row, direction_of(found)), half(row, 1 - direction_of(found))
    way = i64(this["way"])
    says = _says(core, i, packet)
    rest = UNMAPPED if says == UNMAPPED else _rest(core, i, packet, says, way)
    if rest == UNMAPPED:
        return drop(UNSUPPORTED)
    ttl = i64(parsed["ttl"]) - (1 if hops == TTL_OWN else 0)
    word = next_identification(core) << 16
    limit = min(IP6_MINIMUM_MTU, i64(core.tables.ways[way]["mtu"]))
    field = quote_end(packet, parsed) - quote_start(parsed)
    slot, delta = batch.slots[frame["slot"]], i64(this["transport_delta"])
    put_error(slot, frame, parsed, quote, field, other, delta, ttl, word, says, rest, limit)
    emit(batch, frame, way)
    return FORWARD


@kernel
def _says(core: Core, i: int, packet: Octets) -> int:
    """Return type and code of the error in the other version, or UNMAPPED."""
    parsed = core.batch.parsed[i]
    l4 = i64(parsed["l4"])
    kind, code = get_u8(packet, l4 + ICMP_TYPE), get_u8(packet, l4 + ICMP_CODE)
    return map_to6(kind, code) if parsed["version"] == 4 else map_to4(kind, code)


@kernel
def _rest(core: Core, i: int, packet: Octets, says: int, way: int) -> int:
    """Return the word behind the checksum: an MTU, a pointer, or 0; UNMAPPED where it has none."""
    l4 = i64(core.batch.parsed[i]["l4"])
    if core.batch.parsed[i]["version"] == 4:
        if says >> 8 == ICMP6_PACKET_TOO_BIG:
            return _mtu_to6(core, i, packet, way)
        return pointer_to6(packet, l4) if says >> 8 == ICMP6_PARAMETER_PROBLEM else 0
    if says == ICMP4_UNREACHABLE << 8 | ICMP4_FRAGMENTATION_NEEDED:
        return _mtu_to4(core, i, packet, way)
    if says >> 8 != ICMP4_PARAMETER_PROBLEM:
        return 0
    pointer = pointer_to4(packet, l4)
    return UNMAPPED if pointer == UNMAPPED else pointer << 24


@kernel
def _mtu_to6(core: Core, i: int, packet: Octets, way: int) -> int:
    """Return the MTU that an IPv6 sender is told for an IPv4 path's, by RFC 7915 section 4.2."""
    l4 = i64(core.batch.parsed[i]["l4"])
    mtu = get_u32(packet, l4 + ICMP_REST) & 0xFFFF
    if mtu == 0:  # a router older than RFC 1191
        mtu = plateau_below(get_u16(packet, l4 + ICMP_HEADER + IP4_TOTAL_LENGTH))
    here = i64(core.tables.ways[core.batch.frames[i]["way"]]["mtu"])
    there = i64(core.tables.ways[way]["mtu"])
    return max(IP6_MINIMUM_MTU, min(mtu + GREW, here + GREW, there))


@kernel
def _mtu_to4(core: Core, i: int, packet: Octets, way: int) -> int:
    """Return the MTU that an IPv4 sender is told for an IPv6 path's, by RFC 7915 section 5.2."""
    mtu = get_u32(packet, i64(core.batch.parsed[i]["l4"]) + ICMP_REST)
    here = i64(core.tables.ways[core.batch.frames[i]["way"]]["mtu"])
    there = i64(core.tables.ways[way]["mtu"])
    return max(IP4_MINIMUM_MTU, min(mtu - GREW, here - GREW, there, 0xFFFF))
