"""What the flow table still holds of what is configured no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from natlb.control.compile import Retired
from natlb.control.compile.addresses import lanes_of
from natlb.control.desired import Held
from natlb.core.layout import FIRST_LIVE, FRESH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from natlb.control.config.values import Address
    from natlb.core.flow_table import FlowTable

ROWS_AT_ONCE = 1 << 16


def held_by_flows(tables: Sequence[FlowTable], retired: Retired) -> Held:
    """Return which numbers live flows hold, and which of the retired addresses they use.

    Looks at every row in use (0.1 s for a million); workers write on meanwhile, so only what
    cannot be taken up any more may be judged by it.
    """
    services: set[int] = set()
    backends: set[int] = set()
    vips: set[Address] = set()
    addresses: set[Address] = set()
    for table in tables:
        for start in range(1, int(table.meta[FRESH]), ROWS_AT_ONCE):
            rows = table.rows[start : min(start + ROWS_AT_ONCE, int(table.meta[FRESH]))]
            rows = rows[rows["state"] >= FIRST_LIVE]
            services.update(np.unique(rows["service"]).tolist())
            backends.update(np.unique(rows["backend"]).tolist())
            vips |= {vip for vip in retired.vips if _is_used(rows, "original", "destination", vip)}
            addresses |= {
                backend
                for backend in retired.backends
                if _is_used(rows, "reply", "source", backend)
            }
    return Held(
        services=frozenset(services),
        backends=frozenset(backends),
        retired=Retired(vips=frozenset(vips), backends=frozenset(addresses)),
    )


def _is_used(rows: NDArray[Any], half: str, end: str, address: Address) -> bool:
    """Return whether any of these rows has the address at this place."""
    same = np.ones(rows.size, np.bool_)
    for lane, word in enumerate(lanes_of(address)):
        same &= rows[half][f"{end}{lane}"] == word
    return bool(same.any())
