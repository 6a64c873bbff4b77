"""Default routes found among others, on the kernel and in octets."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from natlb.errors import NatlbError
from natlb.netlink import Netlink, create_namespace, default_routes, defaults, delete_namespace
from tests.gateway import ip


@pytest.mark.netns
def test_they_are_found_with_metric_and_interface() -> None:
    """Of the main table alone, and none that leads nowhere."""
    name = f"nlbt{os.getpid()}-defaults"
    create_namespace(name)
    try:
        with Netlink(name) as netlink:
            netlink.add_veth("a", "b")
            for each, address in (("a", "10.0.0.1/24"), ("b", "10.0.1.1/24")):
                netlink.set_up(each)
                netlink.add_address(each, address)
            names = netlink.names()
        assert default_routes(4, name) == []
        for number in range(10):
            ip(name, "route", "add", f"20.0.{number}.0/24", "dev", "a")
        ip(name, "route", "add", "default", "via", "10.0.0.2", "metric", "7")
        ip(name, "route", "add", "default", "dev", "b", "metric", "3")
        ip(name, "route", "add", "unreachable", "default", "metric", "9")
        ip(name, "route", "add", "default", "dev", "b", "table", "6285")
        found = [(names[each.device or 0], each.metric) for each in default_routes(4, name)]

        assert sorted(found) == [("a", 7), ("b", 3)]
        assert default_routes(6, name) == []
    finally:
        delete_namespace(name)


def test_a_refusal_is_an_error_of_natlbs(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not an endless wait."""
    refusal = struct.pack("=IHHIIi", 20, defaults.ERROR, 0, 1, 0, -95)
    monkeypatch.setattr(socket.socket, "recv", lambda *_: refusal)

    with pytest.raises(NatlbError, match="cannot list routes"):
        default_routes(4)


@pytest.mark.parametrize("octets", [b"", b"\1\2", bytes(40)])
def test_octets_that_are_no_messages_have_no_routes(octets: bytes) -> None:
    """The kernel writes none, and nobody else may."""
    assert list(defaults.parse(octets)) == []
