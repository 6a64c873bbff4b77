"""The backend that answers fastest, and not the same one for everybody.

The cost of a backend is its handshake time, times the flows that it has and this one, by weight.
One that was never seen to answer is tried until it has PATIENCE flows under way. Of two that cost
nearly the same, chance decides: else all would run to one of them, until it is the slow one.
"""

from natlb.policy import Flow, Pool

PATIENCE = 3
NEARLY = 1.1


def cost(pool: Pool, at: int) -> float:
    """Return what a flow more costs at this position; less is better."""
    seconds = pool.handshakes[at]
    if seconds == 0.0 and pool.opening[at] >= PATIENCE:
        seconds = 10.0  # asked, and silent so far
    return seconds * (pool.flows[at] + 1) / pool.weights[at]


def pick(pool: Pool, flow: Flow) -> int:
    """Return the position of a backend that costs least, or nearly."""
    best = -1
    n = len(pool.weights)
    start = int(flow.random * n)
    for step in range(n):
        at = (start + step) % n
        if pool.weights[at] > 0.0 and (best < 0 or cost(pool, at) * NEARLY < cost(pool, best)):
            best = at
    return best
