"""Refusals with an answer: what the sender is told, and from which address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.batch import emit
from natlb.core.error_rate import may_send_error
from natlb.core.layout import VIP
from natlb.core.tables import kind_of_address
from natlb.core.verdict import answered, drop
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.answers import (
    may_be_answered,
    write_error,
    write_reset,
)
from natlb.wire.fields import (
    ICMP4_FRAGMENTATION_NEEDED,
    ICMP4_PORT_UNREACHABLE,
    ICMP4_PROHIBITED,
    ICMP4_TIME_EXCEEDED,
    ICMP4_UNREACHABLE,
    ICMP6_PACKET_TOO_BIG,
    ICMP6_PORT_UNREACHABLE,
    ICMP6_PROHIBITED,
    ICMP6_TIME_EXCEEDED,
    ICMP6_UNREACHABLE,
    MAPPED_LANE,
    RST,
    TCP,
)
from natlb.wire.reasons import MTU_EXCEEDED, RATE_LIMIT, TTL_EXPIRED
from natlb.wire.rewrite import Lanes, destination_lanes

if TYPE_CHECKING:
    from natlb.core.state import Core
    from natlb.wire.octets import Octets

NOWHERE = (0, 0, 0, 0)


@kernel
def error_source(core: Core, i: int) -> Lanes:
    """Return who an error comes from: the VIP that was called, or natlb on that side."""
    parsed = core.batch.parsed[i]
    destination = destination_lanes(parsed)
    if kind_of_address(core.tables, destination) & VIP:
        return destination
    way = core.tables.ways[core.batch.frames[i]["way"]]
    if parsed["version"] == 4:
        return 0, 0, MAPPED_LANE, i64(way["address4"])
    return (
        i64(way["address6_0"]),
        i64(way["address6_1"]),
        i64(way["address6_2"]),
        i64(way["address6_3"]),
    )


@rare_kernel
def answer_error(
    core: Core, i: int, packet: Octets, reason: int, kind: int, code: int, rest: int
) -> int:
    """Answer with an ICMP error and return the outcome; silence where none may be sent.

    "Too big" is not limited: it is smaller than what it answers, and without it a transfer hangs.
    """
    batch = core.batch
    frame = batch.frames[i]
    source = error_source(core, i)
    if source == NOWHERE or not may_be_answered(packet, frame, batch.parsed[i]):
        return drop(reason)
    if reason != MTU_EXCEEDED and not may_send_error(core):
        return drop(RATE_LIMIT)
    write_error(batch.slots[frame["slot"]], frame, batch.parsed[i], source, kind, code, rest)
    emit(batch, frame, frame["way"])
    return answered(reason)


@rare_kernel
def refuse(core: Core, i: int, packet: Octets, reason: int) -> int:
    """Answer as a closed port does: a reset for TCP, "port unreachable" for UDP."""
    parsed = core.batch.parsed[i]
    frame = core.batch.frames[i]
    if parsed["protocol"] != TCP:
        if parsed["version"] == 4:
            return answer_error(
                core, i, packet, reason, ICMP4_UNREACHABLE, ICMP4_PORT_UNREACHABLE, 0
            )
        return answer_error(core, i, packet, reason, ICMP6_UNREACHABLE, ICMP6_PORT_UNREACHABLE, 0)
    if parsed["tcp_flags"] & RST or not may_be_answered(packet, frame, parsed):
        return drop(reason)
    if not may_send_error(core):
        return drop(RATE_LIMIT)
    write_reset(core.batch.slots[frame["slot"], frame["start"] :], frame, parsed)
    emit(core.batch, frame, frame["way"])
    return answered(reason)


@rare_kernel
def prohibit(core: Core, i: int, packet: Octets, reason: int) -> int:
    """Answer "communication administratively prohibited", TCP too: try again later, or elsewhere.

    RFC 5508 REQ-8 wants it of a NAT that has no room for a new flow (RFC 1812 section 5.2.7.1).
    """
    if core.batch.parsed[i]["version"] == 4:
        return answer_error(core, i, packet, reason, ICMP4_UNREACHABLE, ICMP4_PROHIBITED, 0)
    return answer_error(core, i, packet, reason, ICMP6_UNREACHABLE, ICMP6_PROHIBITED, 0)


@kernel
def answer_ttl_expired(core: Core, i: int, packet: Octets) -> int:
    """Answer "time exceeded in transit" (RFC 1812 section 5.2.7.3)."""
    kind = ICMP4_TIME_EXCEEDED if core.batch.parsed[i]["version"] == 4 else ICMP6_TIME_EXCEEDED
    return answer_error(core, i, packet, TTL_EXPIRED, kind, 0, 0)


@kernel
def answer_too_big(core: Core, i: int, packet: Octets, mtu: int) -> int:
    """Answer with the MTU of the way that the packet would have left by (RFC 1191, RFC 8201)."""
    if core.batch.parsed[i]["version"] == 4:
        code = ICMP4_FRAGMENTATION_NEEDED
        return answer_error(core, i, packet, MTU_EXCEEDED, ICMP4_UNREACHABLE, code, mtu & 0xFFFF)
    return answer_error(core, i, packet, MTU_EXCEEDED, ICMP6_PACKET_TOO_BIG, 0, mtu)
