"""Why a packet was refused: the one closed list. A reason is a counter and a line in the docs."""

from __future__ import annotations

from enum import IntEnum


class DropReason(IntEnum):
    """A refusal by its name; 0 is kept for "not refused"."""

    MALFORMED = 1
    BAD_CHECKSUM = 2
    MARTIAN = 3
    UNSUPPORTED = 4
    TTL_EXPIRED = 5
    NO_SERVICE = 6
    NO_BACKEND = 7
    NO_ROUTE = 8
    SERVICE_LIMIT = 9
    BACKEND_LIMIT = 10
    SOURCE_LIMIT = 11
    TABLE_FULL = 12
    PORT_EXHAUSTED = 13
    OUT_OF_STATE = 14
    FRAGMENT_TIMEOUT = 15
    FRAGMENT_LIMIT = 16
    FRAGMENT_OVERLAP = 17
    ICMP_UNMATCHED = 18
    MTU_EXCEEDED = 19
    RATE_LIMIT = 20
    QUEUE_FULL = 21
    ACCESS = 22
    INTERNAL = 23

    @property
    def label(self) -> str:
        """Return the name as counters, JSON and the docs spell it: `no-service`."""
        return self.name.lower().replace("_", "-")

    def __str__(self) -> str:
        return self.label


ACCEPTED = 0

# The same numbers for kernels: Numba takes an enum's member for a type of its own.
MALFORMED = int(DropReason.MALFORMED)
BAD_CHECKSUM = int(DropReason.BAD_CHECKSUM)
MARTIAN = int(DropReason.MARTIAN)
UNSUPPORTED = int(DropReason.UNSUPPORTED)
TTL_EXPIRED = int(DropReason.TTL_EXPIRED)
NO_SERVICE = int(DropReason.NO_SERVICE)
NO_BACKEND = int(DropReason.NO_BACKEND)
NO_ROUTE = int(DropReason.NO_ROUTE)
SERVICE_LIMIT = int(DropReason.SERVICE_LIMIT)
BACKEND_LIMIT = int(DropReason.BACKEND_LIMIT)
SOURCE_LIMIT = int(DropReason.SOURCE_LIMIT)
TABLE_FULL = int(DropReason.TABLE_FULL)
PORT_EXHAUSTED = int(DropReason.PORT_EXHAUSTED)
OUT_OF_STATE = int(DropReason.OUT_OF_STATE)
FRAGMENT_TIMEOUT = int(DropReason.FRAGMENT_TIMEOUT)
FRAGMENT_LIMIT = int(DropReason.FRAGMENT_LIMIT)
FRAGMENT_OVERLAP = int(DropReason.FRAGMENT_OVERLAP)
ICMP_UNMATCHED = int(DropReason.ICMP_UNMATCHED)
MTU_EXCEEDED = int(DropReason.MTU_EXCEEDED)
RATE_LIMIT = int(DropReason.RATE_LIMIT)
QUEUE_FULL = int(DropReason.QUEUE_FULL)
ACCESS = int(DropReason.ACCESS)
INTERNAL = int(DropReason.INTERNAL)
