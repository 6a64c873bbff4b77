"""What a policy of your own is given: `def pick(pool: Pool, flow: Flow) -> int`.

Import these two for type hints, and to try a policy with values of your own in plain Python.
`docs/policies-of-your-own.md` says how such a policy is written, checked and loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence


class Pool(NamedTuple):
    """The service's backends that take new flows, by position, in the order of the configuration.

    A policy answers with a position. Positions change with the pool; `identities` do not.
    """

    weights: Sequence[float]  # as configured, less in slow start; 0.0: there is no room
    flows: Sequence[int]  # opening and established, of all workers
    opening: Sequence[int]  # of these, not yet established
    handshakes: Sequence[float]  # seconds from SYN to SYN-ACK, peak EWMA; 0.0: none seen yet
    identities: Sequence[int]  # a number for each backend, the same after any reload; never 0
    state: MutableSequence[float]  # 1,024 numbers of the policy's own, 0.0 at first, kept


class Flow(NamedTuple):
    """The flow that wants a backend."""

    hash: int  # of the client's address, 32 bits: the same on every node of a `seed`
    port_hash: int  # of the client's address and port
    client: tuple[int, int, int, int]  # its address, 32 bits each; IPv4 is (0, 0, 0xffff, address)
    port: int  # the client's
    now: float  # seconds, from some moment on
    random: float  # 0.0 <= random < 1.0, another one for each flow
