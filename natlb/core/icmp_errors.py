"""ICMP errors about a flow's packets, translated outside and in the quote (RFC 5508, 4884).

Whoever sends an error quotes a packet that natlb put out, to the one that packet seemed to be
from. What would answer the quoted packet is of the flow, in the other direction: so the quote's
key with its ends exchanged finds the flow, and the error goes the way of those answers:

    client -> VIP     quoted as client -> backend     error to the client    found as a reply
    backend -> client quoted as VIP -> client         error to the VIP       found as an original

It is rewritten as the packet was that its receiver sent: the other key, read as it stands.

Laws
    Nothing that an error says changes a flow: no state, no timer, no count, no MTU is kept
    (RFC 5508 REQ-6, RFC 5927).
    An error is sent on only if it is sent to whom it quotes (CVE-2019-5598), by the side that the
    flow's packets of that direction come in by.
    A client gets errors from the VIP alone, whoever sent them: no private address gets out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.batch import ANSWERING, NOW, QUOTED, emit
from natlb.core.crossing_errors import cross_error
from natlb.core.direct import pass_back, pass_on
from natlb.core.events import is_unanswered, tell
from natlb.core.flow_table import (
    NOTHING,
    REPLY,
    direction_of,
    half,
    hash_key,
    lookup,
    row_of,
)
from natlb.core.layout import (
    ACTION_XLAT,
    BACKEND_ADDRESS,
    DIRECT,
    FIRST_LIVE,
    PUBLIC,
    SHARED,
    SOURCE,
    UNREACHABLE,
    VIP,
)
from natlb.core.lifetime import has_expired
from natlb.core.state import TTL_OWN, Core
from natlb.core.tables import find_endpoint, kind_of_address
from natlb.core.translate import is_ttl_spent
from natlb.core.verdict import FORWARD, drop
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.fields import ICMP_CODE, ICMP_TYPE
from natlb.wire.octets import get_u8
from natlb.wire.quote import (
    exchange_ends,
    judge_error,
    parse_quote,
    quote_end,
    quote_start,
    readdress_error,
    rewrite_quote,
)
from natlb.wire.reasons import (
    ACCEPTED,
    ICMP_UNMATCHED,
    MARTIAN,
    MTU_EXCEEDED,
    TTL_EXPIRED,
    UNSUPPORTED,
)
from natlb.wire.rewrite import Lanes, decrease_ttl, destination_lanes, source_lanes

if TYPE_CHECKING:
    from natlb.wire.octets import Octets
    from natlb.wire.parsed import Parsed


@rare_kernel
def translate_error(core: Core, i: int, packet: Octets, hops: int) -> int:
    """Return the outcome of an ICMP error, translated and put out where it is of a live flow.

    A router's errors may come from any address, but not from a backend's on the public side.
    """
    batch = core.batch
    frame, parsed = batch.frames[i], batch.parsed[i]
    source = kind_of_address(core.tables, source_lanes(parsed))
    if source & SOURCE or (frame["way"] == PUBLIC and source & BACKEND_ADDRESS):
        return drop(MARTIAN)
    refusal = judge_error(packet, frame, parsed)
    if refusal == ACCEPTED:
        refusal = parse_quote(packet, parsed, batch.quotes[QUOTED])
    if refusal != ACCEPTED:
        return _leave(core, i, refusal)
    exchange_ends(batch.quotes[QUOTED], batch.quotes[ANSWERING])
    found = _find_flow(core, i)
    if found == NOTHING:
        return _leave_unmatched(core, i)
    if is_ttl_spent(parsed["ttl"], hops):
        return drop(TTL_EXPIRED)
    if direction_of(found) == REPLY and is_unanswered(i64(core.flows.rows[row_of(found)]["state"])):
        _tell_unreachable(core, i, packet, found)
    if i64(core.flows.rows[row_of(found)]["actions"]) & ACTION_XLAT:
        return cross_error(core, i, packet, found, hops)
    return _send_translated(core, i, packet, found, hops)


@rare_kernel
def _tell_unreachable(core: Core, i: int, packet: Octets, found: int) -> None:
    """Tell control what was said of an opening that nobody has answered: a hint, and no more."""
    l4 = i64(core.batch.parsed[i]["l4"])
    says = get_u8(packet, l4 + ICMP_TYPE) << 8 | get_u8(packet, l4 + ICMP_CODE)
    tell(core, row_of(found), UNREACHABLE, says, i64(core.batch.numbers[NOW]))


@kernel
def _leave(core: Core, i: int, refusal: int) -> int:
    """Drop an error that is none of a flow's, or give it to the host if it is to an address of it.

    Damage is nobody's.
    """
    is_anothers = refusal == UNSUPPORTED or refusal == ICMP_UNMATCHED
    destination = destination_lanes(core.batch.parsed[i])
    if is_anothers and kind_of_address(core.tables, destination) & SHARED:
        return pass_back(core, i)
    return drop(refusal)


@rare_kernel
def _find_flow(core: Core, i: int) -> int:
    """Return (direction, row) of the live flow that an error is about, or NOTHING.

    The direction is that of packets that answer the quoted one, and so the error's own.
    """
    batch, flows = core.batch, core.flows
    quote = batch.quotes[QUOTED]
    if destination_lanes(batch.parsed[i]) != source_lanes(quote):
        return NOTHING
    found = _look_up(core, batch.quotes[ANSWERING])
    if found == NOTHING or i64(flows.rows[row_of(found)]["state"]) < FIRST_LIVE:
        return NOTHING
    other = half(flows.rows[row_of(found)], 1 - direction_of(found))
    return found if batch.frames[i]["way"] == i64(other["way"]) else NOTHING


@rare_kernel
def _look_up(core: Core, key: Parsed) -> int:
    """Return what the table has for a quote's key, if its time has not run out, or NOTHING."""
    flows = core.flows
    protocol = i64(core.batch.quotes[QUOTED]["protocol"])
    found = lookup(flows, key, protocol, hash_key(flows, key, protocol))
    if found == NOTHING or has_expired(core, flows.rows[row_of(found)], core.batch.numbers[NOW]):
        return NOTHING
    return found


@rare_kernel
def _leave_unmatched(core: Core, i: int) -> int:
    """Return the outcome of an error that is of no flow: dropped, unless natlb is not concerned.

    Between a backend and somebody who calls it directly natlb changes nothing, so what is said
    about that goes on as it is. An error that names an end of a service is dropped.
    """
    batch, tables = core.batch, core.tables
    quote, answering = batch.quotes[QUOTED], batch.quotes[ANSWERING]
    destination = kind_of_address(tables, destination_lanes(batch.parsed[i]))
    if destination & (VIP | SOURCE):
        return _leave(core, i, ICMP_UNMATCHED)
    is_direct = _is_direct(core, quote) or _is_direct(core, answering)
    if not is_direct and (_is_service_end(core, quote) or _is_service_end(core, answering)):
        return drop(ICMP_UNMATCHED)
    return pass_on(core, i, i64(batch.numbers[NOW]))


@rare_kernel
def _is_direct(core: Core, key: Parsed) -> bool:
    """Return whether a key is that of a direct conversation with a backend."""
    found = _look_up(core, key)
    return found != NOTHING and i64(core.flows.rows[row_of(found)]["state"]) == DIRECT


@rare_kernel
def _is_service_end(core: Core, key: Parsed) -> bool:
    """Return whether a key's source is natlb's: a VIP, an address of full NAT, a backend's port.

    Of an address that is the host's too only the ports that services listen on are.
    """
    lanes = source_lanes(key)
    kind = kind_of_address(core.tables, lanes)
    if kind & SOURCE or (kind & VIP and not kind & SHARED):
        return True
    protocol = i64(core.batch.quotes[QUOTED]["protocol"])
    return find_endpoint(core.tables, lanes, i64(key["source_port"]), protocol) >= 0


@rare_kernel
def _send_translated(core: Core, i: int, packet: Octets, found: int, hops: int) -> int:
    """Translate an error of a flow within one IP version, and put it out.

    One that does not fit is not cut: it quotes little, and its sender may quote less.
    """
    batch = core.batch
    frame, parsed = batch.frames[i], batch.parsed[i]
    row = core.flows.rows[row_of(found)]
    direction = direction_of(found)
    this, other = half(row, direction), half(row, 1 - direction)
    way = i64(this["way"])
    if parsed["end"] > i64(core.tables.ways[way]["mtu"]):
        return drop(MTU_EXCEEDED)
    deltas = i64(this["address_delta"]), i64(this["transport_delta"])
    quoted = packet[quote_start(parsed) : quote_end(packet, parsed)]
    rewrite_quote(quoted, batch.quotes[QUOTED], other, deltas[0], deltas[1])
    readdress_error(packet, parsed, _sender(row, parsed, direction), source_lanes(other))
    if hops == TTL_OWN:
        decrease_ttl(packet, i64(parsed["version"]))
    frame["length"] = parsed["end"]
    emit(batch, frame, way)
    return FORWARD


@kernel
def _sender(row: Any, parsed: Parsed, direction: int) -> Lanes:
    """Return who a translated error is from.

    The VIP, to a client. To a backend whoever it was (RFC 5508 REQ-4), but with full NAT, where
    the backend may have no way to that one, natlb's own address.
    """
    if direction == REPLY:
        return destination_lanes(row["original"])
    own = destination_lanes(row["reply"])
    return source_lanes(parsed) if own == source_lanes(row["original"]) else own
