"""What a packet socket sees and the host keeps."""

from __future__ import annotations

import numpy as np
import pytest

from natlb.core.batch import COUNT_IN, make_batch, start_batch
from natlb.core.layout import HEADROOM, HOST, PRIVATE, PUBLIC, SERVICE_ENDPOINT, SHARED, VIP
from natlb.core.tables import endpoint_slot
from natlb.io.loop import sample_core
from natlb.io.ports import Port, PortKind
from natlb.io.queues import DRIVER, XDP_DRIVER, make_queues
from natlb.io.sieve import leave_to_host
from natlb.testing import packets
from natlb.wire.fields import TCP
from tests.kernels import needs_plain_kernels
from tests.paper_hops import lanes_of
from tests.unit.io.links import FakeLink

needs_plain_kernels()

CALLER = "10.77.0.11:5000"
KEPT = "203.0.113.10:80"  # a VIP of natlb's own


def left(ends: list[tuple[str, str]], host: FakeLink | None = None) -> list[int]:
    """Return which packets stay: 203.0.113.1 is the host's, and its port 80 a service's.

    With `host` they come from AF_XDP sockets, and it is the public side's raw IP socket.
    """
    ports = [Port(PortKind.LINK, side, -1, side) for side in (PUBLIC, PRIVATE)]
    queues = make_queues([*ports, *([host.host(PUBLIC, 4)] if host else [])])
    if host:
        queues.numbers[DRIVER] = XDP_DRIVER
    core = sample_core()._replace(batch=make_batch(8))
    tables = core.tables._replace(endpoints=core.tables.endpoints.copy())
    for address, port, protocol, kind in (
        ("203.0.113.1", 0, 0, HOST | VIP | SHARED),
        ("203.0.113.1", 80, TCP, SERVICE_ENDPOINT),
        ("2001:db8::1", 0, 0, HOST | VIP | SHARED),
        ("2001:db8::1", 80, TCP, SERVICE_ENDPOINT),
        ("10.77.0.1", 0, 0, HOST),
        ("203.0.113.10", 0, 0, VIP),
    ):
        at = endpoint_slot(lanes_of(address), port, protocol, tables.endpoints.size)
        while tables.endpoints[at]["kind"]:
            at = (at + 1) % tables.endpoints.size
        row = tables.endpoints[at]
        for lane, value in enumerate(lanes_of(address)):
            row[f"address{lane}"] = value
        row["port"], row["protocol"], row["kind"] = port, protocol, kind
    batch = core.batch
    start_batch(batch, len(ends))
    for at, (source, destination) in enumerate(ends):
        packet = packets.tcp(source, destination) if destination else source.encode()
        frame = batch.frames[at]
        frame["slot"], frame["start"], frame["length"] = at, HEADROOM, len(packet)
        batch.slots[at, HEADROOM : HEADROOM + len(packet)] = np.frombuffer(packet, np.uint8)
    count = leave_to_host(queues, core._replace(tables=tables), len(ends))
    assert batch.numbers[COUNT_IN] == count
    return [int(slot) for slot in batch.frames["slot"][:count]]


@pytest.mark.parametrize(
    ("ends", "kept"),
    [
        ([(CALLER, KEPT), (CALLER, "192.0.2.1:9")], [0, 1]),
        ([(CALLER, "10.77.0.1:9"), (CALLER, KEPT), (CALLER, "203.0.113.1:80")], [1, 2]),
        ([(CALLER, "203.0.113.1:22"), (CALLER, KEPT)], [1]),
        ([("[fd00::1]:1", "[2001:db8::1]:80"), ("[fd00::1]:1", "[2001:db8::1]:22")], [0]),
        ([("E", ""), ("`" + 25 * "x", "")], [0, 1]),
    ],
)
def test_what_goes_to_the_host_is_left_to_it(ends: list[tuple[str, str]], kept: list[int]) -> None:
    """But for ports of a shared VIP that a service has; what is too short is parse()'s to judge."""
    assert left(ends) == kept


def test_what_an_af_xdp_socket_took_from_the_host_is_given_back() -> None:
    """By its raw socket, untouched; a packet socket's was a copy."""
    host = FakeLink(7)
    ends = [(CALLER, KEPT), (CALLER, "203.0.113.1:22"), (CALLER, "203.0.113.1:80")]
    kept = left(ends, host)
    given = host.packets()
    host.close()

    assert kept == [0, 2]
    assert given == [packets.tcp(CALLER, "203.0.113.1:22")]
