"""The ways in and out that a worker is given: fds, and what each of them is.

driver tun, by route    a TUN queue for each side
driver tun, direct      the same, and an OUTPUT for each side
driver packet           a LINK for each interface, an OUTPUT and two HOSTs for each side
driver xdp              an XSK for each interface: of the queue that has the worker's number; an
                        OUTPUT and two HOSTs for each side

An XSK comes bound, with need-wakeup, and of the shape in `xsk_shape.py`; its rings are as the
kernel made them, or as a worker before left them (`rings.py`). It is open, and its queue of the
interface taken, until each process that was given it has ended or attached other ports, since a
mapped ring keeps its socket.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class PortKind(IntEnum):
    """What an fd of the packet path is."""

    TUN = 1  # a queue of a TUN device (tun.py)
    OUTPUT = 2  # a packet socket that sends by any interface of its side's namespace
    LINK = 3  # a packet socket that receives from one interface
    HOST = 4  # a raw IP socket with the header included: the host routes what it sends
    XSK = 5  # an AF_XDP socket of one queue of an interface


# A host that forwarded nothing from the private side must not begin to for natlb's sake
SHUT_4, SHUT_6 = 1, 2


class Port(NamedTuple):
    """One way in, out, or both; fields that its kind does not have are -1."""

    kind: PortKind
    side: int  # PUBLIC or PRIVATE
    fd: int
    ifindex: int = -1  # of LINK and XSK
    number: int = -1  # of HOST: the IP version; of XSK: the queue; of OUTPUT: SHUT_4, SHUT_6
    memory: int = -1  # of XSK: the memfd of its frames (UMEM)
