from __future__ import annotations

import pytest

from natlb.control.host.hands import Hands
from natlb.netlink import identity
from tests.gateway import namespaces_of

pytestmark = pytest.mark.netns


def test_each_namespace_has_one_session_and_its_own_values() -> None:
    """The empty name is natlb's own."""
    with namespaces_of("a") as [name], Hands() as hands:
        hands.write(name, "net/ipv4/ip_forward", "1")

        assert hands.netlink(name) is hands.netlink(name)
        assert hands.netlink("") is not hands.netlink(name)
        assert [link.name for link in hands.netlink(name).links()] == ["lo"]
        assert hands.read(name, "net/ipv4/ip_forward") == "1"
        assert hands.names(name, "net/ipv4/conf") == ["all", "default", "lo"]
        assert hands.exists(name)

    assert not hands.exists(name)
    assert hands.exists("")
    assert identity() == identity(None)
