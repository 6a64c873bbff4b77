"""Every kind of plan on a real host: what was applied stands, what is taken away comes back."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from natlb.control.host import Journal, KernelReader, Upkeep, apply, operations, resolve, undo
from natlb.control.host.operation import PROTOCOL
from natlb.control.host.plan import Ports
from natlb.control.host.upkeep import Outcome
from natlb.netlink import Netlink
from tests.gateway import (
    SUBNET_VIP4,
    SUBNET_VIP6,
    VIP4,
    VIP6,
    close,
    forwards,
    gateway,
    ip,
    snapshot,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.netns

VIPS = [(VIP4, VIP6), (SUBNET_VIP4, SUBNET_VIP6), ("198.51.100.1", "2001:db8:1::1")]
SOURCES = (ip_address("10.77.0.200"), ip_address("fd77::200"))


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("vips", VIPS)
def test_after_any_havoc_all_stands_again_and_is_put_back_as_it_was(
    tmp_path: Path, vips: tuple[str, ...], *, force: bool
) -> None:
    """Nothing is mended that stands, everything that does not, and the end is the beginning."""
    journal = Journal(tmp_path / "journal")
    with gateway() as place:
        forwards(place.gateway, open_before=False)
        before = snapshot(place.gateway)
        wish = place.wanted(*vips)
        listens = tuple(Ports(address=vip, protocol=6, first=80, last=89) for vip in wish.vips)
        wish = replace(wish, sources=SOURCES, listens=listens)
        with KernelReader() as reader:
            plan = replace(resolve(wish, reader), force_forwarding=force)
        queues = apply(operations(None, plan), journal)
        applied = snapshot(place.gateway)
        upkeep = Upkeep(journal)
        assert upkeep.stand(plan, 0.0) == Outcome()
        with Netlink(place.gateway) as netlink:
            for version in (4, 6):
                for rule in netlink.rules(version):
                    if rule.protocol == PROTOCOL:
                        netlink.delete_rule(rule)
                for proxy in netlink.proxies(version):
                    netlink.delete_proxy(proxy)
        for tun in queues:
            ip(place.gateway, "link", "set", tun, "down")
            ip(place.gateway, "addr", "flush", "dev", tun)
        outcome = upkeep.stand(plan, 1.0)

        assert ([fact.kind for fact in outcome.facts], outcome.is_whole) == (
            ["host_repaired"],
            True,
        )
        assert upkeep.stand(plan, 2.0) == Outcome()
        assert snapshot(place.gateway) == applied
        undo(journal)
        close(queues)
        assert snapshot(place.gateway) == before
