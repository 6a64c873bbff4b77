"""Round robin: the ring is the pool itself, in the order of the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natlb.control.policy.member import Member


def compile_round_robin(members: list[Member], seed: int) -> NDArray[np.int32]:  # noqa: ARG001
    """Return each member once: round robin knows no weight but "nothing"."""
    return np.array([member.index for member in members], np.int32)
