"""The memory of the data plane, field by field: what a worker writes and what it is given to read.

Everything here lies in memfds that outlive the processes (`memory.py`), so a change of any record
is a change of LAYOUT_VERSION. Integers are in the machine's order; addresses are four 32-bit
lanes, IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2).
"""

from __future__ import annotations

import numpy as np

from natlb.wire.fields import TCP, UDP

LAYOUT_VERSION = 5

KEY_FIELDS = [
    *((f"source{lane}", np.uint32) for lane in range(4)),
    *((f"destination{lane}", np.uint32) for lane in range(4)),
    ("source_port", np.uint16),
    ("destination_port", np.uint16),
]

# One direction of a flow: the key its packets arrive with, and what is counted and kept of them.
HALF = np.dtype(
    [
        *KEY_FIELDS,
        ("address_delta", np.uint16),  # what NAT changes in a sum over addresses
        ("transport_delta", np.uint16),  # and in one over addresses and ports
        ("bytes", np.int64),  # on the wire, from the IP header on
        ("packets", np.int64),  # on the wire: a super-packet counts as its segments
        ("sequence_end", np.uint32),  # TCP: the highest sequence number sent, plus one. UDP, of
        # `reply`: the packets that had come back when the client was given this backend again
        ("acknowledged", np.uint32),  # TCP: the highest of them the other side acknowledged
        ("window_most", np.uint32),  # TCP: the largest window offered, scaled
        ("sequence_delta", np.uint32),  # reserved: added to sequence numbers
        ("timestamp_delta", np.uint32),  # reserved: added to timestamps. Of `reply`, until the
        # backend has answered: when the flow was opened, in microseconds modulo 2^32
        ("window_scale", np.uint8),  # TCP: what its windows are shifted by
        ("way", np.uint8),  # where packets of this direction leave
    ],
    align=True,
)

# A flow. `state` decides what the rest means; the order of stores is the law of flow_table.py.
ROW = np.dtype(
    [
        ("state", np.uint8),
        ("flags", np.uint8),  # BOUND, ...
        ("actions", np.uint8),  # what may be changed in its packets: ACTION_*
        ("protocol", np.uint8),
        ("service", np.uint16),
        ("marks", np.uint16),  # what was seen: MARK_*
        ("backend", np.uint32),
        ("generation", np.uint32),  # of this row: how often it was given out
        ("created", np.uint32),  # in 32 ms since the table's epoch: wraps after four years
        ("seen", np.uint32),  # in ms since the epoch, modulo 2^32: differences only
        ("link", np.uint32),  # next free row; of an unconfirmed flow: the next younger one
        ("back", np.uint32),  # of an unconfirmed flow: the next older one
        ("original", HALF),
        ("reply", HALF),
    ],
    align=True,
)

ROW_BYTES = 192  # three cache lines
INDEX_SLOTS_PER_FLOW = 3.75  # of 4 octets; two are used when the table is full
BUCKET = 8  # index entries that are looked at together: half a cache line
MOST_FLOWS = (1 << 24) - 1  # an index entry has 24 bits for a row's number; row 0 is "none"

ACTION_NAT = 1
ACTION_XLAT = 2
ACTION_MSS = 4
ACTION_IPID = 8
ACTION_SEQUENCE = 16

FLAG_BOUND = 1
FLAG_OFFLOADED = 2
FLAG_SYNCED = 4

MARK_DOUBTED = 1  # a reset in the window but not exact was seen: the short timer runs
MARK_DATAGRAMS = 2  # UDP: the backend is chosen anew after some answers
MARK_UNCONFIRMED = 4  # in the list of flows that may be evicted
MARK_STRAYED = 8  # TCP: the client sends what is out of reach; shifted by 1, the backend does
MARK_COUNTED = 32  # counted for its client address
MARK_ENDED = 256  # of a direct conversation: the backend has sent a FIN or RST
MARK_TOLD = 512  # that nobody answers was told once
MARK_ADOPTED = 1024  # TCP that was met in its middle: the backend has said nothing yet
CREATED_SHIFT = 5  # `created` counts 32 ms

# States of a row. MAKING and ENDING exist only between two stores: recovery ends such rows.
# DIRECT and DETACHED have one key in the index: no flow's, and the reply key alone.
FREE = 0
MAKING = 1
ENDING = 2
DIRECT = 3  # a conversation with a backend that natlb does not translate: original key only
DETACHED = 4  # UDP whose client was given another backend: late answers still pass
OPENING = 5
ANSWERED = 6
ESTABLISHED = 7
HALF_ORIGINAL = 8  # the original direction has sent its FIN
HALF_REPLY = 9
CLOSING = 10
UNREPLIED = 11
REPLIED = 12
STATES = 16
FIRST_FOUND = DIRECT  # what a look-up may find
FIRST_LIVE = DETACHED  # what is a flow
STATE_LABELS = {
    DETACHED: "replied",
    OPENING: "opening",
    ANSWERED: "opening",
    ESTABLISHED: "established",
    HALF_ORIGINAL: "established",
    HALF_REPLY: "established",
    CLOSING: "closing",
    UNREPLIED: "unreplied",
    REPLIED: "replied",
}

PROTOCOLS = {"tcp": TCP, "udp": UDP}

# The flow table's own numbers, one int64 each
META = (
    "rows",  # that the table has; numbered from 1
    "buckets",
    "free",  # first of the free list; 0: none
    "fresh",  # rows from here on were never used
    "current",
    "peak",
    "opened",
    "closed",
    "expired",
    "evicted",
    "sweep",  # where expiry goes on
    "key0",  # the secret of the index hash
    "key1",
    "epoch_ns",  # CLOCK_BOOTTIME at the table's making
    "tick_ms",  # when expiry last ran
    "draws",  # state of the random sequence
    "oldest",  # of the unconfirmed flows; 0: none
    "youngest",
    "unconfirmed",  # how many there are
    "error_debt",  # errors and resets sent ahead of their rate, in thousandths
    "error_ms",  # when that was worked out
    "identification",  # the last IPv4 identification that natlb gave
    "direct",  # rows in state DIRECT
    "worker",  # whose table it is
    "workers",  # of so many, who share nothing; 0 as 1
    *(f"reserved{number}" for number in range(7)),
)
ROWS, BUCKETS, FREE_HEAD, FRESH, CURRENT, PEAK, OPENED, CLOSED = range(8)
EXPIRED, EVICTED, SWEEP, KEY0, KEY1, EPOCH, TICK, DRAWS = range(8, 16)
OLDEST, YOUNGEST, UNCONFIRMED, ERROR_DEBT, ERROR_MS, IDENTIFICATION = range(16, 22)
DIRECT_ROWS, WORKER, WORKERS = 22, 23, 24

MOST_SERVICES = 4096
MOST_BACKENDS = 65536
POLICY_WORDS = 8  # of private state for each choice: the policy's own, and these:
WORD_COMPARED, WORD_DIFFERED, WORD_FALLBACKS = 5, 6, 7
MOST_PROGRAMS = 64  # policies of the user's own at once
PROGRAM_STATE = 1024  # numbers of private state that each of them has
PROGRAM_OWNER = PROGRAM_STATE  # behind them: whose they are
PROGRAM_WORDS = PROGRAM_STATE + 8
PROGRAM_FLOATS = 2  # arrays of the pool that they are shown: weights, handshakes
PROGRAM_WHOLES = 4  # flows, opening, identities; and the pick's own numbers

# What is counted for each backend and each service
COUNT = np.dtype(
    [
        ("current", np.int64),
        ("opening", np.int64),
        ("closing", np.int64),
        ("total", np.int64),
        ("packets_original", np.int64),
        ("packets_reply", np.int64),
        ("bytes_original", np.int64),
        ("bytes_reply", np.int64),
    ],
    align=True,
)

# What a worker keeps of each backend for its next choices
NOTE = np.dtype(
    [
        ("smooth", np.int64),  # its current weight in smooth weighted round robin
        ("smooth_shadow", np.int64),  # and in a shadow that is one
        ("handshake_us", np.int64),  # peak EWMA of what its answers take; 0: none seen yet
        ("handshake_ms", np.int64),  # when that was worked out
        ("compared", np.int64),  # flows that its policy gave it while a shadow was asked
        ("shadow", np.int64),  # flows that the shadow policy would have given it
        ("exhausted_ms", np.int64),  # until when no port is searched for full NAT
        ("answered_ms", np.int64),  # when it last answered a SYN by a SYN-ACK; 0: never
        ("replied_ms", np.int64),  # when it last replied to a UDP flow that was not replied yet
        ("failed", np.int64),  # openings that were told as unanswered, reset or unreplied
        ("handshake_sum_us", np.int64),  # of all that is counted in `handshakes`
    ],
    align=True,
)

HANDSHAKE_BUCKETS = 24  # of each backend: how many answers took up to so long (handshake.py)

# Which backend a client's flows go to, where a service has affinity
AFFINITY = np.dtype(
    [
        *((f"source{lane}", np.uint32) for lane in range(4)),  # cut to the service's prefix
        ("service", np.uint32),
        ("backend", np.uint32),
        ("identity", np.uint32),  # of the backend: an index may be given to another one
        ("seen", np.uint32),  # when a flow was last opened, in ms modulo 2^32
    ]
)
AFFINITY_BUCKET = 8  # entries that a client's may lie in
MOST_AFFINITIES = 1 << 17

# The worker's totals, one int64 each
TOTALS = (
    "received",
    "forwarded",
    "passed",
    "replied",
    "dropped",
    "held",
    "sent",
    "bytes_received",
    "bytes_forwarded",
    "generation",  # of the tables in use
    "iterations",  # of the packet loop
    "commands",  # done so far
)
RECEIVED, FORWARDED, PASSED, REPLIED_TOTAL, DROPPED, HELD, SENT = range(7)
BYTES_RECEIVED, BYTES_FORWARDED, GENERATION, ITERATIONS, COMMANDS_DONE = range(7, 12)
REASONS = 32  # room for every DropReason; reason 0 in `replies` is the echo

# The compiled tables of a generation. Read-only for workers.
ENDPOINT = np.dtype(
    [
        *((f"address{lane}", np.uint32) for lane in range(4)),
        ("port", np.uint16),
        ("protocol", np.uint8),
        ("kind", np.uint8),
        ("service", np.uint32),
    ],
    align=True,
)
UNUSED = 0
VIP = 1  # an address clients call; port and protocol are 0
BACKEND_ADDRESS = 2  # an address backends answer from; port and protocol are 0
SERVICE_ENDPOINT = 4
BACKEND_ENDPOINT = 8  # what a backend listens on
SOURCE = 16  # an address of full NAT; port and protocol are 0
HOST = 32  # an address of the host itself; port and protocol are 0
SHARED = 64  # with VIP: the host keeps what no service listens on

SERVICE = np.dtype(
    [
        ("no_backend", np.int32),  # REJECT or SILENCE
        ("unknown", np.int32),  # REJECT, SILENCE or ADOPT: TCP without a flow
        ("pool_start", np.int64),  # in `Tables.rings`: the backends that take new flows
        ("pool_size", np.int64),
        ("shadow", np.int32),  # 1 iff the second choice is made as well
        ("nat", np.int32),  # DNAT or FULL
        ("max_flows", np.int64),  # 0: no limit
        ("mss4", np.int32),  # largest MSS let through over IPv4; 0: any
        ("mss6", np.int32),  # and where either side is IPv6
        ("datagrams", np.int64),  # answers after which UDP gets a new choice; 0: never
        ("access_start", np.int64),  # in `Tables.access`
        ("access_size", np.int64),  # 0: everybody
        ("affinity_ms", np.int64),  # 0: none
        ("affinity_prefix", np.int32),  # bits of an IPv4 client's address, of 128: 96 to 128
        ("affinity_prefix6", np.int32),  # and of an IPv6 client's
        ("has_others", np.int64),  # 1 iff backends that are not in the pool may have flows of it
    ],
    align=True,
)
REJECT = 0
SILENCE = 1
ADOPT = 2
DNAT = 0
FULL = 1

# How a service chooses: its policy at 2 * service, its shadow behind it
CHOICE = np.dtype(
    [
        ("policy", np.int32),  # a place in POLICY_NAMES, or FIRST_PROGRAM and more
        ("key", np.int32),  # what `spread_hash` is of: KEY_*
        ("service", np.int64),
        ("ring_start", np.int64),  # in `Tables.rings`: what the policy's compiling half made
        ("ring_size", np.int64),
        ("weights", np.int64),  # of all backends that take new flows, together
        *((f"parameter{number}", np.int64) for number in range(4)),  # the policy's own
    ],
    align=True,
)
CHOICES = 2  # for each service
FIRST_PROGRAM = 64  # parameter0 says which program it is, parameter1 whose state it keeps
KEY_SOURCE = 0  # the client's address
KEY_SOURCE_PORT = 1  # and its port
KEY_DESTINATION = 2  # the address that was called
KEY_DESTINATION_PORT = 3

BACKEND = np.dtype(
    [
        *((f"address{lane}", np.uint32) for lane in range(4)),
        ("port", np.uint16),  # 0: the port the client called
        ("way", np.uint8),
        ("takes", np.uint8),  # 1 iff new flows may be given to it
        ("weight", np.uint32),  # in WEIGHT_ONEs; 0 iff it takes none
        ("lives", np.uint32),  # 1 iff it is configured and not known to be down
        ("identity", np.uint32),  # of service and name: who has this index now
        ("max_flows", np.int64),  # 0: no limit
        ("began_ms", np.int64),  # when it came into the pool; slow start counts from there
        ("slow_start_ms", np.int64),  # 0: none, or long over
        ("slow_start_exponent", np.float64),
        ("per_weight", np.float64),  # 1 / weight, for who would divide often
    ],
    align=True,
)
WEIGHT_ONE = 256  # a weight of 1: slow start needs fractions of it

# A step of an access list: its verdict holds from this address to the next step's
ACCESS_STEP = np.dtype(
    [*((f"address{lane}", np.uint32) for lane in range(4)), ("verdict", np.int64)], align=True
)

# An address that natlb takes for full NAT; those of IPv4 come first
SOURCE_ADDRESS = np.dtype([(f"address{lane}", np.uint32) for lane in range(4)])

# Where packets leave, and who natlb is there
WAY = np.dtype(
    [
        ("side", np.int64),
        ("mtu", np.int64),
        ("address4", np.uint32),  # the source of natlb's own ICMP errors on this side
        *((f"address6_{lane}", np.uint32) for lane in range(4)),
    ],
    align=True,
)
PUBLIC = 0
PRIVATE = 1
DUMMY_ADDRESS4 = 0xC0000008  # 192.0.0.8, RFC 7600 section 6: the source of ICMP errors without one

# Control to worker
COMMAND = np.dtype(
    [
        ("kind", np.int64),
        ("reset", np.int64),  # 1: tell both ends of TCP
        ("service", np.int64),  # ANY or an index
        ("backend", np.int64),
        ("state", np.int64),  # ANY, or a set of 1 << state
        ("protocol", np.int64),
        *((f"client{lane}", np.uint32) for lane in range(4)),
        ("prefix", np.int64),  # of the client's address: 0 to 128
        ("position", np.int64),  # the worker's: the row it goes on from
        ("flushed", np.int64),  # the worker's: flows ended so far
        ("resets", np.int64),  # the worker's: packets sent for them
        ("done", np.int64),  # the worker's: 1 when all is done
    ],
    align=True,
)
FLUSH = 1
ANY = -1
RING = 64  # commands under way at the most

# Worker to control: what of an opening went wrong
EVENT = np.dtype(
    [
        ("sequence", np.int64),  # written last: its number, from 1 on
        ("time_ms", np.int64),  # since the table's epoch
        ("value", np.int64),  # by kind
        ("kind", np.uint16),
        ("service", np.uint16),
        ("backend", np.uint32),
        ("identity", np.uint32),  # of the backend: an index may be given to another one
        ("row", np.uint32),
        ("generation", np.uint32),  # of the row
        ("original", KEY_FIELDS),
        ("reply", KEY_FIELDS),
    ],
    align=True,
)
MOST_EVENTS = 4096  # that the ring holds
UNANSWERED = 1  # TCP: no SYN-ACK in time; value: milliseconds since the flow was opened
REFUSED = 2  # TCP: a reset in answer to the SYN; value as above
UNREPLIED_LONG = 3  # UDP: no reply in time; value as above
UNREACHABLE = 4  # an ICMP error about an unanswered opening; value: its type << 8 | code

HEADROOM = 128  # before each packet in its slot
SLOT_BYTES = HEADROOM + 65536 + 128  # the largest packet TUN hands over, and room behind it
