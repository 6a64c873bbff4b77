"""The messages of direct output lie where the kernel is told that they lie."""

from __future__ import annotations

import socket

import numpy as np

from natlb.core.layout import PRIVATE
from natlb.io.calls import AF_PACKET, LINK_ADDRESS_OCTETS, MMSGHDR
from natlb.io.ports import Port, PortKind
from natlb.io.sending import forget_hops, make_sending


def test_each_message_has_a_piece_and_an_address_of_its_own() -> None:
    """As sendmmsg(2) reads them."""
    sending = make_sending([Port(PortKind.OUTPUT, PRIVATE, 5)])

    assert sending.outputs.tolist() == [-1, 5]
    assert MMSGHDR.itemsize == 64
    assert socket.AF_PACKET == AF_PACKET
    steps = np.diff(sending.messages["name"]), np.diff(sending.messages["pieces"])
    assert (steps[0] == LINK_ADDRESS_OCTETS).all()
    assert (steps[1] == 16).all()
    assert sending.messages["pieces"][0] == sending.pieces.ctypes.data


def test_another_generation_forgets_all_that_was_looked_up() -> None:
    """Side 0 is none."""
    sending = make_sending([])
    sending.known["side"] = 2
    forget_hops(sending)

    assert not sending.known["side"].any()
