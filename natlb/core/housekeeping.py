"""What time alone brings about: in steps between batches, or all at once for an engine.

Packets wait while a step is done, so its work is bounded by what is done, not by what is due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.fragments import step_fragments
from natlb.core.lifetime import MOST_ENDED, piece_rows, sweep_all, sweep_piece
from natlb.core.relief import relieve
from natlb.jit import entry, kernel

if TYPE_CHECKING:
    from natlb.core.state import Core


MOST_LOOKED_AT = 16384  # rows in a step, of which one that is ended counts as many
ROWS_OF_ENDED = 64


@kernel
def keep_pace(core: Core, now: int, pieces: int) -> int:
    """Sweep pieces of the table that are due, and return how many are left for the next step.

    Half a millisecond or so, whatever has run out together. A piece that was cut short is due
    still: the sweep goes on from there.
    """
    budget = MOST_LOOKED_AT
    while pieces > 0 and budget > 0:
        ended = sweep_piece(core, now)
        budget -= piece_rows(core.flows) + ROWS_OF_ENDED * ended
        if ended < MOST_ENDED:
            pieces -= 1
    relieve(core, now)
    return pieces


@entry
def keep_house(core: Core, now: int) -> None:
    """End what has run out, however long it takes, held fragments too."""
    sweep_all(core, now)
    while relieve(core, now) > 0:
        pass
    step_fragments(core, now)
