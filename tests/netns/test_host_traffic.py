"""What goes where once a host is set up: closed ones stay closed, packets find their way."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.packet import raw

from natlb.control.host import Journal, KernelReader, apply, operations, resolve, undo
from natlb.control.host.plan import SideWanted, Wanted
from natlb.errors import HostError
from natlb.netlink import Netlink, Route, call_inside, write_sysctl
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
    default_by,
    ends,
    first_packet,
    first_read,
    forwards,
    gateway,
    ip,
    join,
    namespaces_of,
    packets,
    send,
    snapshot,
    sysctl,
    udp,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from natlb.control.host import HostPlan, Tun

pytestmark = pytest.mark.netns
VERSIONS = [4, 6]
IP_RECVERR = 11  # Linux: in.h; errors of the network are reported to the socket


@dataclass
class Standing:
    """A host that is set up."""

    plan: HostPlan
    public: Tun
    private: Tun


@contextmanager
def standing(wanted: Wanted, folder: Path, **changed: Any) -> Iterator[Standing]:
    """Set the host up for as long as the block lasts."""
    with KernelReader() as reader:
        plan = replace(resolve(wanted, reader), **changed)
    journal = Journal(folder / "journal")
    queues = apply(operations(None, plan), journal)
    try:
        yield Standing(plan, queues["natlb-pub"], queues["natlb-prv"])
    finally:
        undo(journal)
        close(queues)


@pytest.fixture
def place() -> Iterator[Gateway]:
    """Return a gateway that forwards nothing."""
    with gateway() as made:
        yield made


def reaches(source: str, target: str, address: str, port: int = 7000) -> bool:
    """Return whether a datagram from the one namespace arrives in the other."""
    with udp(target, ip_address(address).version) as listener:
        listener.bind((address, port))
        listener.settimeout(0.3)
        send(source, address, b"reached", port)
        try:
            return listener.recv(100) == b"reached"
        except TimeoutError:
            return False


def datagram(version: int, source: str, destination: str, ttl: int = 63) -> bytes:
    """Return a UDP datagram to port 7000 as octets."""
    payload = UDP(sport=5, dport=7000) / b"reached"
    if version == 4:
        return raw(IP(src=source, dst=destination, ttl=ttl) / payload)
    return raw(IPv6(src=source, dst=destination, hlim=ttl) / payload)


def addresses(version: int) -> tuple[str, str, str]:
    """Return client, VIP and backend of an IP version."""
    return (CLIENT4, VIP4, BACKEND4) if version == 4 else (CLIENT6, VIP6, BACKEND6)


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("open_before", [True, False])
def test_forwarding_turned_on_opens_nothing_else(
    place: Gateway, tmp_path: Path, version: int, *, open_before: bool, force: bool
) -> None:
    """A private host that is no VIP is reached from outside as it was before, or was not."""
    _, _, backend = addresses(version)
    forwards(place.gateway, open_before=open_before)

    assert reaches(place.client, place.backend, backend) == open_before
    with standing(place.wanted(), tmp_path, force_forwarding=force):
        assert reaches(place.client, place.backend, backend) == open_before

    assert reaches(place.client, place.backend, backend) == open_before


@pytest.mark.parametrize("version", VERSIONS)
def test_an_interface_that_is_no_side_is_not_opened_before_force_forwarding(
    place: Gateway, tmp_path: Path, version: int
) -> None:
    """There IPv6 forwards on every interface, on those as well that come while natlb runs."""
    _, _, backend = addresses(version)
    with (
        standing(place.wanted(), tmp_path, force_forwarding=False),
        namespaces_of("late") as [late],
    ):
        join((late, "late1", 2), (place.gateway, "late0", 1), "10.99.0.", "fd99::")
        default_by(late, "10.99.0.1", "fd99::1")

        assert not reaches(late, place.backend, backend)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("open_before", [True, False])
def test_what_natlb_writes_reaches_backend_and_client(
    place: Gateway, tmp_path: Path, version: int, *, open_before: bool
) -> None:
    """A packet to the VIP comes out of the one device; the other takes it on, and back."""
    client, vip, backend = addresses(version)
    forwards(place.gateway, open_before=open_before)
    with standing(place.wanted(), tmp_path) as host:
        send(place.client, vip)

        assert ends(first_packet(host.public))[:2] == (client, vip)
        for target, address, tun, source in (
            (place.backend, backend, host.private, client),
            (place.client, client, host.public, vip),
        ):
            with udp(target, version) as listener:
                listener.bind((address, 7000))
                write(tun, datagram(version, source, address))

                assert listener.recvfrom(100)[1][0] == source


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("all_filters", ["0", "1", "2"])
def test_reverse_path_filters_of_the_host_do_not_drop_what_natlb_writes(
    place: Gateway, tmp_path: Path, version: int, all_filters: str
) -> None:
    """The value in force is the larger of `all` and the device's."""
    client, vip, backend = addresses(version)
    write_sysctl("net/ipv4/conf/all/rp_filter", all_filters, netns=place.gateway)
    with standing(place.wanted(), tmp_path) as host:
        for target, address, tun, source in (
            (place.backend, backend, host.private, client),
            (place.client, client, host.public, vip),
        ):
            with udp(target, version) as listener:
                listener.bind((address, 7000))
                write(tun, datagram(version, source, address))

                assert listener.recv(100) == b"reached"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("device", ["public", "private"])
@pytest.mark.parametrize("open_before", [True, False])
def test_a_backends_own_packet_goes_on_as_the_host_would_have_routed_it(
    place: Gateway, tmp_path: Path, device: str, version: int, *, open_before: bool
) -> None:
    """Handed back untouched by either device: where nothing was forwarded, it is not now."""
    client, _, backend = addresses(version)
    forwards(place.gateway, open_before=open_before)
    with standing(place.wanted(), tmp_path) as host, udp(place.client, version) as listener:
        send(place.backend, client, b"reached", 7000)
        whole = first_read(host.private)  # its checksum is unfinished, as its header says
        listener.bind((client, 7000))
        listener.settimeout(0.3)
        os.write(getattr(host, device).fd, whole)
        if open_before:
            assert listener.recvfrom(100)[1][0] == backend
        else:
            with pytest.raises(TimeoutError):
                listener.recv(100)


@pytest.mark.parametrize("version", VERSIONS)
def test_natlbs_own_errors_may_come_from_the_hosts_address(
    place: Gateway, tmp_path: Path, version: int
) -> None:
    """Linux drops a packet that comes in with an address of its own, unless told otherwise."""
    client, vip, _ = addresses(version)
    with standing(place.wanted(), tmp_path) as host, udp(place.client, version) as sender:
        sender.connect((vip, 7000))
        sender.send(b"x")
        quoted = first_packet(host.public)
        source = str(host.plan.public.error_source(4 if version == 4 else 6))
        if version == 4:
            error = raw(IP(src=source, dst=client) / ICMP(type=3, code=13) / quoted)
        else:
            error = raw(IPv6(src=source, dst=client) / ICMPv6DestUnreach(code=1) / quoted)
        write(host.public, error)
        with pytest.raises(OSError, match=r"route|denied"):
            sender.recv(100)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("open_before", [True, False])
def test_the_kernels_errors_about_what_natlb_wrote_come_to_natlb(
    place: Gateway, tmp_path: Path, version: int, *, open_before: bool
) -> None:
    """They quote private addresses: a dead backend, a route gone. None leaves untranslated."""
    client, _, backend = addresses(version)
    own = "192.0.0.11" if version == 4 else "fd6e:6174:6c62::8"
    forwards(place.gateway, open_before=open_before)
    with standing(place.wanted(), tmp_path) as host:
        write(host.private, datagram(version, client, backend, ttl=1))
        expired = first_packet(host.private)

        assert ends(expired) == (own, client, 1 if version == 4 else 58)
        with Netlink(place.backend) as dead:
            dead.delete_address("b0", f"{backend}/{24 if version == 4 else 64}")
        ip(place.gateway, f"-{version}", "neighbour", "flush", "dev", "prv")
        write(host.private, datagram(version, client, backend))
        unreachable = first_packet(host.private, seconds=6)

        assert ends(unreachable)[:2] == (own, client)
        assert packets(host.public) == []


def test_errors_of_the_host_that_are_not_about_natlb_stay_out_of_it(
    place: Gateway, tmp_path: Path
) -> None:
    """A traceroute through the gateway to a private host is none of natlb's business."""
    forwards(place.gateway, open_before=True)
    with standing(place.wanted(), tmp_path) as host:
        with udp(place.client) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
            sender.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            sender.connect((BACKEND4, 7000))
            sender.send(b"x")
            with pytest.raises(OSError, match="route"):
                sender.recv(10)

        assert packets(host.private) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("open_before", [True, False])
@pytest.mark.parametrize("force", [True, False])
def test_a_vip_in_the_public_subnet_answers_at_once(
    place: Gateway, tmp_path: Path, version: int, *, open_before: bool, force: bool
) -> None:
    """By ARP or neighbour discovery, without the 0.8 s that a proxy may take."""
    vip = SUBNET_VIP4 if version == 4 else SUBNET_VIP6
    forwards(place.gateway, open_before=open_before)
    wish = place.wanted(SUBNET_VIP4, SUBNET_VIP6)
    with standing(wish, tmp_path, force_forwarding=force) as host:
        send(place.client, vip)

        assert ends(first_packet(host.public, seconds=0.25))[1] == vip


@pytest.mark.parametrize("force", [True, False])
def test_router_advertisements_are_still_heard_on_interfaces_that_forward(
    place: Gateway, tmp_path: Path, *, force: bool
) -> None:
    """An interface that forwards ignores them, unless told otherwise before it does."""
    key = "net/ipv6/conf/pub/accept_ra"
    wish = place.wanted(SUBNET_VIP4, SUBNET_VIP6)

    assert sysctl(place.gateway, key) == "1"
    with standing(wish, tmp_path, force_forwarding=force):
        assert sysctl(place.gateway, "net/ipv6/conf/pub/forwarding") == "1"
        assert sysctl(place.gateway, key) == "2"

    assert sysctl(place.gateway, key) == "1"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_kernel_that_cannot_force_forwards_ipv6_all_the_same(
    place: Gateway, tmp_path: Path, version: int
) -> None:
    """Linux before 6.17."""
    client, vip, backend = addresses(version)
    with (
        standing(place.wanted(), tmp_path, force_forwarding=False) as host,
        udp(place.backend, version) as listener,
    ):
        listener.bind((backend, 7000))
        send(place.client, vip)

        assert ends(first_packet(host.public))[:2] == (client, vip)
        write(host.private, datagram(version, client, backend))

        assert listener.recv(100) == b"reached"


@contextmanager
def hearing(netns: str, version: int) -> Iterator[socket.socket]:
    """Listen to every IP packet of one version that reaches a namespace."""
    protocol = 0x0800 if version == 4 else 0x86DD
    wire = call_inside(
        netns,
        lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(protocol)),
    )
    with wire:
        wire.setblocking(False)
        yield wire


def addresses_in(wire: socket.socket) -> set[str]:
    """Return the sources and destinations of what was heard."""
    found: set[str] = set()
    while True:
        try:
            found |= set(ends(wire.recv(2000))[:2])
        except BlockingIOError:
            return found


@contextmanager
def two_sides(*, private_default: bool) -> Iterator[tuple[str, str, str, str, Wanted]]:
    """Make client, public and private namespace, backend, joined by nothing in the middle."""
    with namespaces_of("c", "l", "r", "b") as (client, left, right, backend):
        join((client, "c0", 2), (left, "pub", 1), "198.51.100.", "2001:db8:1::")
        join((backend, "b0", 11), (right, "prv", 1), "10.77.0.", "fd77::")
        default_by(client, "198.51.100.1", "2001:db8:1::1")
        default_by(backend, "10.77.0.1", "fd77::1")
        if private_default:
            default_by(right, "10.77.0.254", "fd77::fe")
        wish = Wanted(
            public=SideWanted(netns=left),
            private=SideWanted(netns=right),
            vips=(ip_address(VIP4), ip_address(VIP6)),
            backends=(ip_address(BACKEND4), ip_address(BACKEND6)),
        )
        yield client, left, right, backend, wish


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("private_default", [True, False])
@pytest.mark.parametrize("all_filters", ["0", "1"])
def test_natlb_alone_joins_two_namespaces(
    tmp_path: Path, version: int, all_filters: str, *, private_default: bool
) -> None:
    """A device in each; nothing crosses but services, and nothing of a stranger's enters."""
    client, vip, backend = addresses(version)
    with two_sides(private_default=private_default) as (c, left, right, b, wish):
        for netns in (left, right):
            write_sysctl("net/ipv4/conf/all/rp_filter", all_filters, netns=netns)
        before = snapshot(left), snapshot(right)
        with standing(wish, tmp_path) as host:
            send(c, vip)
            send(b, client)

            assert ends(first_packet(host.public))[:2] == (client, vip)
            assert ends(first_packet(host.private))[:2] == (backend, client)
            for target, address, tun, source in (
                (b, backend, host.private, client),
                (c, client, host.public, vip),
            ):
                with udp(target, version) as listener:
                    listener.bind((address, 7000))
                    write(tun, datagram(version, source, address))

                    assert listener.recvfrom(100)[1][0] == source
            with udp(c, version) as listener, hearing(c, version) as wire:
                default_by(left, CLIENT4, CLIENT6)
                listener.bind((client, 7000))
                listener.settimeout(0.3)
                write(host.public, datagram(version, backend, client))
                with pytest.raises(TimeoutError):
                    listener.recv(100)
                assert backend not in addresses_in(wire), "nor an error about it"
                for everything in ("0.0.0.0/0", "::/0"):
                    with Netlink(left) as netlink:
                        netlink.delete_route(Route(destination=ip_network(everything)))
            own = "192.0.0.11" if version == 4 else "fd6e:6174:6c62::8"
            write(host.private, datagram(version, client, backend, ttl=1))

            assert ends(first_packet(host.private))[:2] == (own, client)

        assert (snapshot(left), snapshot(right)) == before


@pytest.mark.parametrize("version", VERSIONS)
def test_strangers_of_the_private_namespace_stay_out_of_natlb(tmp_path: Path, version: int) -> None:
    """It has no default route, and natlb gives it none."""
    client, *_ = addresses(version)
    stranger = "10.77.0.12" if version == 4 else "fd77::12"
    with two_sides(private_default=False) as (_, _, right, b, wish):
        with Netlink(b) as backend:
            backend.add_address("b0", f"{stranger}/{24 if version == 4 else 64}")
        with standing(wish, tmp_path) as host:
            send(b, client, source=stranger)
            send(right, client)

            assert packets(host.private) == []


def test_client_and_backend_may_be_the_two_namespaces_themselves(tmp_path: Path) -> None:
    """The picture on the card: a public and a private network, and natlb between them."""
    with namespaces_of("c", "b") as [left, right]:
        with Netlink(left) as outer, Netlink(right) as inner:
            outer.add_bridge("net")
            outer.add_address("net", f"{CLIENT4}/24")
            outer.set_up("net")
            inner.add_address("lo", f"{BACKEND4}/32")
        wish = Wanted(
            public=SideWanted(netns=left),
            private=SideWanted(netns=right),
            vips=(ip_address(VIP4),),
            backends=(ip_address(BACKEND4),),
        )
        with standing(wish, tmp_path) as host, udp(right) as server, udp(left) as caller:
            server.bind((BACKEND4, 7000))
            caller.sendto(b"hello", (VIP4, 7000))
            asked = IP(first_packet(host.public))

            assert (asked.src, asked.dst) == (CLIENT4, VIP4)
            asked.dst = BACKEND4
            del asked.chksum, asked[UDP].chksum
            write(host.private, raw(asked))
            payload, peer = server.recvfrom(100)
            server.sendto(payload.upper(), peer)
            answer = IP(first_packet(host.private))
            answer.src = VIP4
            del answer.chksum, answer[UDP].chksum
            write(host.public, raw(answer))

            assert caller.recvfrom(100) == (b"HELLO", (VIP4, 7000))


def test_a_namespace_that_is_not_there_is_named() -> None:
    """With those there are."""
    wish = Wanted(
        public=SideWanted(netns="nlbt-no-such"),
        vips=(ip_address(VIP4),),
        backends=(ip_address(BACKEND4),),
    )
    with KernelReader() as reader, pytest.raises(HostError, match="no network namespace"):
        resolve(wish, reader)
