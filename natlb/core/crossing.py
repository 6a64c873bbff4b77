"""A flow between IPv6 and IPv4: each packet gets a header of the other version (RFC 7915)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.verdict import drop
from natlb.jit import rare_kernel
from natlb.wire.reasons import UNSUPPORTED

if TYPE_CHECKING:
    from natlb.core.state import Core
    from natlb.wire.octets import Octets


@rare_kernel
def cross(core: Core, i: int, packet: Octets, found: int, now: int, hops: int) -> int:
    """Return the outcome of a packet of a flow whose ends speak different versions."""
    return drop(UNSUPPORTED)
