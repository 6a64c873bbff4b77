from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from natlb.control.host import Journal, KernelReader, apply, operations, resolve
from natlb.control.host.leftovers import find, sweep
from natlb.netlink import Netlink
from tests.gateway import gateway, ip, snapshot

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.netns


def test_what_carries_natlbs_marks_is_found_and_swept(tmp_path: Path) -> None:
    """Without a journal; what an administrator made stays."""
    with gateway() as place, KernelReader() as reader:
        netns = place.gateway
        ip(netns, "rule", "add", "priority", "99", "from", "10.0.0.0/8", "table", "7")
        before = snapshot(netns)
        steps = operations(None, resolve(place.wanted(), reader))
        queues = apply(steps, Journal(tmp_path / "journal"))
        found = find(netns)

        assert {"device natlb-pub", "device natlb-prv"} <= set(found)
        assert "route 203.0.113.10/32 dev natlb-pub" in found
        assert "rule 100 of IPv6" in found
        assert sweep(netns) == found
        assert find(netns) == sweep(netns) == []
        after = snapshot(netns)
        for queue in queues.values():
            os.close(queue.fd)

        assert {key: after[key] for key in after if "ipv" not in key} == {
            key: before[key] for key in before if "ipv" not in key
        }


def test_a_device_of_that_name_that_is_no_tun_is_not_deleted() -> None:
    """It is shown; to delete it is its owner's."""
    with gateway() as place, Netlink(place.gateway) as netlink:
        netlink.add_bridge("natlb-pub")

        assert sweep(place.gateway) == ["device natlb-pub"]
        assert netlink.has_link("natlb-pub")
