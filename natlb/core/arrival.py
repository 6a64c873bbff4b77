"""A packet that no flow knows: whose it is, and whether it may begin one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.adoption import adopt_flow, may_adopt
from natlb.core.batch import emit
from natlb.core.direct import pass_back, pass_on
from natlb.core.icmp_errors import translate_error
from natlb.core.layout import BACKEND_ADDRESS, PUBLIC, REJECT, SHARED, SILENCE, SOURCE, VIP
from natlb.core.opening import open_flow
from natlb.core.refusal import answer_ttl_expired, prohibit, refuse
from natlb.core.tables import NO_SERVICE_INDEX, find_service, has_sources, kind_of_address
from natlb.core.tracking import is_opener
from natlb.core.translate import is_ttl_spent, translate
from natlb.core.verdict import ECHO, answered, drop
from natlb.jit import i64, kernel
from natlb.wire.answers import (
    is_echo_request,
    is_icmp,
    is_icmp_error,
    is_icmp_sum_right,
    write_echo_reply,
)
from natlb.wire.fields import TCP, UDP
from natlb.wire.parsed import FRAGMENTED, UNTRANSLATABLE
from natlb.wire.reasons import (
    ACCESS,
    BACKEND_LIMIT,
    BAD_CHECKSUM,
    MARTIAN,
    NO_BACKEND,
    NO_SERVICE,
    OUT_OF_STATE,
    PORT_EXHAUSTED,
    SERVICE_LIMIT,
    SOURCE_LIMIT,
    TABLE_FULL,
    UNSUPPORTED,
)
from natlb.wire.rewrite import destination_lanes, source_lanes

if TYPE_CHECKING:
    from natlb.core.choice import Pick
    from natlb.core.state import Core
    from natlb.wire.octets import Octets
    from natlb.wire.parsed import Parsed


@kernel
def arrive(core: Core, i: int, packet: Octets, now: int, hops: int, pick: Pick) -> int:
    """Return the outcome of a packet that belongs to no flow.

    A source that only the private side may have is a forgery on the public one (RFC 2827), and
    one that is a VIP or an address of full NAT is a forgery on both.
    """
    batch = core.batch
    parsed = batch.parsed[i]
    if is_icmp_error(packet, parsed):
        return translate_error(core, i, packet, hops)
    source = kind_of_address(core.tables, source_lanes(parsed))
    if _is_forged(parsed, source, batch.frames[i]["way"]):
        return drop(MARTIAN)
    destination = kind_of_address(core.tables, destination_lanes(parsed))
    if destination & VIP:
        return _call_vip(core, i, packet, now, hops, pick)
    if destination & SOURCE:
        return _call_source(core, i, packet)
    return pass_on(core, i, now)


@kernel
def _is_forged(parsed: Parsed, source: int, way: int) -> bool:
    """Return whether nobody on that side may send from an address of kind `source`.

    A VIP that is the host's own address is another matter for ICMP on the private side: all that
    the host's kernel sends of it comes there, its errors about rewritten packets among it.
    """
    if source & SHARED and way != PUBLIC and is_icmp(parsed):
        return False
    return bool(source & (VIP | SOURCE) or (way == PUBLIC and source & BACKEND_ADDRESS))


@kernel
def _call_source(core: Core, i: int, packet: Octets) -> int:
    """Return the outcome of a packet to an address of full NAT that is of no flow.

    Silence, as a NAT keeps to unsolicited segments (RFC 5382 REQ-4), but for an echo.
    """
    if is_icmp(core.batch.parsed[i]):
        return _answer_icmp(core, i, packet)
    return drop(OUT_OF_STATE)


@kernel
def _call_vip(core: Core, i: int, packet: Octets, now: int, hops: int, pick: Pick) -> int:
    """Return the outcome of a packet to a VIP: all of these are natlb's."""
    parsed = core.batch.parsed[i]
    if parsed["kind"] & UNTRANSLATABLE:
        return drop(UNSUPPORTED)
    if is_icmp(parsed):
        return _answer_icmp(core, i, packet)
    protocol = i64(parsed["protocol"])
    if protocol != TCP and protocol != UDP:
        return drop(UNSUPPORTED)
    return _call_port(core, i, packet, now, hops, pick)


@kernel
def _call_port(core: Core, i: int, packet: Octets, now: int, hops: int, pick: Pick) -> int:
    """Return the outcome of a packet to a port of a VIP."""
    parsed = core.batch.parsed[i]
    protocol, port = i64(parsed["protocol"]), i64(parsed["destination_port"])
    service = find_service(core.tables, destination_lanes(parsed), port, protocol)
    if service == NO_SERVICE_INDEX:
        return refuse(core, i, packet, NO_SERVICE)
    if not _begins(parsed) and not may_adopt(core, i, service):
        if i64(core.tables.services[service]["unknown"]) == SILENCE:
            return drop(OUT_OF_STATE)
        return refuse(core, i, packet, OUT_OF_STATE)
    if core.batch.frames[i]["way"] != PUBLIC and not has_sources(core.tables):
        return drop(UNSUPPORTED)  # hairpin: without full NAT the answer would not come back here
    if is_ttl_spent(parsed["ttl"], hops):
        return answer_ttl_expired(core, i, packet)
    return _begin(core, i, packet, service, now, hops, pick)


@kernel
def _begins(parsed: Parsed) -> bool:
    """Return whether a packet is one that a conversation begins with."""
    return i64(parsed["protocol"]) != TCP or is_opener(parsed["tcp_flags"])


@kernel
def _begin(
    core: Core, i: int, packet: Octets, service: int, now: int, hops: int, pick: Pick
) -> int:
    """Open a flow and send its first packet on, or say why not; a begun one is adopted."""
    if _begins(core.batch.parsed[i]):
        opened = open_flow(core, i, service, now, pick)
    else:
        opened = adopt_flow(core, i, service, now, pick)
    if opened > 0:
        return translate(core, i, packet, opened, now, hops)
    reason = -opened
    if reason == OUT_OF_STATE:
        return refuse(core, i, packet, reason)
    if reason == NO_BACKEND and i64(core.tables.services[service]["no_backend"]) == REJECT:
        return refuse(core, i, packet, reason)
    if _is_prohibition(reason):
        return prohibit(core, i, packet, reason)
    return drop(reason)


@kernel
def _is_prohibition(reason: int) -> bool:
    """Return whether a flow was refused by a limit or a rule, not for want of somebody to serve."""
    return (
        reason == TABLE_FULL
        or reason == PORT_EXHAUSTED
        or reason == SERVICE_LIMIT
        or reason == BACKEND_LIMIT
        or reason == SOURCE_LIMIT
        or reason == ACCESS
    )


@kernel
def _answer_icmp(core: Core, i: int, packet: Octets) -> int:
    """Answer an echo request to a VIP; other ICMP is the host's, where the address is too."""
    batch = core.batch
    frame, parsed = batch.frames[i], batch.parsed[i]
    if not is_echo_request(packet, parsed):
        if kind_of_address(core.tables, destination_lanes(parsed)) & SHARED:
            return pass_back(core, i)
        return drop(UNSUPPORTED)
    is_whole = not parsed["kind"] & FRAGMENTED  # else a wrong sum goes back as it came
    if is_whole and not is_icmp_sum_right(packet, frame, parsed):
        return drop(BAD_CHECKSUM)
    write_echo_reply(packet, frame, parsed)
    emit(batch, frame, frame["way"])
    return answered(ECHO)
