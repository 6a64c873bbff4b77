"""What a policy would answer to many clients, were each the next one to call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.choice import choose
from natlb.jit import entry
from natlb.simulation.kernels.world import OPENING_PACKET

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from natlb.core.choice import Pick
    from natlb.core.state import Core


@entry
def ask_for_all(
    core: Core,
    service: int,
    clients: NDArray[np.int64],
    ports: NDArray[np.int64],
    draws: NDArray[np.int64],
    answers: NDArray[np.int64],
    pick: Pick,
) -> None:
    """Write to `answers` the backend that each client would be given, without a flow made.

    What policies keep for themselves changes all the same: the caller puts it back.
    """
    parsed = core.batch.parsed[OPENING_PACKET]
    for i in range(clients.size):
        parsed["source3"] = clients[i]
        parsed["source_port"] = ports[i]
        answers[i] = choose(core, OPENING_PACKET, service, draws[i], pick)
