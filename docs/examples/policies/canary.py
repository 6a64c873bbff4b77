"""One client in twenty gets the last backend of the pool: the new version, on trial.

The client's hash decides, so a client sees one version, today and tomorrow, on every node with
the same `seed`; all others share the other backends by weight, by the same hash.
"""

from natlb.policy import Flow, Pool

SHARE = 0.05
HASHES = 4294967296.0  # so many there are


def pick(pool: Pool, flow: Flow) -> int:
    """Return the last position for SHARE of the clients, another by weight for the rest."""
    n = len(pool.weights)
    lot = flow.hash / HASHES
    if n == 1 or (lot < SHARE and pool.weights[n - 1] > 0.0):
        return n - 1
    total = pool.weights.sum() - pool.weights[n - 1]
    left = (lot - SHARE) / (1.0 - SHARE) * total
    for at in range(n - 1):
        left -= pool.weights[at]
        if left < 0.0 and pool.weights[at] > 0.0:
            return at
    return n - 1
