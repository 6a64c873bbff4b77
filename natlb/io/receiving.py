"""What packet sockets receive into: messages by slot, and what the kernel says beside a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from natlb.io.calls import AUXDATA, IOVEC, LINK_ADDRESS, MMSGHDR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from natlb.io.ports import Port

MOST_SLOTS = 256  # packets of a batch at the most


class Receiving(NamedTuple):
    """By slot of the batch, but for the links themselves."""

    ifindexes: NDArray[np.int64]  # [way in]
    bursts: NDArray[np.int64]  # [way in] how many frames are asked for at once
    messages: NDArray[np.void]  # MMSGHDR
    pieces: NDArray[np.void]  # IOVEC
    addresses: NDArray[np.void]  # LINK_ADDRESS
    controls: NDArray[np.void]  # AUXDATA
    tags: NDArray[np.int64]  # the VLAN tag that a frame came with, as one number; 0: none


def make_receiving(inward: Sequence[Port]) -> Receiving:
    """Return what the ways in receive into, nothing received yet."""
    receiving = Receiving(
        ifindexes=np.array([port.ifindex for port in inward], np.int64),
        bursts=np.full(len(inward), MOST_SLOTS, np.int64),
        messages=np.zeros(MOST_SLOTS, MMSGHDR),
        pieces=np.zeros(MOST_SLOTS, IOVEC),
        addresses=np.zeros(MOST_SLOTS, LINK_ADDRESS),
        controls=np.zeros(MOST_SLOTS, AUXDATA),
        tags=np.zeros(MOST_SLOTS, np.int64),
    )
    at = np.arange(MOST_SLOTS)
    messages = receiving.messages
    messages["name"] = receiving.addresses.ctypes.data + at * LINK_ADDRESS.itemsize
    messages["pieces"] = receiving.pieces.ctypes.data + at * IOVEC.itemsize
    messages["piece_count"] = 1
    messages["control"] = receiving.controls.ctypes.data + at * AUXDATA.itemsize
    return receiving
