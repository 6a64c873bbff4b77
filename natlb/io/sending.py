"""What direct output keeps: sockets by side, messages under way, next hops that were looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from natlb.io.calls import AF_PACKET, IOVEC, LINK_ADDRESS, LINK_ADDRESS_OCTETS, MMSGHDR, POLLFD
from natlb.io.ports import Port, PortKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIDES = 2
VERSIONS = 2
NAME_OCTETS = 28  # sockaddr_in6
SEGMENT_OCTETS = 1 << 16
RUN = 128  # messages that one call sends at the most

# A destination's next hop as it was found; its place is given by a hash of both
KNOWN = np.dtype(
    [
        *((f"address{lane}", np.uint32) for lane in range(4)),
        ("side", np.int32),  # counted from 1; 0: unused
        ("ifindex", np.int32),  # 0: by the host
        ("mtu", np.int64),
        ("to_high", np.int32),
        ("from_high", np.int32),
        ("to_low", np.int64),
        ("from_low", np.int64),
    ],
    align=True,
)
MOST_KNOWN = 4096  # a power of two


class Sending(NamedTuple):
    """Messages are kept in runs, one for each side: a side's begins at `side * RUN`."""

    outputs: NDArray[np.int64]  # [side] fd of a packet socket, or -1
    hosts: NDArray[np.int64]  # [side, version] fd of a raw IP socket (4, 6), or -1
    messages: NDArray[np.void]  # MMSGHDR
    pieces: NDArray[np.void]  # IOVEC
    addresses: NDArray[np.void]  # LINK_ADDRESS
    frames: NDArray[np.int64]  # which output frame a message is
    filled: NDArray[np.int64]  # [side] messages in the run
    lost: NDArray[np.int64]  # [side] the last output frame that could not be sent, or -1
    known: NDArray[np.void]  # KNOWN[MOST_KNOWN]
    polled: NDArray[np.void]  # POLLFD[1]
    name: NDArray[np.uint8]  # [NAME_OCTETS] a destination, as a raw socket takes it
    segment: NDArray[np.uint8]  # one of a super-packet, cut out of it
    error: NDArray[np.int32]  # [1]


def make_sending(ports: Sequence[Port]) -> Sending:
    """Return the ways out of a worker's ports, with nothing on its way."""
    room = SIDES * RUN
    outputs, hosts = np.full(SIDES, -1, np.int64), np.full((SIDES, VERSIONS), -1, np.int64)
    for port in ports:
        if port.kind is PortKind.OUTPUT:
            outputs[port.side] = port.fd
        elif port.kind is PortKind.HOST:
            hosts[port.side, 0 if port.number == 4 else 1] = port.fd
    sending = Sending(
        outputs=outputs,
        hosts=hosts,
        messages=np.zeros(room, MMSGHDR),
        pieces=np.zeros(room, IOVEC),
        addresses=np.zeros(room, LINK_ADDRESS),
        frames=np.zeros(room, np.int64),
        filled=np.zeros(SIDES, np.int64),
        lost=np.full(SIDES, -1, np.int64),
        known=np.zeros(MOST_KNOWN, KNOWN),
        polled=np.zeros(1, POLLFD),
        name=np.zeros(NAME_OCTETS, np.uint8),
        segment=np.zeros(SEGMENT_OCTETS, np.uint8),
        error=np.zeros(1, np.int32),
    )
    sending.addresses["family"] = AF_PACKET
    at = np.arange(room)
    sending.messages["name"] = sending.addresses.ctypes.data + at * LINK_ADDRESS_OCTETS
    sending.messages["name_octets"] = LINK_ADDRESS_OCTETS
    sending.messages["pieces"] = sending.pieces.ctypes.data + at * IOVEC.itemsize
    sending.messages["piece_count"] = 1
    return sending


def forget_hops(sending: Sending) -> None:
    """Look every next hop up again: there is another generation of them."""
    sending.known["side"] = 0
