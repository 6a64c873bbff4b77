"""What an event does to a flow: the state diagram of TCP and UDP as a table, by direction.

    OPENING        the client's SYN was seen
    ANSWERED       the backend's SYN-ACK to it too
    ESTABLISHED    the client has acknowledged that
    HALF_ORIGINAL  the client has sent its FIN, the backend has not
    HALF_REPLY     the backend has, the client has not
    CLOSING        both have, or one has reset the connection; late segments still pass

Only sound events are looked up here: what a segment must be like to count as one is said by
`windows.py` and `tracking.py`. What has no arrow changes nothing, not even the flow's timer: a SYN
inside a connection, an answer to nothing, a reset of what is closing. All of it is forwarded.

One arrow is not the table's: a SYN of the client on a closing flow ends it, and opens another
(`decision.py`). The drawing in docs/dataplane.md is made from `ARROWS` by tests/state_diagram.py.
"""

from __future__ import annotations

import numpy as np

from natlb.core.layout import (
    ANSWERED,
    CLOSING,
    DETACHED,
    ESTABLISHED,
    HALF_ORIGINAL,
    HALF_REPLY,
    OPENING,
    REPLIED,
    STATES,
    UNREPLIED,
)

EVENTS = ("SYN", "SYN-ACK", "ACK", "FIN", "RST", "datagram")
IS_SYN, IS_SYN_ACK, IS_ACK, IS_FIN, IS_RESET, IS_DATAGRAM = range(len(EVENTS))

CLIENT = 0  # the original direction
BACKEND = 1  # the reply's
NO_ARROW = 0  # the event changes nothing

# (state, who sends, what, the state behind it); an ACK is any segment without SYN, FIN and RST
ARROWS = (
    (OPENING, CLIENT, IS_SYN, OPENING),
    (OPENING, BACKEND, IS_SYN_ACK, ANSWERED),
    (OPENING, CLIENT, IS_RESET, CLOSING),
    (OPENING, BACKEND, IS_RESET, CLOSING),
    (ANSWERED, CLIENT, IS_SYN, ANSWERED),
    (ANSWERED, BACKEND, IS_SYN_ACK, ANSWERED),
    (ANSWERED, CLIENT, IS_ACK, ESTABLISHED),
    (ANSWERED, BACKEND, IS_ACK, ANSWERED),  # an answer to data in the SYN (RFC 7413)
    (ANSWERED, CLIENT, IS_FIN, HALF_ORIGINAL),
    (ANSWERED, BACKEND, IS_FIN, HALF_REPLY),
    (ANSWERED, CLIENT, IS_RESET, CLOSING),
    (ANSWERED, BACKEND, IS_RESET, CLOSING),
    (ESTABLISHED, CLIENT, IS_ACK, ESTABLISHED),
    (ESTABLISHED, BACKEND, IS_ACK, ESTABLISHED),
    (ESTABLISHED, CLIENT, IS_FIN, HALF_ORIGINAL),
    (ESTABLISHED, BACKEND, IS_FIN, HALF_REPLY),
    (ESTABLISHED, CLIENT, IS_RESET, CLOSING),
    (ESTABLISHED, BACKEND, IS_RESET, CLOSING),
    (HALF_ORIGINAL, CLIENT, IS_ACK, HALF_ORIGINAL),
    (HALF_ORIGINAL, BACKEND, IS_ACK, HALF_ORIGINAL),
    (HALF_ORIGINAL, CLIENT, IS_FIN, HALF_ORIGINAL),
    (HALF_ORIGINAL, BACKEND, IS_FIN, CLOSING),
    (HALF_ORIGINAL, CLIENT, IS_RESET, CLOSING),
    (HALF_ORIGINAL, BACKEND, IS_RESET, CLOSING),
    (HALF_REPLY, CLIENT, IS_ACK, HALF_REPLY),
    (HALF_REPLY, BACKEND, IS_ACK, HALF_REPLY),
    (HALF_REPLY, CLIENT, IS_FIN, CLOSING),
    (HALF_REPLY, BACKEND, IS_FIN, HALF_REPLY),
    (HALF_REPLY, CLIENT, IS_RESET, CLOSING),
    (HALF_REPLY, BACKEND, IS_RESET, CLOSING),
    (CLOSING, CLIENT, IS_ACK, CLOSING),
    (CLOSING, BACKEND, IS_ACK, CLOSING),
    (CLOSING, CLIENT, IS_FIN, CLOSING),
    (CLOSING, BACKEND, IS_FIN, CLOSING),
    (UNREPLIED, CLIENT, IS_DATAGRAM, UNREPLIED),
    (UNREPLIED, BACKEND, IS_DATAGRAM, REPLIED),
    (REPLIED, CLIENT, IS_DATAGRAM, REPLIED),
    (REPLIED, BACKEND, IS_DATAGRAM, REPLIED),
    (DETACHED, BACKEND, IS_DATAGRAM, DETACHED),
)

# [state, direction, event]: compiled code has it as a constant of its own
TRANSITIONS = np.full((STATES, 2, len(EVENTS)), NO_ARROW, np.uint8)
for _state, _direction, _event, _behind in ARROWS:
    TRANSITIONS[_state, _direction, _event] = _behind
TRANSITIONS.flags.writeable = False
