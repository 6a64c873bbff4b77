from __future__ import annotations

import random

from natlb.testing import packets
from natlb.testing.network import Network, Weather
from tests.datapath import CLIENT, VIP, engine

FROM, WEB = f"{CLIENT}:40000", f"{VIP}:80"


def network(**weather: float) -> Network:
    """Return a network whose backends say their name."""
    answer = lambda server, request: server.encode() + request  # noqa: E731 # one line is enough
    return Network(engine(), random.Random(1), Weather(**weather), answer)


def test_a_client_is_answered_through_the_engine() -> None:
    """By the backend that the engine chose, under the VIP's name."""
    net = network()
    end = net.connect(FROM, WEB, b"?")
    net.run(until=1.0)

    assert end.is_done
    assert bytes(end.received) == b"10.9.0.11:8080?"
    assert net.seen_publicly == {FROM, WEB}
    assert net.engine.flows()[0].state == "closing"
    assert net.now == 1.0


def test_where_everything_is_lost_nothing_arrives() -> None:
    """And what is lost is repeated."""
    net = network(lost=1.0)
    end = net.connect(FROM, WEB, b"?")
    net.run(until=1.0)

    assert not end.is_done
    assert net.engine.stats().packets.received == 0


def test_what_is_doubled_arrives_twice() -> None:
    """Both copies go through the engine."""
    once, twice = network(), network(doubled=1.0)
    for net in (once, twice):
        net.connect(FROM, WEB, b"?")
        net.run(until=2.0)

    assert twice.engine.stats().packets.received > 1.5 * once.engine.stats().packets.received
    assert all(net.clients[FROM].is_done for net in (once, twice))


def test_a_closed_port_resets_the_client() -> None:
    """By natlb itself; there is no server."""
    net = network()
    end = net.connect(FROM, f"{VIP}:81", b"?")
    net.run(until=1.0)

    assert end.was_reset
    assert not net.servers


def test_a_port_used_again_meets_a_new_server() -> None:
    """Not the one that is done with it."""
    net = network()
    for request in (b"1", b"2", b"3"):
        end = net.connect(FROM, WEB, request)
        net.run(until=net.now + 1.0)
        assert end.is_done
        assert bytes(end.received).endswith(request)


def test_resets_of_a_command_reach_the_ends_they_name() -> None:
    """Both of them."""
    net = network()
    client = net.connect(FROM, WEB, bytes(5000))
    net.run(until=0.1)
    net.deliver_resets(net.engine.command("flush --reset", net.now))
    net.run(until=1.0)

    assert client.was_reset
    assert [server.was_reset for server in net.servers.values()] == [True]


def test_what_is_no_tcp_is_not_delivered() -> None:
    """There is nobody to take it; who left is not called."""
    net = network()
    net._hand_over(packets.echo_request(VIP, CLIENT), "public")
    net._hand_over(packets.tcp(WEB, "198.51.100.9:1", "A"), "public")
    net.run(until=0.1)

    assert net.engine.stats().packets.received == 0
