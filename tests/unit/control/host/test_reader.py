from __future__ import annotations

from ipaddress import ip_address

import pytest

from natlb.control.host.reader import KernelReader
from natlb.netlink import identity
from tests.gateway import BACKEND4, CLIENT6, gateway, ip

pytestmark = pytest.mark.netns


def test_the_kernel_is_read_as_the_protocol_says() -> None:
    """Each namespace by its name, and no route is no error."""
    with gateway() as place, KernelReader() as reader:
        netns = place.gateway
        way = reader.way(netns, ip_address(BACKEND4))

        assert way is not None
        assert way.interface == "prv"
        assert reader.way(netns, ip_address("192.0.2.1")) is None
        for kind in ("prohibit", "blackhole", "unreachable"):
            ip(netns, "route", "replace", kind, "192.0.2.1")
            assert reader.way(netns, ip_address("192.0.2.1")) is None
        assert reader.way(place.backend, ip_address(CLIENT6)) is not None
        assert reader.default_devices(place.backend, 6) == ["b0"]
        assert reader.default_devices(netns, 4) == []
        assert [link.name for link in reader.links(netns)] == ["lo", "pub", "prv"]
        assert reader.identity(netns) == identity(netns)
        assert reader.identity("") == identity()
        assert reader.sysctl(netns, "net/ipv4/conf/pub/forwarding") == "0"
        assert reader.sysctl(netns, "net/ipv4/conf/nothing/forwarding") is None
