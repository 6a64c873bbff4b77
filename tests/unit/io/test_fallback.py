"""By the host: through the TUN device of its side; test_direct.py says when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.batch import emit, make_batch
from natlb.core.layout import PRIVATE, PUBLIC
from natlb.io.fallback import send_by_host
from natlb.io.loop import no_hops
from natlb.io.path import read_batch
from natlb.io.queues import make_queues
from tests.kernels import needs_plain_kernels

if TYPE_CHECKING:
    from tests.unit.io.queues import FakeQueue

needs_plain_kernels()


def test_a_tun_device_takes_what_the_host_is_to_route(
    public: FakeQueue, private: FakeQueue
) -> None:
    """With its form; and where the device is gone, the caller is told."""
    queues = make_queues([public.port(PUBLIC), private.port(PRIVATE)])
    batch = make_batch(4)
    public.arrive(b"a packet", (1, 0, 0, 0, 20, 16))
    read_batch(queues, batch, no_hops())
    emit(batch, batch.frames[0], PRIVATE)
    assert send_by_host(queues, batch, 0)
    assert private.left() == [((1, 0, 0, 0, 20, 16), b"a packet")]
    private.vanish()
    assert not send_by_host(queues, batch, 0)
