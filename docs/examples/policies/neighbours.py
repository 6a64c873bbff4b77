"""Clients of one /24 (IPv6: /64) stay together: where the first of them went, the others follow.

`pool.state` is a table of 340 networks: what the network is, in two numbers, since one of them
holds 53 bits, and which backend it was given, by its identity, since positions change with the
pool. A network that falls on another's line takes it over; so does one whose backend has gone or
is full.
"""

from natlb.policy import Flow, Pool

LINES = 340


def network(flow: Flow) -> tuple[int, int]:
    """Return two numbers that only this network has; they are never both 0."""
    if flow.client[0] == 0 and flow.client[1] == 0 and flow.client[2] == 0xFFFF:
        return 0, (flow.client[3] >> 8) + 1
    return flow.client[0] + 1, flow.client[1]


def position_of(pool: Pool, identity: float) -> int:
    """Return where the backend of this identity is now, -1 where it is not, or has no room."""
    for at in range(len(pool.identities)):
        if pool.identities[at] == identity and pool.weights[at] > 0.0:
            return at
    return -1


def least_loaded(pool: Pool) -> int:
    """Return the position of the backend with the fewest flows for its weight."""
    best = -1
    for at in range(len(pool.weights)):
        if pool.weights[at] > 0.0 and (
            best < 0 or pool.flows[at] * pool.weights[best] < pool.flows[best] * pool.weights[at]
        ):
            best = at
    return best


def pick(pool: Pool, flow: Flow) -> int:
    """Return where the client's network goes."""
    upper, lower = network(flow)
    line = 3 * ((upper * 7919 + lower) * 40503 % LINES)
    if pool.state[line] == upper and pool.state[line + 1] == lower:
        known = position_of(pool, pool.state[line + 2])
        if known >= 0:
            return known
    found = least_loaded(pool)
    if found >= 0:
        pool.state[line] = upper
        pool.state[line + 1] = lower
        pool.state[line + 2] = pool.identities[found]
    return found
