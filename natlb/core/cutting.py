"""A packet that is too large for its way out and may be fragmented: cut into pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.batch import emit
from natlb.core.verdict import FORWARD
from natlb.jit import i64, rare_kernel

if TYPE_CHECKING:
    from natlb.core.state import Core


@rare_kernel
def send_in_pieces(core: Core, i: int, way: int) -> int:
    """Put a rewritten IPv4 packet out by `way`, as fragments of its MTU; return the outcome.

    A super-packet is left whole: whoever cuts it into segments fragments those.
    """
    emit(core.batch, core.batch.frames[i], i64(way))
    return FORWARD
