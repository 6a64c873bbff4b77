"""A real host under driver packet: silent about what natlb takes, and what it refuses to begin on.

client c0 ── pub [ gateway ] prv ── b0 backend. No natlb runs here: the sockets are read by hand,
and the judge of what the host itself does is who is at the other ends.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.host import (
    Journal,
    KernelReader,
    Links,
    apply,
    operations,
    resolve,
    undo,
)
from natlb.control.host.operations import complete
from natlb.control.host.plan import SideWanted
from natlb.control.host.tun import open_tun
from natlb.control.host.upkeep import Upkeep
from natlb.control.roles import Role
from natlb.errors import HostError
from natlb.netlink import Netlink, inside
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
    default_by,
    forwards,
    gateway,
    ip,
    join,
    send,
    snapshot,
    udp,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from natlb.control.host import HostPlan, Wanted
    from natlb.control.queues import Way

pytestmark = pytest.mark.netns
VERSIONS = [4, 6]
SETTLE = 0.3  # seconds in which a host answers that answers at all: this one must not
TO_LINK = 10 + 14  # octets of a virtio-net header and an Ethernet header


@pytest.fixture(scope="module")
def place() -> Iterator[Gateway]:
    """Return client, gateway and backend; the gateway forwards everything, as a router does."""
    with gateway() as made:
        forwards(made.gateway, open_before=True)
        yield made


def asked(place: Gateway, *vips: str, versions: str = "46", **changes: Any) -> Wanted:
    """Return a wish for driver packet."""
    return replace(place.wanted(*vips, versions=versions), driver="packet", **changes)


def resolved(wanted: Wanted) -> HostPlan:
    """Return the plan for the real host."""
    with KernelReader() as reader:
        return resolve(wanted, reader)


@contextmanager
def applied(wanted: Wanted, folder: Path) -> Iterator[tuple[HostPlan, Links, list[Way]]]:
    """Have the host look so, with the sockets, and put it back."""
    plan, journal = resolved(wanted), Journal(folder / "journal")
    known, ways = Links(), list[tuple[object, int]]()
    try:
        apply(operations(None, plan), journal)
        ways = known.renew(plan, [])  # type: ignore[assignment]
        yield plan, known, ways  # type: ignore[misc]
    finally:
        for _, fd in ways:
            os.close(fd)
        undo(journal)


def packets(ways: list[Way], side: int, count: int) -> list[bytes]:
    """Return the next IP packets that enter the side's sockets."""
    fds = [fd for said, fd in ways if said.role is Role.LINK and said.value >> 32 == side]
    found: list[bytes] = []
    while len(found) < count:
        ready = select.select(fds, [], [], 20)[0]
        assert ready, f"{len(found)} of {count} packets came"
        found += [os.read(fd, 1 << 17)[TO_LINK:] for fd in ready]
    return found


def heard(ways: list[Way], say: Callable[[], None]) -> bytes:
    """Return the first packet of the public side, said until it is heard: a carrier takes time."""
    fds = [fd for said, fd in ways if said.role is Role.LINK and said.value >> 32 == 0]

    def is_heard() -> bool:
        say()
        return bool(select.select(fds, [], [], 0.1)[0])

    wait_until(is_heard, 20)
    return packets(ways, 0, 1)[0]


def test_the_host_neither_answers_nor_forwards_nor_is_changed_otherwise(
    place: Gateway, tmp_path: Path
) -> None:
    """Though it routes everything: a client of a VIP hears nothing, nor does one of a backend."""
    before = snapshot(place.gateway)
    with applied(asked(place, VIP4, VIP6), tmp_path) as (plan, _, ways):
        for version, vip, backend, client in (
            (4, VIP4, BACKEND4, CLIENT4),
            (6, VIP6, BACKEND6, CLIENT6),
        ):
            with udp(place.client, version) as caller, udp(place.client, version) as called:
                caller.connect((vip, 9))
                caller.send(b"to a VIP")
                [packet] = packets(ways, 0, 1)
                assert packet.endswith(b"to a VIP")
                called.bind((client, 9000 + version))
                send(place.backend, client, b"from a backend", 9000 + version, source=backend)
                [packet] = packets(ways, 1, 1)
                assert packet.endswith(b"from a backend")
                # An ICMP error would be raised, a forwarded packet read.
                for quiet in (caller, called):
                    quiet.settimeout(SETTLE)
                    with pytest.raises(TimeoutError):
                        quiet.recv(100)
        during = snapshot(place.gateway)
        changed = {key for key in before if before[key] != during[key]}
        assert {each.split()[0] for each in changed} == {"route", "rule"}
        assert len(complete(plan)) == 6
    assert snapshot(place.gateway) == before


def test_what_a_backend_sends_to_the_host_itself_comes_in_once(
    place: Gateway, tmp_path: Path
) -> None:
    """Answers to checks are the host's; natlb does not see them."""
    with applied(asked(place), tmp_path) as (_, _, ways), udp(place.gateway) as server:
        server.bind(("10.77.0.1", 9100))
        send(place.backend, "10.77.0.1", b"an answer", 9100)
        assert server.recv(100) == b"an answer"
        send(place.backend, CLIENT4, b"something else")
        [packet] = packets(ways, 1, 1)
        assert packet.endswith(b"something else")


def test_questions_for_a_vip_are_natlbs_to_answer(place: Gateway, tmp_path: Path) -> None:
    """They come in, of either IP version, and the kernel says nothing to them."""
    with applied(asked(place, SUBNET_VIP4, SUBNET_VIP6), tmp_path) as (_, _, ways):
        link = next(fd for said, fd in ways if said.role is Role.LINK)
        kinds = set[bytes]()
        send(place.client, SUBNET_VIP4)
        send(place.client, SUBNET_VIP6)
        while kinds != {b"\x08\x06", b"\x86\xdd"}:
            assert select.select([link], [], [], 20)[0]
            kinds.add(os.read(link, 1 << 17)[10 + 12 :][:2])
        time.sleep(SETTLE)
        for version, vip in ((4, SUBNET_VIP4), (6, SUBNET_VIP6)):
            [seen] = ip(place.client, f"-{version}", "neighbour", "show", "to", vip)
            assert "lladdr" not in seen


def test_what_others_take_away_is_made_again(place: Gateway, tmp_path: Path) -> None:
    """As it is for a TUN, and told once."""
    with applied(asked(place, VIP4, VIP6), tmp_path) as (plan, _, _):
        for version in ("-4", "-6"):
            command = ["ip", "-n", place.gateway, version]
            subprocess.run([*command, "rule", "flush", "protocol", "78"], check=False)
            subprocess.run([*command, "route", "flush", "proto", "78"], check=True)
            subprocess.run([*command, "rule", "del", "pref", "100"], check=False)
        upkeep = Upkeep(Journal(tmp_path / "journal"))
        found = upkeep.stand(plan, 1.0)
        again = upkeep.stand(plan, 2.0)

        assert [fact.kind for fact in found.facts] == ["host_repaired"]
        assert found.is_whole
        assert "route blackhole 203.0.113.10/32" in found.facts[0].fields["what"]
        assert again.facts == []


def test_an_interface_that_is_made_again_is_received_from_again(tmp_path: Path) -> None:
    """Deleted, absent for a while, and there under another number."""
    with (
        gateway() as made,
        applied(asked(made, VIP4, versions="4"), tmp_path) as (
            plan,
            known,
            ways,
        ),
    ):
        with Netlink(made.gateway) as netlink:
            netlink.delete_link("pub")
        assert known.renew(plan, ways) == []
        join((made.client, "c0", 2), (made.gateway, "pub", 1), "198.51.100.", "2001:db8:1::")
        default_by(made.client, "198.51.100.1", "2001:db8:1::1")
        new = known.renew(plan, ways)
        try:
            assert [said.role for said, _ in new] == [Role.LINK]
            assert heard(new, partial(send, made.client, VIP4, b"again")).endswith(b"again")
        finally:
            for _, fd in new:
                os.close(fd)


@pytest.mark.parametrize("mtu", [68, 9000, 65_535])
def test_an_unusual_mtu_is_no_trouble(tmp_path: Path, mtu: int) -> None:
    """A link of 68 octets has no IPv6; one of 65,535 holds the largest packet there is."""
    with gateway() as made:
        for netns, link in ((made.client, "c0"), (made.gateway, "pub")):
            with Netlink(netns) as netlink:
                netlink.set_mtu(link, mtu)
        with applied(asked(made, VIP4, versions="4"), tmp_path) as (
            plan,
            _,
            ways,
        ):
            payload = bytes(min(mtu, 9000) - 28)
            packet = heard(ways, partial(send, made.client, VIP4, payload))
            assert len(packet) == len(payload) + 28
            assert plan.public.way_mtu == mtu


def test_an_interface_without_an_address_or_down_for_a_while_does(tmp_path: Path) -> None:
    """The socket lives through it, and receives when it is up."""
    with gateway() as made:
        wish = asked(
            made,
            VIP4,
            versions="4",
            public=SideWanted(netns=made.gateway, interfaces=("pub",)),
            private=SideWanted(netns=made.gateway, interfaces=("prv",)),
        )
        with Netlink(made.gateway) as netlink:
            netlink.delete_address("pub", "198.51.100.1/24")
        with applied(wish, tmp_path) as (plan, known, ways):
            assert plan.public.address4 is None
            with Netlink(made.gateway) as netlink:
                netlink.set_down("pub")
                netlink.set_up("pub")
                netlink.add_address("pub", "198.51.100.1/24")
            assert known.renew(plan, ways) == []
            link = next(fd for said, fd in ways if said.role is Role.LINK)
            with pytest.raises(OSError, match="Network is down"):
                os.read(link, 1 << 17)  # once
            packet = heard(ways, partial(send, made.client, VIP4, b"up again"))
            assert packet.endswith(b"up again")


def test_what_an_interface_must_be_is_said(place: Gateway) -> None:
    """With what to name or to use instead; nothing has been changed by then."""
    refused = partial(pytest.raises, HostError)

    def named(name: str) -> Wanted:
        return asked(place, VIP4, public=SideWanted(netns=place.gateway, interfaces=(name,)))

    with Netlink(place.gateway) as netlink:
        netlink.add_bridge("br0")
        netlink.add_veth("port0", "port1")
        netlink.set_master("port0", "br0")
        for each in ("br0", "port0"):
            netlink.set_up(each)
    with inside(place.gateway):
        tun = open_tun("tun7")
    try:
        with Netlink(place.gateway) as netlink:
            netlink.set_up("tun7")
        with refused(match="port0 is a port of br0, which driver packet cannot do$") as port:
            resolved(named("port0"))
        with refused(match="interface tun7 is no Ethernet, which driver packet cannot do$") as tun7:
            resolved(named("tun7"))
        with refused(match="interface port1 is down"):
            resolved(named("port1"))
        with refused(match="no interface 'lo'"):
            resolved(named("lo"))
        with refused(match="VIP 198.51.100.1 is an address of this host, which driver packet"):
            resolved(asked(place, "198.51.100.1"))
        assert port.value.fix == "name br0 instead"
        assert tun7.value.fix == "datapath: {driver: tun}"
        assert resolved(named("br0")).public.devices[0].name == "br0"
    finally:
        os.close(tun.fd)
        with Netlink(place.gateway) as netlink:
            netlink.delete_link("br0")
            netlink.delete_link("port0")
