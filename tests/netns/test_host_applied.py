"""The whole of what natlb does to a host, and back, on real namespaces; `ip` and /proc judge."""

from __future__ import annotations

import os
import select
from dataclasses import replace
from importlib import import_module
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.host import (
    Journal,
    KernelReader,
    apply,
    operations,
    repair,
    resolve,
    undo,
)
from natlb.control.host.operations import complete
from natlb.control.host.plan import Ports
from natlb.netlink import Netlink, write_sysctl
from tests.gateway import (
    BACKEND4,
    BACKEND6,
    CLIENT4,
    CLIENT6,
    SUBNET_VIP4,
    SUBNET_VIP6,
    VIP4,
    VIP6,
    Gateway,
    close,
    ends,
    first_packet,
    forwards,
    gateway,
    ip,
    packets,
    send,
    snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from natlb.control.host import HostPlan

pytestmark = pytest.mark.netns

HOST_VIP4, HOST_VIP6 = "198.51.100.1", "2001:db8:1::1"
VIPS = [(VIP4, VIP6), (SUBNET_VIP4, SUBNET_VIP6), (HOST_VIP4, HOST_VIP6)]
SOURCES = (ip_address("10.77.0.200"), ip_address("fd77::200"))


class Killed(BaseException):
    """What stops a process where it stands, in a test that goes on."""


class MortalJournal(Journal):
    """A journal whose writer is killed right after a line: the one of this number."""

    def __init__(self, path: Path, last: int) -> None:
        """Live for so many lines."""
        super().__init__(path)
        self.left = last

    def _append(self, line: dict[str, Any]) -> None:
        super()._append(line)
        if self.left == 0:
            raise Killed
        self.left -= 1


@pytest.fixture
def place() -> Iterator[Gateway]:
    """Return a gateway that forwards nothing."""
    with gateway() as made:
        yield made


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Return an empty journal."""
    return Journal(tmp_path / "journal")


def plan_of(place: Gateway, *vips: str, **changed: Any) -> HostPlan:
    """Return the plan for these VIPs on this host."""
    with KernelReader() as reader:
        wish = place.wanted(*vips)
        listens = tuple(Ports(address=vip, protocol=6, first=80, last=89) for vip in wish.vips)
        wish = replace(wish, sources=SOURCES, listens=listens)
        return replace(resolve(wish, reader), **changed)


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("open_before", [False, True])
@pytest.mark.parametrize("vips", VIPS)
def test_applied_and_undone_the_host_is_as_it_was(
    place: Gateway, journal: Journal, vips: tuple[str, ...], *, open_before: bool, force: bool
) -> None:
    """Addresses, routes, rules, proxies and every value under /proc/sys/net/ipv4 and ipv6."""
    forwards(place.gateway, open_before=open_before)
    before = snapshot(place.gateway)
    plan = plan_of(place, *vips, force_forwarding=force)
    queues = apply(operations(None, plan), journal)

    assert snapshot(place.gateway) != before
    undo(journal)
    close(queues)

    assert snapshot(place.gateway) == before
    assert not journal.path.exists()


@pytest.mark.parametrize(("vips", "force"), [(VIPS[0], False), (VIPS[1], True), (VIPS[2], True)])
def test_killed_at_any_line_of_the_journal_the_host_can_be_put_back(
    place: Gateway,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    vips: tuple[str, ...],
    *,
    force: bool,
) -> None:
    """The line is there, its change is not; all lines before have theirs."""
    before = snapshot(place.gateway)
    steps = operations(None, plan_of(place, *vips, force_forwarding=force))
    # The dead take nothing back.
    module = import_module("natlb.control.host.apply")
    monkeypatch.setattr(module, "_take_back", lambda *_: None)
    for last in range(len(steps)):
        with pytest.raises(Killed):
            apply(steps, MortalJournal(journal.path, last))

        assert len(journal.entries()) == last + 1
        undo(journal)

        assert snapshot(place.gateway) == before, f"killed at {steps[last].operation}"


def test_killed_while_undoing_it_is_undone_by_the_next_attempt(
    place: Gateway, journal: Journal
) -> None:
    """An operation undone twice changes nothing."""
    before = snapshot(place.gateway)
    steps = operations(None, plan_of(place, SUBNET_VIP4, HOST_VIP6))
    for last in range(0, len(steps), 5):
        queues = apply(steps, journal)
        with pytest.raises(Killed):
            undo(MortalJournal(journal.path, last))
        close(queues)
        undo(journal)

        assert snapshot(place.gateway) == before


def test_a_reload_changes_what_differs_and_undoing_takes_back_all(
    place: Gateway, journal: Journal
) -> None:
    """Devices and what both plans want stay untouched; then the host is as it was."""
    before = snapshot(place.gateway)
    first = plan_of(place)
    queues = apply(operations(None, first), journal)
    with KernelReader() as reader:
        wish = place.wanted(VIP4, SUBNET_VIP4, HOST_VIP6, backends=("10.77.0.10", BACKEND4))
        second = resolve(wish, reader).remembering(first)

    assert apply(operations(first, second), journal) == {}
    standing = {entry.operation for entry in journal.entries()}

    assert standing == set(complete(second))
    assert {rule.get("src") for rule in ip(place.gateway, "rule")} >= {"10.77.0.10"}
    send(place.client, SUBNET_VIP4)

    assert ends(first_packet(queues["natlb-pub"]))[:2] == (CLIENT4, SUBNET_VIP4)
    undo(journal)
    close(queues)

    assert snapshot(place.gateway) == before


def test_an_ipv4_plan_needs_no_ipv6_on_the_host(place: Gateway, journal: Journal) -> None:
    """It is off on every interface here."""
    write_sysctl("net/ipv6/conf/all/disable_ipv6", "1", netns=place.gateway)
    with KernelReader() as reader:
        plan = resolve(place.wanted(versions="4"), reader)
    queues = apply(operations(None, plan), journal)
    send(place.client, VIP4)
    send(place.backend, CLIENT4)

    assert ends(first_packet(queues["natlb-pub"]))[:2] == (CLIENT4, VIP4)
    assert ends(first_packet(queues["natlb-prv"]))[:2] == (BACKEND4, CLIENT4)
    undo(journal)
    close(queues)


@pytest.mark.parametrize("lost", ["natlb-pub", "natlb-prv"])
def test_a_device_deleted_under_natlb_comes_back_with_its_routes(
    place: Gateway, journal: Journal, lost: str
) -> None:
    """And all of it is undone in the end."""
    before = snapshot(place.gateway)
    plan = plan_of(place)
    queues = apply(operations(None, plan), journal)
    with Netlink(place.gateway) as netlink:
        netlink.delete_link(lost)
    poll = select.poll()
    poll.register(queues[lost].fd, 0)

    assert poll.poll(0)[0][1] & select.POLLERR
    os.close(queues[lost].fd)
    queues |= apply(repair(plan, lost), journal)
    for vip in (VIP4, VIP6):
        send(place.client, vip)
        assert ends(first_packet(queues["natlb-pub"]))[1] == vip
    for version, source in ((4, BACKEND4), (6, BACKEND6)):
        send(place.backend, CLIENT4 if version == 4 else CLIENT6)
        assert ends(first_packet(queues["natlb-prv"]))[0] == source
    undo(journal)
    close(queues)

    assert snapshot(place.gateway) == before


def test_everybody_killed_leaves_no_device_and_the_rest_is_undone(
    place: Gateway, journal: Journal
) -> None:
    """The kernel takes the devices with the last queue; the journal has the rest."""
    before = snapshot(place.gateway)
    close(apply(operations(None, plan_of(place, *VIPS[1])), journal))
    with Netlink(place.gateway) as netlink:
        assert not netlink.has_link("natlb-pub")

    assert snapshot(place.gateway) != before
    undo(Journal(journal.path))

    assert snapshot(place.gateway) == before


def test_only_what_goes_to_a_vip_or_comes_from_a_backend_enters_a_device(
    place: Gateway, journal: Journal
) -> None:
    """Of all that passes a busy gateway: counted at the queues, for both IP versions.

    And ICMP by a private interface: it may be a router's error about what natlb sent.
    """
    forwards(place.gateway, open_before=True)
    with Netlink(place.backend) as backend:
        backend.add_address("b0", "10.77.0.12/24")
        backend.add_address("b0", "fd77::12/64")
    queues = apply(operations(None, plan_of(place)), journal)
    for address in (
        "10.77.0.12",  # straight to a private host
        "fd77::12",
        "198.51.100.1",  # to the gateway itself
        "2001:db8:1::1",
        "203.0.113.11",  # beside the VIP
        "2001:db8:2::11",
    ):
        send(place.client, address)
    for address, source in (
        (CLIENT4, "10.77.0.12"),  # from a private host that is no backend
        (CLIENT6, "fd77::12"),
        ("192.0.2.7", "10.77.0.12"),
    ):
        send(place.backend, address, source=source)
    send(place.backend, "10.77.0.1")  # from a backend to the gateway itself
    send(place.backend, "fd77::1")
    for address in (CLIENT4, CLIENT6, BACKEND4, BACKEND6, "192.0.2.7"):
        send(place.gateway, address)

    assert packets(queues["natlb-pub"], 1.2) == []
    assert {ends(each)[2] for each in packets(queues["natlb-prv"])} <= {1, 58}
    for _ in range(5):
        send(place.client, VIP4)
        send(place.client, VIP6)
        send(place.backend, CLIENT4, source=BACKEND4)
        send(place.backend, CLIENT6, source=BACKEND6)

    assert [ends(each)[1] for each in packets(queues["natlb-pub"])] == [VIP4, VIP6] * 5
    entered = [ends(each) for each in packets(queues["natlb-prv"])]

    assert [each[0] for each in entered if each[2] == 17] == [BACKEND4, BACKEND6] * 5
    undo(journal)
    close(queues)


def test_fragments_and_errors_of_a_backend_enter_too(place: Gateway, journal: Journal) -> None:
    """They have no port to tell them by."""
    queues = apply(operations(None, plan_of(place)), journal)
    send(place.backend, CLIENT4, b"x" * 4000)
    got = packets(queues["natlb-prv"])

    assert [ends(each) for each in got] == [(BACKEND4, CLIENT4, 17)] * 3
    offsets = [int.from_bytes(each[6:8]) & 0x1FFF for each in got]

    assert offsets == [0, 185, 370]
    undo(journal)
    close(queues)


def test_a_route_to_the_vip_that_is_somebody_elses_is_not_replaced(
    place: Gateway, journal: Journal
) -> None:
    """Refused, with nothing left behind."""
    with Netlink(place.gateway) as netlink:
        ip(place.gateway, "route", "add", "blackhole", VIP4)
        before = snapshot(place.gateway)
        with pytest.raises(Exception, match=f"route {VIP4}/32 dev natlb-pub.*File exists"):
            apply(operations(None, plan_of(place)), journal)

        assert not netlink.has_link("natlb-pub")

    assert snapshot(place.gateway) == before
    assert journal.entries() == []
