"""IPv4 identifications that natlb gives: one sequence, from 1 to 65,535 and again.

What shares one of natlb's own addresses must not share identifications as well, where packets may
be fragmented (RFC 6864 section 5.1, RFC 7857 section 11); with "don't fragment" set they mean
nothing. A sequence comes back as late as 16 bits allow; it is never 0, which some take for "none"
and give another one (Linux: a raw socket's header).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.layout import IDENTIFICATION
from natlb.jit import i64, kernel

if TYPE_CHECKING:
    from natlb.core.state import Core

LAST = 0xFFFF


@kernel
def next_identification(core: Core) -> int:
    """Return an identification for a packet."""
    return take_identifications(core, 1)


@kernel
def take_identifications(core: Core, count: int) -> int:
    """Return the first of `count` in a row: whoever cuts a super-packet counts up from it."""
    first = i64(core.flows.meta[IDENTIFICATION]) % LAST + 1
    core.flows.meta[IDENTIFICATION] = (first + count - 2) % LAST + 1
    return first
