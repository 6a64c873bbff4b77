"""What packet sockets receive into lies where the kernel is told that it lies."""

from __future__ import annotations

import numpy as np

from natlb.io.calls import AUXDATA_OCTETS, LINK_ADDRESS_OCTETS
from natlb.io.ports import Port, PortKind
from natlb.io.receiving import make_receiving


def test_each_slot_has_a_message_of_its_own() -> None:
    """With an address, and room for what the kernel says beside it: CMSG_SPACE of 20 octets."""
    receiving = make_receiving([Port(PortKind.LINK, 0, 3, ifindex=7)])

    assert receiving.ifindexes.tolist() == [7]
    assert AUXDATA_OCTETS == 40
    assert (np.diff(receiving.messages["control"]) == AUXDATA_OCTETS).all()
    assert (np.diff(receiving.messages["name"]) == LINK_ADDRESS_OCTETS).all()
