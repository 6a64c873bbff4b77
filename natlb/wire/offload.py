"""The offload form beside a packet: whether it fits, and how many packets on the wire this is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import i64, kernel
from natlb.wire.checksum import checksum_offset
from natlb.wire.fields import TCP, UDP
from natlb.wire.frame import GSO_ECN, GSO_NONE, GSO_TCP4, GSO_TCP6, GSO_UDP_L4
from natlb.wire.reasons import ACCEPTED, MALFORMED

if TYPE_CHECKING:
    from natlb.wire.frame import Frame
    from natlb.wire.parsed import Parsed


@kernel
def judge_offload(frame: Frame, parsed: Parsed) -> int:
    """Return whether the offload form fits the packet, and count a super-packet's segments."""
    carries_ports = parsed["protocol"] == TCP or parsed["protocol"] == UDP
    if frame["needs_checksum"] and not (
        carries_ports
        and frame["checksum_start"] == parsed["l4"]
        and frame["checksum_offset"] == checksum_offset(parsed["protocol"])
    ):
        return _judge_foreign_checksum(frame, parsed)
    if frame["gso_type"] == GSO_NONE:
        return ACCEPTED
    if not frame["needs_checksum"] or frame["gso_size"] == 0 or not _fits_gso(frame, parsed):
        return MALFORMED
    data = parsed["end"] - parsed["payload"]
    segments = max(1, (data + frame["gso_size"] - 1) // frame["gso_size"])
    parsed["segments"] = segments
    parsed["wire_bytes"] = parsed["end"] + (segments - 1) * parsed["payload"]
    return ACCEPTED


@kernel
def _judge_foreign_checksum(frame: Frame, parsed: Parsed) -> int:
    """Let an unfinished checksum through if natlb does not rewrite its protocol (SCTP, ICMPv6)."""
    of_ports = parsed["protocol"] == TCP or parsed["protocol"] == UDP
    field = frame["checksum_start"] + frame["checksum_offset"]
    inside = frame["checksum_start"] >= parsed["l4"] and field + 2 <= parsed["end"]
    if of_ports or frame["gso_type"] != GSO_NONE or not inside:
        return MALFORMED
    return ACCEPTED


@kernel
def _fits_gso(frame: Frame, parsed: Parsed) -> bool:
    """Return whether the kind of segmentation is that of the packet's protocol and version."""
    kind = i64(frame["gso_type"]) & ~GSO_ECN
    if parsed["protocol"] == UDP:
        return kind == GSO_UDP_L4
    return kind == (GSO_TCP4 if parsed["version"] == 4 else GSO_TCP6)


@kernel
def largest_segment(frame: Frame, parsed: Parsed) -> int:
    """Return the largest packet that will be on the wire: of a super-packet, a full segment."""
    if frame["gso_type"] == GSO_NONE:
        return i64(parsed["end"])
    return min(i64(parsed["end"]), i64(parsed["payload"] + frame["gso_size"]))
