"""What the fds that several processes hold are for."""

from __future__ import annotations

from enum import IntEnum

MOST_WORKERS = 64
NUMBER_SHIFT = 8  # in the index of what a worker has several of: this one's number, above its own


class Role(IntEnum):
    """What an fd that several processes hold is for; `index` of a `Hold` is the worker's number.

    A worker has several of LINK, HOST, XSK and XSK_MEMORY: `index` is the worker's number and,
    shifted by NUMBER_SHIFT, that one's own; `value` is made of `place_value()`.
    """

    QUEUE_PUBLIC = 1
    QUEUE_PRIVATE = 2
    FLOWS = 3
    COUNTERS = 4
    COMMANDS = 5
    TABLES = 6  # value: the generation
    REGISTRY = 7
    API_LISTENER = 8
    HANDOVER_LISTENER = 9
    LIFE_CHANNEL = 10  # the supervisor's end towards a worker; value: its pid, stamp: its start
    TABLES_CHANNEL = 11  # control's end towards a worker; value: its pid, stamp: its programs
    HOST_PLAN = 12
    PROGRAMS = 13  # policies of the user's own, `programs`; value: their digest
    EVENTS = 14
    STANDING = 15  # an encoded `HandedOver`: what a supervisor knows besides what is held
    EVENT_LOG = 16
    OUTPUT_PUBLIC = 17  # a packet socket that sends on this side
    OUTPUT_PRIVATE = 18
    LINK = 19  # a packet socket that receives from one interface
    HOST = 20  # a raw IP socket: what it sends, the host routes
    XSK = (
        21  # an AF_XDP socket of one queue of an interface; the next worker takes it over as it is
    )
    XSK_MEMORY = 22  # its frames (io/xsk_shape.py), all zero at first; same index and value
    TALLY = 23  # what control counts itself
    LOADS = 25  # what each worker has to do, a row each: all of them map it
    NEXT_HOPS = 24  # where packets go that natlb sends by itself; value: the generation
