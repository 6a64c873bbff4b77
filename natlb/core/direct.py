"""Conversations with a backend that natlb does not translate, remembered so that none is mixed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.batch import emit
from natlb.core.layout import PRIVATE, PUBLIC
from natlb.core.verdict import PASS, drop
from natlb.jit import kernel, rare_kernel
from natlb.wire.reasons import MARTIAN

if TYPE_CHECKING:
    from natlb.core.state import Core
    from natlb.wire.octets import Octets


@rare_kernel
def stray(core: Core, i: int, row: Any, now: int) -> int:
    """Return the outcome of a packet that came in by another side than its flow's packets do.

    A direct conversation's row has no such side, so its packets all come here.
    """
    return drop(MARTIAN)


@kernel
def pass_on(core: Core, i: int, packet: Octets, now: int) -> int:
    """Send a packet of no service on by the other side, untouched."""
    frame = core.batch.frames[i]
    emit(core.batch, frame, PRIVATE if frame["way"] == PUBLIC else PUBLIC)
    return PASS
