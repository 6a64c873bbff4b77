"""What a policy sees: its ring, weights and load of every backend, and a few words of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_BACKEND_INDEX = -1

Service: TypeAlias = Any  # one record of SERVICE


class Pool(NamedTuple):
    """Arrays shared by all services; a service's ring is `rings[ring_start:][:ring_size]`.

    A ring names only backends that take new flows: health, state and weight are compiled in.
    """

    services: NDArray[np.void]  # SERVICE
    rings: NDArray[np.int32]  # backend indexes
    backends: NDArray[np.void]  # BACKEND
    load: NDArray[np.void]  # COUNT, by backend
    own: NDArray[np.int64]  # POLICY_WORDS for each service, kept from pick to pick
