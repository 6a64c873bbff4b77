"""By the host: what natlb does not send by itself, the host's own routing does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.io.queues import DRIVER, TUN_DRIVER
from natlb.io.raw import write_to_host
from natlb.io.tun import write_to_tun
from natlb.jit import rare_kernel

if TYPE_CHECKING:
    from natlb.core.batch import Batch
    from natlb.io.queues import Queues


@rare_kernel
def send_by_host(queues: Queues, batch: Batch, at: int) -> bool:
    """Have the host route an output frame; return whether it took it."""
    if queues.numbers[DRIVER] == TUN_DRIVER:
        return write_to_tun(queues, batch, at)
    return write_to_host(queues, batch, at)
