"""A pool of one service, as a policy sees it."""

from __future__ import annotations

import numpy as np

from natlb.core.layout import BACKEND, COUNT, POLICY_WORDS, SERVICE
from natlb.core.memory import Kind, make
from natlb.core.policy import Pool


def pool_of(ring: list[int], policy: int = 0) -> Pool:
    """Return a pool whose service 0 has this ring; nothing has been picked yet."""
    counters = make(Kind.COUNTERS)
    services = np.zeros(1, SERVICE)
    services[0]["policy"] = policy
    services[0]["ring_start"], services[0]["ring_size"] = 2, len(ring)
    rings = np.array([-5, -5, *ring, -5], np.int32)  # others' rings lie around it
    backends = np.zeros(8, BACKEND)
    for array in (services, rings, backends):
        array.flags.writeable = False
    assert counters.backends.dtype == COUNT
    assert counters.policy.size % POLICY_WORDS == 0
    return Pool(services, rings, backends, counters.backends, counters.policy)
