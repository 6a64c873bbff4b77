from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from natlb.control.host import Journal, KernelReader, apply, operations, resolve
from natlb.control.host.hands import Hands
from natlb.control.host.leftovers import cleanup, find, sweep
from natlb.control.host.operation import MoveLocal
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


def test_cleaning_up_says_in_words_what_it_took_back(tmp_path: Path) -> None:
    """By the journal first, so that values are put back too; and a second time there is nothing."""
    with gateway() as place, KernelReader() as reader:
        netns = place.gateway
        before = snapshot(netns)
        journal = Journal(tmp_path / "journal")
        queues = apply(operations(None, resolve(place.wanted(versions="4"), reader)), journal)
        for queue in queues.values():
            os.close(queue.fd)
        words = cleanup(journal, netns)

        assert snapshot(netns) == before
        assert words == [
            "rule 102 to 203.0.113.10/32 lookup 254",
            "rule 106 nop",
            "rule 102 iif natlb-pub from 198.51.100.1/32 goto 106",
            "rule 102 iif natlb-pub from 203.0.113.10/32 goto 106",
            "rule 103 iif natlb-pub prohibit",
            "rule 103 iif natlb-prv from 10.77.0.11/32 prohibit",
            "rule 105 iif pub prohibit",
            "rule 105 iif prv prohibit",
            "net/ipv4/conf/pub/forwarding = 1",
            "net/ipv4/conf/prv/forwarding = 1",
            "device natlb-pub",
            "device natlb-prv",
            "route 203.0.113.10/32 dev natlb-pub table 254",
            "route 0.0.0.0/0 dev natlb-prv table 6285",
            "net/ipv4/icmp_errors_use_inbound_ifaddr = 1",
            "rule 100 iif prv from 10.77.0.11/32 lookup 6285",
            "rule 100 iif prv to 203.0.113.10/32 lookup 6285",
            "rule 101 iif lo from 192.0.0.11/32 ipproto 1 lookup 6285",
            "rule 102 iif prv ipproto 1 lookup 6285",
        ]
        assert cleanup(journal, netns) == []


def test_what_asks_for_the_hosts_own_addresses_is_put_back_before_it_is_taken_away() -> None:
    """Without a journal: a host that does not know itself could be mended by nobody from afar."""
    with gateway() as place:
        before = snapshot(place.gateway)
        with Hands() as hands:
            MoveLocal(netns=place.gateway, version=4, priority=94).do(hands)

        assert sweep(place.gateway) == ["rule 94 of IPv4"]
        assert snapshot(place.gateway) == before
