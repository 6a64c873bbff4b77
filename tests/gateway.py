"""Real namespaces for tests of the host: a client, a gateway, a backend; and what can be seen.

    client c0 ── pub [ gateway ] prv ── b0 backend
    198.51.100.2  .1            .1      10.77.0.11     and 2001:db8:1::, fd77:: with the same ends

The judge of what the host looks like is `ip` and /proc/sys, not natlb's own netlink.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natlb.control.host import Wanted
from natlb.control.host.plan import SideWanted
from natlb.netlink import (
    Netlink,
    Route,
    call_inside,
    create_namespace,
    delete_namespace,
    read_sysctl,
    sysctl_names,
    write_sysctl,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from natlb.control.host.tun import Tun

VIP4, VIP6 = "203.0.113.10", "2001:db8:2::10"
SUBNET_VIP4, SUBNET_VIP6 = "198.51.100.10", "2001:db8:1::10"
CLIENT4, CLIENT6 = "198.51.100.2", "2001:db8:1::2"
BACKEND4, BACKEND6 = "10.77.0.11", "fd77::11"
VNET = bytes(10)  # an empty virtio-net header

_numbers = itertools.count()


@contextmanager
def namespaces_of(*words: str) -> Iterator[list[str]]:
    """Make a namespace for each word, loopback up, and delete them whatever happens."""
    prefix = f"nlbt{os.getpid()}-{next(_numbers)}"
    with ExitStack() as stack:
        names = []
        for word in words:
            name = f"{prefix}-{word}"
            create_namespace(name)
            stack.callback(delete_namespace, name)
            names.append(name)
            # No duplicate detection: addresses are there at once, not after a second or two.
            for which in ("all", "default"):
                write_sysctl(f"net/ipv6/conf/{which}/accept_dad", "0", netns=name)
            with Netlink(name) as netlink:
                netlink.set_up("lo")
        yield names


@dataclass
class Gateway:
    """The namespaces, and where the two sides of natlb stand."""

    client: str
    gateway: str
    backend: str

    def wanted(self, *vips: str, backends: tuple[str, ...] = (), versions: str = "46") -> Wanted:
        """Return a wish for these VIPs (default: one of each IP version) and the backend."""
        pairs = {"4": (VIP4, BACKEND4), "6": (VIP6, BACKEND6)}
        chosen = [pairs[version] for version in versions]
        side = SideWanted(netns=self.gateway)
        return Wanted(
            public=side,
            private=side,
            vips=tuple(ip_address(vip) for vip in vips or [vip for vip, _ in chosen]),
            backends=tuple(ip_address(each) for each in backends or [each for _, each in chosen]),
        )


@contextmanager
def gateway() -> Iterator[Gateway]:
    """Make client, gateway and backend with addresses and routes, nothing forwarded yet."""
    with namespaces_of("c", "g", "b") as (client, middle, backend):
        join((client, "c0", 2), (middle, "pub", 1), "198.51.100.", "2001:db8:1::")
        join((backend, "b0", 11), (middle, "prv", 1), "10.77.0.", "fd77::")
        default_by(client, "198.51.100.1", "2001:db8:1::1")
        default_by(backend, "10.77.0.1", "fd77::1")
        yield Gateway(client, middle, backend)


def join(one: tuple[str, str, int], other: tuple[str, str, int], net4: str, net6: str) -> None:
    """Join two namespaces by links of these names and numbers in a /24 and a /64."""
    with Netlink(one[0]) as netlink:
        netlink.add_veth(one[1], other[1], peer_netns=other[0])
    for netns, link, number in (one, other):
        with Netlink(netns) as netlink:
            netlink.add_address(link, f"{net4}{number}/24")
            netlink.add_address(link, f"{net6}{number}/64")
            netlink.set_up(link)
    for netns, link, _ in (one, other):
        wait_until(partial(link_local_is_ready, netns, link))


def default_by(netns: str, via4: str, via6: str) -> None:
    """Give a namespace its default routes."""
    with Netlink(netns) as netlink:
        for everything, via in (("0.0.0.0/0", via4), ("::/0", via6)):
            netlink.add_route(Route(destination=ip_network(everything), via=ip_address(via)))


def link_local_is_ready(netns: str, link: str) -> bool:
    """Return whether the kernel has given the link its own IPv6 address, and checked it."""
    shown = ip(netns, "-6", "address", "show", "dev", link, "scope", "link")
    addresses = [address for each in shown for address in each.get("addr_info", ())]
    return bool(addresses) and not any(address.get("tentative") for address in addresses)


def wait_until(holds: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Return what `holds()` gives once it is true; fail where it does not become so."""
    deadline = time.monotonic() + seconds
    while not (result := holds()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)
    return result


def forwards(netns: str, *, open_before: bool) -> None:
    """Have the namespace forward, or not, as it might before natlb."""
    for key in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        write_sysctl(key, str(int(open_before)), netns=netns)


def ip(netns: str, *words: str) -> Any:
    """Return what `ip -json` answers in the namespace."""
    command = ["ip", "-n", netns, "-json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout or "[]")


def snapshot(netns: str) -> dict[str, Any]:
    """Return all that natlb could change: addresses, links, routes, rules, proxies, sysctls."""
    addresses = ip(netns, "address")
    for link in addresses:
        for address in link["addr_info"]:
            address.pop("valid_life_time"), address.pop("preferred_life_time")
    seen: dict[str, Any] = {"address": addresses}
    for version in ("-4", "-6"):
        seen[f"route {version}"] = ip(netns, version, "route", "show", "table", "all")
        seen[f"rule {version}"] = ip(netns, version, "rule")
        seen[f"proxy {version}"] = ip(netns, version, "neighbour", "show", "proxy")
    return seen | sysctls(netns)


def sysctls(netns: str) -> dict[str, str | None]:
    """Return every readable value under net/ipv4 and net/ipv6."""

    def read() -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for folder in ("net/ipv4", "net/ipv6"):
            for path in (Path("/proc/sys") / folder).rglob("*"):
                if path.is_file():
                    with suppress(OSError):  # stable_secret that was never set, and write-only keys
                        found[str(path.relative_to("/proc/sys"))] = path.read_text().strip()
        return found

    return call_inside(netns, read)


def devices_of(netns: str) -> list[str]:
    """Return the names of all links, by /proc/sys."""
    return sysctl_names("net/ipv4/conf", netns=netns)


def udp(netns: str, version: int = 4) -> socket.socket:
    """Return a UDP socket of this namespace; the caller closes it."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    made = call_inside(netns, lambda: socket.socket(family, socket.SOCK_DGRAM))
    made.settimeout(5)
    return made


def send(
    netns: str, address: str, payload: bytes = b"x", port: int = 9, source: str | None = None
) -> None:
    """Send a datagram from the namespace; a host without a route to there is no error."""
    with udp(netns, ip_address(address).version) as sender, suppress(OSError):
        if source is not None:
            sender.bind((source, 0))
        sender.sendto(payload, (address, port))


def packets(tun: Tun, seconds: float = 0.2) -> list[bytes]:
    """Return the IP packets that enter a queue until it was quiet for so long."""
    found = []
    while select.select([tun.fd], [], [], seconds)[0]:
        found.append(os.read(tun.fd, 1 << 17)[len(VNET) :])
    return found


def first_packet(tun: Tun, seconds: float = 5.0) -> bytes:
    """Return the next IP packet of a queue."""
    return first_read(tun, seconds)[len(VNET) :]


def first_read(tun: Tun, seconds: float = 5.0) -> bytes:
    """Return what the next read of a queue gives, its virtio-net header first."""
    assert select.select([tun.fd], [], [], seconds)[0], "no packet came"
    return os.read(tun.fd, 1 << 17)


def write(tun: Tun, packet: bytes) -> None:
    """Write an IP packet without offload to a queue."""
    os.write(tun.fd, VNET + packet)


def ends(packet: bytes) -> tuple[str, str, int]:
    """Return source, destination and protocol of an IP packet."""
    if packet[0] >> 4 == 4:
        return str(ip_address(packet[12:16])), str(ip_address(packet[16:20])), packet[9]
    return str(ip_address(packet[8:24])), str(ip_address(packet[24:40])), packet[6]


def close(tuns: dict[str, Tun]) -> None:
    """Close queues, and with them their devices."""
    for tun in tuns.values():
        os.close(tun.fd)


def sysctl(netns: str, key: str) -> str | None:
    """Return a sysctl of the namespace."""
    return read_sysctl(key, netns=netns)
