"""ICMP errors about a flow between IPv6 and IPv4, and what they quote (RFC 7915 sections 4, 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.verdict import drop
from natlb.jit import rare_kernel
from natlb.wire.reasons import UNSUPPORTED

if TYPE_CHECKING:
    from natlb.core.state import Core
    from natlb.wire.octets import Octets


@rare_kernel
def cross_error(core: Core, i: int, packet: Octets, found: int, hops: int) -> int:
    """Return the outcome of an error of a flow whose ends speak different versions.

    `core.batch.quotes[QUOTED]` is what `parse_quote()` learnt of the quote.
    """
    return drop(UNSUPPORTED)
