"""A packet that comes as octets alone: what a driver would have said of it is told from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.layout import BACKEND_ADDRESS, HEADROOM, PRIVATE, PUBLIC
from natlb.core.tables import kind_of_address
from natlb.jit import entry, i64, kernel
from natlb.wire.checksum import checksum_offset
from natlb.wire.fields import TCP, UDP
from natlb.wire.frame import GSO_TCP4, GSO_TCP6, GSO_UDP_L4, set_plain
from natlb.wire.parse import parse
from natlb.wire.reasons import ACCEPTED
from natlb.wire.rewrite import source_lanes

if TYPE_CHECKING:
    from natlb.core.state import Core
    from natlb.wire.frame import Frame
    from natlb.wire.parsed import Parsed

BY_ADDRESS = -1  # the side is private iff the source is a backend's address


@entry
def take_in(
    core: Core, i: int, length: int, side: int, unfinished_checksum: int, segment_size: int
) -> None:
    """Make frame `i` of the batch of the octets that lie at HEADROOM in slot `i`.

    `side` is PUBLIC, PRIVATE or BY_ADDRESS. The offload form is the one the kernel would give.
    """
    batch = core.batch
    frame, parsed = batch.frames[i], batch.parsed[i]
    frame["slot"] = i
    frame["start"] = HEADROOM
    frame["length"] = length
    set_plain(frame)
    parse(batch.slots[i, HEADROOM : HEADROOM + length], frame, parsed)
    frame["way"] = _side_of(core, parsed) if side == BY_ADDRESS else side
    frame["needs_checksum"] = unfinished_checksum
    frame["gso_size"] = segment_size
    if unfinished_checksum or segment_size:
        _place_checksum(frame, parsed)


@kernel
def _side_of(core: Core, parsed: Parsed) -> int:
    """Return the side that a packet's source belongs to; what is refused anyway is the public's."""
    if parsed["refusal"] != ACCEPTED:
        return PUBLIC
    kind = kind_of_address(core.tables, source_lanes(parsed))
    return PRIVATE if kind & BACKEND_ADDRESS else PUBLIC


@kernel
def _place_checksum(frame: Frame, parsed: Parsed) -> None:
    """Say where the unfinished checksum of TCP or UDP lies, and how it is to be cut."""
    protocol = i64(parsed["protocol"])
    if parsed["refusal"] != ACCEPTED or (protocol != TCP and protocol != UDP):
        return
    frame["checksum_start"] = parsed["l4"]
    frame["checksum_offset"] = checksum_offset(protocol)
    if frame["gso_size"] == 0:
        return
    if protocol == UDP:
        frame["gso_type"] = GSO_UDP_L4
    else:
        frame["gso_type"] = GSO_TCP4 if parsed["version"] == 4 else GSO_TCP6
