"""The Internet checksum: whole sums (RFC 1071) and the change of one (RFC 1624).

A *sum* here is the folded one's complement sum of words; a *checksum* is its complement, as it
stands in a header. A *delta* is the sum of `~old + new` over changed words: it can be prepared
once for a flow and folded into every packet of it.
"""

from __future__ import annotations

from natlb.jit import i64, kernel
from natlb.wire.fields import TCP, TCP_CHECKSUM, UDP, UDP_CHECKSUM
from natlb.wire.octets import Octets, get_u16, get_u32, set_u16

NO_DELTA = 0xFFFF  # one's complement zero, of the kind that leaves a sum of 0x0000 a zero


@kernel
def fold(total: int) -> int:
    """Return a sum of words (below 2^48) folded into 16 bits."""
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)


@kernel
def add_delta(delta: int, old: int, new: int) -> int:
    """Return `delta` with a 16-bit word's change from `old` to `new` in it."""
    return fold(delta + (~old & 0xFFFF) + new)


@kernel
def apply_delta(checksum: int, delta: int) -> int:
    """Return `checksum` as it reads once the words it covers changed by `delta`.

    RFC 1624 eqn. 3:  HC' = ~(~HC + ~m + m').  The shorter form of RFC 1141 can land on the
    other zero: HC = 0xdd2f, m = 0x5555, m' = 0x3285 gives 0xffff where a full sum gives 0.
    """
    return ~fold((~checksum & 0xFFFF) + delta) & 0xFFFF


@kernel
def update_checksum(checksum: int, old: int, new: int) -> int:
    """Return `checksum` as it reads once a 16-bit word it covers went from `old` to `new`."""
    return apply_delta(checksum, add_delta(0, old, new))


@kernel
def sum_octets(packet: Octets, start: int, end: int) -> int:
    """Return the folded sum of `packet[start:end]`; an odd last octet is padded with zero."""
    total = 0
    at = start
    while at + 1 < end:
        total += get_u16(packet, at)
        at += 2
    if at < end:
        total += i64(packet[at]) << 8
    return fold(total)


@kernel
def sum_header4(packet: Octets) -> int:
    """Return the folded sum of an IPv4 header without options, which the packet has."""
    return fold(
        get_u32(packet, 0)
        + get_u32(packet, 4)
        + get_u32(packet, 8)
        + get_u32(packet, 12)
        + get_u32(packet, 16)
    )


@kernel
def sum_pseudo_header(
    packet: Octets, addresses: int, octets: int, protocol: int, length: int
) -> int:
    """Return the sum of a pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1).

    `addresses` is where source and destination begin, `octets` how long both are: 8 or 32.
    """
    total = sum_octets(packet, addresses, addresses + octets)
    return fold(total + protocol + (length >> 16) + (length & 0xFFFF))


@kernel
def checksum_offset(protocol: int) -> int:
    """Return where TCP or UDP keeps its checksum, counted from the transport header."""
    return TCP_CHECKSUM if protocol == TCP else UDP_CHECKSUM


@kernel
def adjust_checksum(packet: Octets, l4: int, protocol: int, delta: int) -> None:
    """Fold `delta` into the finished checksum of a TCP or UDP header at `l4`.

    Zero in UDP over IPv4 means "the sender computed none" (RFC 768): such a packet keeps its
    zero, and a sum that comes out zero is sent as 0xffff, which is zero's other name.
    """
    at = l4 + checksum_offset(protocol)
    checksum = get_u16(packet, at)
    if protocol == UDP and checksum == 0:
        return
    checksum = apply_delta(checksum, delta)
    if protocol == UDP and checksum == 0:
        checksum = 0xFFFF
    set_u16(packet, at, checksum)


@kernel
def adjust_partial_checksum(packet: Octets, l4: int, protocol: int, address_delta: int) -> None:
    """Fold a change of addresses into a checksum that the device is yet to finish.

    With `NEEDS_CSUM` the field holds the pseudo-header's sum, not inverted: ports are not in it,
    and a zero is a sum like any other (Linux: skb_checksum_help in net/core/dev.c).
    """
    at = l4 + checksum_offset(protocol)
    set_u16(packet, at, fold(get_u16(packet, at) + address_delta))
