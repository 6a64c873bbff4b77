"""What is learnt of a packet: one record, filled by `parse()` and read by every later stage."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Parsed: TypeAlias = Any  # one record of PARSED

PARSED = np.dtype(
    [
        # valid whatever the verdict
        ("refusal", np.int64),  # a DropReason, or ACCEPTED
        ("segments", np.int64),  # packets on the wire: 1, or a super-packet's segments
        ("wire_bytes", np.int64),  # octets on the wire from the IP header on, all segments
        # valid iff accepted
        ("version", np.int64),  # 4 or 6
        ("ttl", np.int64),  # or hop limit
        ("protocol", np.int64),  # of the transport header; extension headers are skipped
        ("source0", np.int64),  # addresses as four 32-bit lanes, IPv4 as ::ffff:a.b.c.d
        ("source1", np.int64),
        ("source2", np.int64),
        ("source3", np.int64),
        ("destination0", np.int64),
        ("destination1", np.int64),
        ("destination2", np.int64),
        ("destination3", np.int64),
        ("source_port", np.int64),  # 0 where there are no ports
        ("destination_port", np.int64),
        ("l4", np.int64),  # where the transport header begins
        ("payload", np.int64),  # where its payload begins
        ("end", np.int64),  # where the packet ends: padding behind it is not part of it
        ("tcp_flags", np.int64),
        ("kind", np.int64),  # PLAIN, or a set of the marks below
        ("dont_fragment", np.int64),  # 1 for IPv6
        # valid iff FRAGMENTED
        ("identification", np.int64),
        ("offset", np.int64),  # octets of the datagram before this piece
        ("octets", np.int64),  # of the datagram in this piece
        ("more", np.int64),  # 1: not the last piece
        # filled by the core's first pass
        ("hash", np.int64),
        ("found", np.int64),
    ]
)

PLAIN = 0
FRAGMENTED = 1  # a fragment, the first included
LATER_FRAGMENT = 2  # a fragment without a transport header
EXTENDED = 4  # IPv6 extension headers that translation leaves as they are
UNTRANSLATABLE = 8  # IPv4 options, or IPv6 extension headers that forbid translation
