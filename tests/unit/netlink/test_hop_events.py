"""What the kernel says of neighbours and routes, and that too much of it is told of."""

from __future__ import annotations

import subprocess

import pytest

from natlb.netlink.forwarding import MAPPED
from natlb.netlink.hop_events import Heard, HopEvents
from tests.gateway import namespaces_of


@pytest.mark.netns
def test_neighbours_are_told_whole_and_the_rest_as_a_hint() -> None:
    """And what did not fit the buffer as lost."""
    with namespaces_of("heard") as [name]:

        def ip(words: str) -> None:
            subprocess.run(["ip", "-n", name, *words.split()], check=True, timeout=60)

        ip("link add name e0 type veth peer name e1")
        ip("link set e0 up")
        events = HopEvents(name)
        try:
            assert events.read() == Heard([])
            ip("neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 dev e0")
            heard = events.read()
            assert [each.mac.hex() for each in heard.neighbours] == ["020000000001"]
            assert heard.neighbours[0].address == MAPPED | 0x0A000001
            assert not heard.others
            ip("route add 10.1.0.0/16 dev e0")
            assert events.read() == Heard([], others=True)
            events._socket.setsockopt(1, 8, 1)  # SO_RCVBUF
            for at in range(2, 22):
                ip(f"route add 10.{at}.0.0/16 dev e0")
            assert events.read() == Heard([], others=True, is_torn=True)
        finally:
            events.close()
