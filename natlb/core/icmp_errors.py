"""ICMP errors about a flow's packets, translated outside and in the quote (RFC 5508)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.verdict import drop
from natlb.jit import rare_kernel
from natlb.wire.reasons import UNSUPPORTED

if TYPE_CHECKING:
    from natlb.core.state import Core
    from natlb.wire.octets import Octets


@rare_kernel
def translate_error(core: Core, i: int, packet: Octets, hops: int) -> int:
    """Return the outcome of an ICMP error, translated and put out where it is of a live flow."""
    return drop(UNSUPPORTED)
