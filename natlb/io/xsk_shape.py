"""The shape of an AF_XDP socket as the supervisor makes it and a worker maps it: numbers alone.

Of a socket's frames one half is for receiving and the other for sending. Each half fits whole into
either of its rings, so a ring never has too little room for what its frames can be.
"""

from __future__ import annotations

FRAME_OCTETS = 4096  # of a frame, from its start: no headroom, no options, chunks aligned
FRAMES = 4096
RING_SIZE = 2048  # entries of each of the four rings: a power of two
RECEIVE_FRAMES = FRAMES // 2  # the first ones
SEND_FRAMES = FRAMES - RECEIVE_FRAMES  # the ones behind them
UMEM_OCTETS = FRAMES * FRAME_OCTETS  # of the memfd

KERNEL_HEADROOM = 256  # before each received frame, whatever was asked for (XDP_PACKET_HEADROOM)
LINK_OCTETS = 18  # an Ethernet header with a tag
MOST_MTU = FRAME_OCTETS - KERNEL_HEADROOM - LINK_OCTETS  # of an interface: the kernel drops more
