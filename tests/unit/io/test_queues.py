"""What a worker's ports come to: a driver, who sends, and who takes the hops."""

from __future__ import annotations

import pytest

from natlb.core.layout import PRIVATE, PUBLIC
from natlb.core.state import TTL_DIRECT, TTL_OWN, TTL_ROUTE
from natlb.io.ports import Port, PortKind
from natlb.io.queues import (
    BY_ROUTE,
    DIRECT,
    DRIVER,
    OUTPUT_BY,
    PACKET_DRIVER,
    TTL,
    TUN_DRIVER,
    XDP_DRIVER,
    make_queues,
)
from tests.unit.io.xsks import FakeXsk, install

TUNS = [Port(PortKind.TUN, PRIVATE, 4), Port(PortKind.TUN, PUBLIC, 3)]
OUTPUTS = [Port(PortKind.OUTPUT, PUBLIC, 5), Port(PortKind.OUTPUT, PRIVATE, 6)]


def test_tun_queues_alone_are_output_by_route() -> None:
    """In the order of their sides, whatever order they came in."""
    queues = make_queues(TUNS)

    assert queues.numbers[[DRIVER, OUTPUT_BY, TTL]].tolist() == [TUN_DRIVER, BY_ROUTE, TTL_ROUTE]
    assert queues.fds.tolist() == [3, 4]
    assert queues.polled["fd"].tolist() == [3, 4, -1]


def test_with_a_packet_socket_for_each_side_output_is_direct() -> None:
    """With one alone it is not."""
    queues = make_queues([*OUTPUTS, *TUNS])

    assert queues.numbers[[DRIVER, OUTPUT_BY, TTL]].tolist() == [TUN_DRIVER, DIRECT, TTL_DIRECT]
    assert queues.sending.outputs.tolist() == [5, 6]
    assert make_queues([*TUNS, OUTPUTS[0]]).numbers[OUTPUT_BY] == BY_ROUTE


def test_packet_sockets_take_a_hop_of_natlbs_own() -> None:
    """Several links of a side are ways in of their own."""
    links = [Port(PortKind.LINK, side, 10 + at, at) for at, side in enumerate((PUBLIC, 1, PUBLIC))]
    hosts = [Port(PortKind.HOST, PRIVATE, 20 + version, number=version) for version in (4, 6)]
    queues = make_queues([*links, *hosts, *OUTPUTS])

    assert queues.numbers[[DRIVER, OUTPUT_BY, TTL]].tolist() == [PACKET_DRIVER, DIRECT, TTL_OWN]
    assert queues.sides.tolist() == [PUBLIC, PUBLIC, PRIVATE]
    assert queues.sending.hosts.tolist() == [[-1, -1], [24, 26]]


def test_af_xdp_sockets_send_by_their_own_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directly, with packet sockets beside them or without."""
    install(monkeypatch)
    xsks = [FakeXsk(PUBLIC, 7), FakeXsk(PRIVATE, 8)]
    queues = make_queues([each.port for each in xsks])
    for each in xsks:
        each.close()

    assert queues.numbers[[DRIVER, OUTPUT_BY, TTL]].tolist() == [XDP_DRIVER, DIRECT, TTL_OWN]
    assert queues.receiving.ifindexes.tolist() == [7, 8]
    assert len(queues.rings.places) == 2
    assert len(make_queues(TUNS).rings.places) == 0


@pytest.mark.parametrize(
    "ports", [[], TUNS[:1], [*TUNS, Port(PortKind.LINK, PUBLIC, 7, 1)], OUTPUTS]
)
def test_ways_in_of_no_one_driver_are_refused(ports: list[Port]) -> None:
    """A side without any is a mistake of the caller's, and so is a mixture."""
    with pytest.raises(ValueError, match="ports of"):
        make_queues(ports)
