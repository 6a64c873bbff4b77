"""What time alone brings about, all of it at once: for the engine, whose caller moves the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.fragments import step_fragments
from natlb.core.lifetime import sweep_all
from natlb.core.relief import relieve
from natlb.jit import entry

if TYPE_CHECKING:
    from natlb.core.state import Core


@entry
def keep_house(core: Core, now: int) -> None:
    """End what has run out, however long it takes, held fragments too."""
    sweep_all(core, now)
    while relieve(core, now) > 0:
        pass
    step_fragments(core, now)
