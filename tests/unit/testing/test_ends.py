from __future__ import annotations

import random

import pytest

from natlb.testing import packets
from natlb.testing.ends import MOST_OCTETS, TcpEnd

HERE, THERE = "198.51.100.2:40000", "203.0.113.10:80"


def talk(client: TcpEnd, server: TcpEnd, lost: float = 0.0) -> list[str]:
    """Let two ends talk until both are done; return the flags of all segments."""
    flags: list[str] = []
    chance = random.Random(1)
    waiting = [(server, packet) for packet in client.start()]
    for _ in range(1000):
        if client.is_done and server.is_done:
            break
        if not waiting:
            waiting = [(server, packet) for packet in client.repeat()]
            waiting += [(client, packet) for packet in server.repeat()]
            assert waiting
        to, packet = waiting.pop(0)
        flags.append(packets.read(packet).flags)
        if chance.random() >= lost:
            answers = to.take(packet)
            waiting += [(client if to is server else server, answer) for answer in answers]
    return flags


def ends(request: bytes, answer: bytes) -> tuple[TcpEnd, TcpEnd]:
    """Return a client and a server."""
    client = TcpEnd(HERE, THERE, 0xFFFFFFF0, request=request)
    return client, TcpEnd(THERE, HERE, 5, answer=lambda asked: answer + asked)


def test_a_connection_in_its_simplest_form() -> None:
    """A handshake, a request and an end, an answer and an end."""
    client, server = ends(b"who", b"me: ")
    flags = talk(client, server)

    assert flags == ["S", "SA", "PA", "A", "FA", "A", "PA", "A", "FA", "A"]
    assert bytes(client.received) == b"me: who"
    assert bytes(server.received) == b"who"


@pytest.mark.parametrize("size", [0, 1, MOST_OCTETS, MOST_OCTETS + 1, 5000])
@pytest.mark.parametrize("lost", [0.0, 0.3])
def test_all_octets_arrive_whatever_is_lost(size: int, lost: float) -> None:
    """In order, once, across the wrap of sequence numbers."""
    request = random.randbytes(size)
    client, server = ends(request, b"!")
    talk(client, server, lost)

    assert client.is_done
    assert server.is_done
    assert bytes(server.received) == request
    assert bytes(client.received) == b"!" + request


def test_what_comes_twice_or_too_early_is_not_taken() -> None:
    """But acknowledged, so that the other end gets on."""
    client, server = ends(b"x" * (MOST_OCTETS + 1), b"")
    (syn,) = client.start()
    (answer,) = server.take(syn)
    (first,) = client.take(answer)
    (ack,) = server.take(first)
    (again,) = server.take(first)
    assert packets.read(again) == packets.read(ack)
    early = packets.tcp(HERE, THERE, "PA", sequence=77, payload=b"early")
    server.take(early)

    assert len(server.received) == MOST_OCTETS


def test_a_reset_ends_it() -> None:
    """And nothing is sent after it."""
    client, _ = ends(b"x", b"")
    client.start()

    assert client.take(packets.tcp(THERE, HERE, "RA")) == []
    assert client.was_reset
    assert client.repeat() == []


def test_a_server_says_nothing_before_it_is_called() -> None:
    """Nor again before it was asked everything."""
    client, server = ends(b"x", b"y")
    assert server.repeat() == []
    server.take(client.start()[0])

    assert packets.read(server.repeat()[0]).flags == "SA"


def test_a_packet_for_somebody_else_is_a_mistake_in_the_test() -> None:
    """It must not be swallowed."""
    with pytest.raises(AssertionError):
        ends(b"", b"")[0].take(packets.tcp("203.0.113.11:80", HERE))
