"""Two keyed hashes, never confused.

`index_hash` places a key in the flow table; its secret is this boot's, so that nobody can craft
tuples that collide. `spread_hash` decides which backend a client gets; it is keyed by the
configured seed, so that every node agrees, also after a reboot.

Both are HalfSipHash-1-3 (Aumasson and Bernstein, 2012; Linux: lib/siphash.c, hsiphash for hash
tables): 32-bit lanes, so that compiled and interpreted integers agree.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from natlb.jit import i64, kernel
from natlb.wire.fields import MAPPED_LANE
from natlb.wire.rewrite import destination_lanes, source_lanes

State: TypeAlias = tuple[int, int, int, int]

WORD = 0xFFFFFFFF
V2 = 0x6C796765
V3 = 0x74656462
NO_PORT = -1


@kernel
def _rotate(value: int, bits: int) -> int:
    """Return a 32-bit word rotated left."""
    return (value << bits | value >> (32 - bits)) & WORD


@kernel
def _round(state: State) -> State:
    """Return the state after one SipRound on 32-bit lanes."""
    v0, v1, v2, v3 = state
    v0 = (v0 + v1) & WORD
    v1 = _rotate(v1, 5) ^ v0
    v0 = _rotate(v0, 16)
    v2 = (v2 + v3) & WORD
    v3 = _rotate(v3, 8) ^ v2
    v0 = (v0 + v3) & WORD
    v3 = _rotate(v3, 7) ^ v0
    v2 = (v2 + v1) & WORD
    v1 = _rotate(v1, 13) ^ v2
    v2 = _rotate(v2, 16)
    return v0, v1, v2, v3


@kernel
def _absorb(state: State, word: int) -> State:
    """Return the state after one 32-bit word of the message."""
    v0, v1, v2, v3 = _round((state[0], state[1], state[2], state[3] ^ word))
    return v0 ^ word, v1, v2, v3


@kernel
def _begin(key0: int, key1: int) -> State:
    """Return the first state for a 64-bit key."""
    return key0, key1, V2 ^ key0, V3 ^ key1


@kernel
def _finish(state: State, octets: int) -> int:
    """Return the 32-bit hash of a message of `octets`."""
    v0, v1, v2, v3 = _absorb(state, (octets & 0xFF) << 24)
    state = _round(_round(_round((v0, v1, v2 ^ 0xFF, v3))))
    return state[1] ^ state[3]


@kernel
def index_hash(key0: int, key1: int, key: Any, protocol: int) -> int:
    """Return the 32-bit hash of a flow key: a packet's `Parsed`, or a row's half."""
    ports = i64(key["source_port"]) << 16 | i64(key["destination_port"])
    return index_hash_of(key0, key1, source_lanes(key), destination_lanes(key), ports, protocol)


@kernel
def index_hash_of(
    key0: int, key1: int, source: State, destination: State, ports: int, protocol: int
) -> int:
    """Return the 32-bit hash of a flow key in parts; `ports` has the source's above.

    An IPv4 key's constant lanes are left out, which makes it half as dear.
    """
    state = _begin(key0, key1)
    if source[0] | source[1] != 0 or source[2] != MAPPED_LANE:
        state = _absorb(state, source[0])
        state = _absorb(state, source[1])
        state = _absorb(state, source[2])
        state = _absorb(state, destination[0])
        state = _absorb(state, destination[1])
        state = _absorb(state, destination[2])
    state = _absorb(state, source[3])
    state = _absorb(state, destination[3])
    return _finish(_absorb(state, ports), protocol)


@kernel
def datagram_hash(key0: int, key1: int, key: Any, identification: int, context: int) -> int:
    """Return the 32-bit hash of what all pieces of a datagram have in common.

    `key` has its addresses, `context` is an octet more that tells datagrams apart.
    """
    state = _begin(key0, key1)
    state = _absorb(state, i64(key["source0"]))
    state = _absorb(state, i64(key["source1"]))
    state = _absorb(state, i64(key["source2"]))
    state = _absorb(state, i64(key["source3"]))
    state = _absorb(state, i64(key["destination0"]))
    state = _absorb(state, i64(key["destination1"]))
    state = _absorb(state, i64(key["destination2"]))
    state = _absorb(state, i64(key["destination3"]))
    state = _absorb(state, identification)
    return _finish(state, context)


@kernel
def spread_hash(key0: int, key1: int, lanes: State, port: int) -> int:
    """Return the 32-bit hash of an address, and a port if any: the same on every node of a seed."""
    state = _begin(key0, key1)
    for lane in lanes:
        state = _absorb(state, lane)
    if port == NO_PORT:
        return _finish(state, 16)
    return _finish(_absorb(state, port), 18)


@kernel
def draw_hash(key0: int, key1: int, lanes: State, first: int, second: int) -> int:
    """Return 32 bits drawn by a secret for an address and two words.

    Who sees some of them, but not the secret, cannot tell others (RFC 6056 section 3.3.3). The
    length keeps it apart from an index hash under the same secret, which ends in a protocol.
    """
    state = _begin(key0, key1)
    for lane in lanes:
        state = _absorb(state, lane)
    state = _absorb(state, first & WORD)
    return _finish(_absorb(state, second & WORD), 24)


@kernel
def second_hash(first: int) -> int:
    """Return another 32-bit hash made from the first alone: two rounds of xor-shift and multiply.

    The multiplier is below 2^31, so that no product passes 63 bits.
    """
    h = ((first ^ first >> 16) * 0x45D9F3B) & WORD
    h = ((h ^ h >> 16) * 0x45D9F3B) & WORD
    return h ^ h >> 16
