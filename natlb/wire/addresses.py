"""Addresses that no packet on a wire may carry: martians (RFC 1812 section 5.3.7, RFC 6890)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.jit import kernel
from natlb.wire.fields import MAPPED_LANE
from natlb.wire.reasons import ACCEPTED, MARTIAN

if TYPE_CHECKING:
    from natlb.wire.parsed import Parsed


@kernel
def judge_addresses(parsed: Parsed) -> int:
    """Return MARTIAN where source or destination is none a packet may carry, or both are one."""
    if parsed["version"] == 4:
        return _judge_addresses4(parsed["source3"], parsed["destination3"])
    return _judge_addresses6(parsed)


@kernel
def _judge_addresses4(source: int, destination: int) -> int:
    """Judge IPv4 addresses; `source == destination` is the LAND attack."""
    if _is_martian4(source) or _is_martian4(destination) or source == destination:
        return MARTIAN
    return ACCEPTED


@kernel
def _is_martian4(address: int) -> bool:
    """Return whether an address is of 0/8, 127/8, or multicast, reserved and broadcast (224/3)."""
    first = address >> 24
    return first == 0 or first == 127 or first >= 224


@kernel
def _judge_addresses6(parsed: Parsed) -> int:
    """Judge IPv6 addresses; a v4-mapped one would be taken for an IPv4 key further in."""
    if (
        _is_martian6(parsed["source0"], parsed["source1"], parsed["source2"], parsed["source3"])
        or _is_martian6(
            parsed["destination0"],
            parsed["destination1"],
            parsed["destination2"],
            parsed["destination3"],
        )
        or (
            parsed["source0"] == parsed["destination0"]
            and parsed["source1"] == parsed["destination1"]
            and parsed["source2"] == parsed["destination2"]
            and parsed["source3"] == parsed["destination3"]
        )
    ):
        return MARTIAN
    return ACCEPTED


@kernel
def _is_martian6(lane0: int, lane1: int, lane2: int, lane3: int) -> bool:
    """Return whether an address is of ff00::/8, fe80::/10, ::, ::1 or ::ffff:0:0/96."""
    if lane0 >> 24 == 0xFF or lane0 >> 22 == 0xFE80 >> 6:
        return True
    if lane0 != 0 or lane1 != 0:
        return False
    return lane2 == MAPPED_LANE or (lane2 == 0 and lane3 <= 1)
