"""The system calls of the packet path and the records that they read and write.

Laid out as the 64-bit Linux kernel's: a record that holds an address of memory holds a number.
"""

from __future__ import annotations

import numpy as np

from natlb.jit import external

read = external("read", "intp", "int32", "intp", "intp")
write = external("write", "intp", "int32", "intp", "intp")
poll = external("poll", "int32", "intp", "intp", "int32")
recvmmsg = external("recvmmsg", "int32", "int32", "intp", "int32", "int32", "intp")
sendmmsg = external("sendmmsg", "int32", "int32", "intp", "int32", "int32")
memmove = external("memmove", "intp", "intp", "intp", "intp")
sendto = external("sendto", "intp", "int32", "intp", "intp", "int32", "intp", "int32")

POLLFD = np.dtype([("fd", np.int32), ("events", np.int16), ("revents", np.int16)])
POLLIN = 0x001
POLLOUT = 0x004
POLLERR = 0x008
POLLHUP = 0x010
POLLNVAL = 0x020

MSG_TRUNC = 0x20
MSG_DONTWAIT = 0x40

IOVEC = np.dtype([("base", np.int64), ("octets", np.int64)])
MMSGHDR = np.dtype(
    [
        ("name", np.int64),
        ("name_octets", np.int64),  # socklen_t, and padding: little-endian, as VNET headers are
        ("pieces", np.int64),
        ("piece_count", np.int64),
        ("control", np.int64),
        ("control_octets", np.int64),
        ("flags", np.int64),  # int, and padding
        ("octets", np.int64),  # what was received or sent: unsigned int, and padding
    ]
)

AF_INET = 2
AF_INET6 = 10
AF_PACKET = 17
LINK_ADDRESS = np.dtype(  # sockaddr_ll, packet(7)
    [
        ("family", np.uint16),
        ("protocol", np.uint16),  # in network order
        ("ifindex", np.int32),
        ("hardware", np.uint16),
        ("kind", np.uint8),  # PACKET_*: whom a received frame was sent to
        ("address_octets", np.uint8),
        ("address0", np.uint32),
        ("address1", np.uint32),
    ]
)
# What stands beside a frame: a cmsghdr with its tpacket_auxdata
AUXDATA = np.dtype(
    [
        ("octets", np.int64),
        ("level", np.int32),
        ("type", np.int32),
        ("status", np.uint32),
        ("length", np.uint32),
        ("kept", np.uint32),
        ("link", np.uint16),
        ("network", np.uint16),
        ("tag", np.uint16),
        ("tag_type", np.uint16),
        ("padding", np.uint32),
    ]
)
AUXDATA_OCTETS = AUXDATA.itemsize
VLAN_VALID = 0x10  # of `status`: there was a tag
LINK_ADDRESS_OCTETS = LINK_ADDRESS.itemsize
PACKET_HOST = 0
PACKET_OTHERHOST = 3
