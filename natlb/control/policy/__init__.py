"""The compiling half of each policy: from a pool to a ring that `pick()` reads.

One file for each `compile()`, one line in this registry; `core/policy/` holds the picking half of
the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.member import Member
from natlb.control.policy.round_robin import compile_round_robin
from natlb.control.policy.source_hash import compile_source_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

COMPILERS: dict[str, Callable[[list[Member], int], NDArray[np.int32]]] = {
    "round-robin": compile_round_robin,
    "source-hash": compile_source_hash,
}

__all__ = ["COMPILERS", "Member"]
