"""`Wanted` and `HostPlan` as octets, in a fixed layout: what control and supervisor exchange.

    Wanted      header, two sides by name, then names of interfaces, VIPs, backends, sources,
                ports listened on
    HostPlan    header, two sides as found, then devices, devices with router advertisements,
                VIPs, backends, local backends, sources, VIPs of the host, its addresses on
                the public and on the private side, those of its private namespace, proxies,
                private proxies, neighbours, ports

The reader believes nothing: magic, every count against the length, every name, flag and address.
What is wrong anywhere is refused whole, with LayoutError.
"""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, TypeVar

from natlb.control.host.plan import (
    PROTOCOLS,
    Device,
    HostPlan,
    Neighbours,
    Ports,
    Side,
    SideWanted,
    Wanted,
)
from natlb.control.roles import MOST_WORKERS
from natlb.netlink.values import Address, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sized

    from natlb.control.config.values import DriverName, OutputName
    from natlb.control.host.plan import Driver, Output

Name = TypeVar("Name")

WANTED_HEADER = struct.Struct("<4sBBH5I")  # magic, driver, output, workers, counts
WANTED_SIDE = struct.Struct("<256s")  # namespace
# magic, IPv6, force forwarding, driver, output, workers, zero, TUN MTU, counts
PLAN_HEADER = struct.Struct("<4sBBBBHHI14I")
PLAN_SIDE = struct.Struct("<256sIBB4s16s")  # namespace, MTU, has IPv4, has IPv6, addresses
NAME = struct.Struct("<B16s")  # side, interface
DEVICE = struct.Struct("<B16sIBB")  # side, interface, MTU, open for IPv4, for IPv6
ADDRESS = struct.Struct("<B16s")  # IP version, octets
PROXY = struct.Struct("<B16s16s")  # IP version, octets, interface
NEIGHBOURS = struct.Struct("<16s16sB")  # interface, octets of an IPv6 network, its length
PORTS = struct.Struct("<B16sBHH")  # IP version, octets, protocol, first, last

WANTED_MAGIC, PLAN_MAGIC = b"nhw3", b"nhp4"  # the digit is the layout's version
PUBLIC, PRIVATE = 0, 1
CHOSEN_DRIVERS: dict[int, Driver] = {1: "tun", 2: "packet", 3: "xdp"}
CHOSEN_OUTPUTS: dict[int, Output] = {1: "route", 2: "direct"}
DRIVERS: dict[int, DriverName] = {0: "auto", **CHOSEN_DRIVERS}
OUTPUTS: dict[int, OutputName] = {0: "auto", **CHOSEN_OUTPUTS}
LARGEST_MTU = 65_535
NETNS_NAME = re.compile(r"(?!\.{1,2}$)[^/\0]{0,255}")
DEVICE_NAME = re.compile(r"(?!\.{1,2}$)[^/:\s\0]{1,15}")  # Linux: dev_valid_name


class LayoutError(Exception):
    """These octets are no such value; says where they differ."""


def encode_wanted(wanted: Wanted) -> bytes:
    """Return what is wanted as octets."""
    sides = ((PUBLIC, wanted.public), (PRIVATE, wanted.private))
    names = [(number, name) for number, side in sides for name in side.interfaces]
    addresses = wanted.vips, wanted.backends, wanted.sources
    counts = (len(names), *(len(each) for each in addresses), len(wanted.listens))
    return b"".join(
        [
            WANTED_HEADER.pack(WANTED_MAGIC, *_path(wanted), *counts),
            *(WANTED_SIDE.pack(side.netns.encode()) for _, side in sides),
            *(NAME.pack(number, name.encode()) for number, name in names),
            *_addresses(sum(addresses, ())),
            *(_ports(each) for each in wanted.listens),
        ]
    )


def decode_wanted(octets: bytes) -> Wanted:
    """Return what these octets want; LayoutError where they are none."""
    reader = _Reader(octets)
    magic, driver, output, workers, *counts = reader.take(WANTED_HEADER)
    _check(magic == WANTED_MAGIC, "not this layout")
    records = (NAME, ADDRESS, ADDRESS, ADDRESS, PORTS)
    reader.expect(2 * WANTED_SIDE.size, zip(counts, records, strict=True))
    netns = [_text(reader.take(WANTED_SIDE)[0], NETNS_NAME) for _ in (PUBLIC, PRIVATE)]
    names = [reader.name() for _ in range(counts[0])]
    sides = [
        SideWanted(netns=netns[side], interfaces=tuple(name for at, name in names if at == side))
        for side in (PUBLIC, PRIVATE)
    ]
    return Wanted(
        driver=_one_of(DRIVERS, driver),
        output=_one_of(OUTPUTS, output),
        workers=_workers(workers),
        public=sides[PUBLIC],
        private=sides[PRIVATE],
        vips=reader.addresses(counts[1]),
        backends=reader.addresses(counts[2]),
        sources=reader.addresses(counts[3]),
        listens=reader.ports(counts[4]),
    )


def encode_plan(plan: HostPlan) -> bytes:
    """Return the plan as octets."""
    sides = ((PUBLIC, plan.public), (PRIVATE, plan.private))
    devices = [(number, device) for number, side in sides for device in side.devices]
    names = [(number, name) for number, side in sides for name in side.ra_devices]
    addresses = _plan_addresses(plan)
    proxies = plan.proxies, plan.private_proxies
    lists: tuple[Sized, ...] = (
        devices,
        names,
        *addresses,
        *proxies,
        plan.neighbours,
        plan.services,
    )
    flags = (plan.has_ipv6, plan.force_forwarding, *_path(plan), 0)
    return b"".join(
        [
            PLAN_HEADER.pack(PLAN_MAGIC, *flags, plan.tun_mtu, *(len(each) for each in lists)),
            *(_plan_side(side) for _, side in sides),
            *(DEVICE.pack(at, d.name.encode(), d.mtu, d.open4, d.open6) for at, d in devices),
            *(NAME.pack(at, name.encode()) for at, name in names),
            *_addresses(sum(addresses, ())),
            *(
                PROXY.pack(p.address.version, p.address.packed, p.dev.encode())
                for p in sum(proxies, ())
            ),
            *(_neighbours(each) for each in plan.neighbours),
            *(_ports(each) for each in plan.services),
        ]
    )


def decode_plan(octets: bytes) -> HostPlan:
    """Return the plan that these octets are; LayoutError where they are none."""
    reader = _Reader(octets)
    (magic, has_ipv6, force, driver, output, workers, zero, tun_mtu, *counts) = reader.take(
        PLAN_HEADER
    )
    _check(magic == PLAN_MAGIC and zero == 0, "not this layout")
    records = (DEVICE, NAME, *[ADDRESS] * 8, PROXY, PROXY, NEIGHBOURS, PORTS)
    reader.expect(2 * PLAN_SIDE.size, zip(counts, records, strict=True))
    found = [reader.take(PLAN_SIDE) for _ in (PUBLIC, PRIVATE)]
    devices = [reader.device() for _ in range(counts[0])]
    names = [reader.name() for _ in range(counts[1])]
    sides = [
        _side(
            found[side],
            tuple(device for at, device in devices if at == side),
            tuple(name for at, name in names if at == side),
        )
        for side in (PUBLIC, PRIVATE)
    ]
    vips, backends, local, sources, held, *hosts, own = (
        reader.addresses(count) for count in counts[2:10]
    )
    return HostPlan(
        driver=_one_of(CHOSEN_DRIVERS, driver),
        output=_one_of(CHOSEN_OUTPUTS, output),
        workers=_workers(workers),
        public=replace(sides[PUBLIC], hosts=hosts[PUBLIC]),
        private=replace(sides[PRIVATE], hosts=hosts[PRIVATE]),
        tun_mtu=_mtu(tun_mtu),
        vips=vips,
        backends=backends,
        local_backends=local,
        sources=sources,
        host_vips=held,
        own=own,
        proxies=tuple(reader.proxy() for _ in range(counts[10])),
        private_proxies=tuple(reader.proxy() for _ in range(counts[11])),
        neighbours=tuple(reader.neighbours() for _ in range(counts[12])),
        services=reader.ports(counts[13]),
        has_ipv6=_flag(has_ipv6),
        force_forwarding=_flag(force),
    )


class _Reader:
    """Octets read from the front; what is read is checked, and `expect` holds the length."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def take(self, record: struct.Struct) -> tuple[Any, ...]:
        _check(self._at + record.size <= len(self._octets), "too short")
        values = record.unpack_from(self._octets, self._at)
        self._at += record.size
        return values

    def expect(self, sides: int, lists: Iterable[tuple[int, struct.Struct]]) -> None:
        rest = sides + sum(count * record.size for count, record in lists)
        _check(
            self._at + rest == len(self._octets), f"{len(self._octets)} octets, not that + {rest}"
        )

    def name(self) -> tuple[int, str]:
        side, name = self.take(NAME)
        return _side_number(side), _text(name, DEVICE_NAME)

    def device(self) -> tuple[int, Device]:
        side, name, mtu, open4, open6 = self.take(DEVICE)
        device = Device(
            name=_text(name, DEVICE_NAME), mtu=_mtu(mtu), open4=_flag(open4), open6=_flag(open6)
        )
        return _side_number(side), device

    def addresses(self, count: int) -> tuple[Address, ...]:
        return tuple(_address(*self.take(ADDRESS)) for _ in range(count))

    def ports(self, count: int) -> tuple[Ports, ...]:
        return tuple(self._one_range() for _ in range(count))

    def _one_range(self) -> Ports:
        version, octets, protocol, first, last = self.take(PORTS)
        _check(protocol in PROTOCOLS.values(), f"protocol {protocol}")
        _check(0 < first <= last, f"ports {first} to {last}")
        address = _address(version, octets)
        return Ports(address=address, protocol=protocol, first=first, last=last)

    def neighbours(self) -> Neighbours:
        name, octets, length = self.take(NEIGHBOURS)
        _check(length <= 128, f"prefix length {length}")
        try:
            network = IPv6Network((octets, length))
        except ValueError as error:
            raise LayoutError("bits behind a network's") from error
        return Neighbours(dev=_text(name, DEVICE_NAME), network=network)

    def proxy(self) -> Proxy:
        version, octets, name = self.take(PROXY)
        return Proxy(address=_address(version, octets), dev=_text(name, DEVICE_NAME))


def _path(of: Wanted | HostPlan) -> tuple[int, int, int]:
    drivers, outputs = ({name: at for at, name in names.items()} for names in (DRIVERS, OUTPUTS))
    return drivers[of.driver], outputs[of.output], of.workers


def _one_of(names: Mapping[int, Name], number: int) -> Name:
    _check(number in names, f"driver or output {number}")
    return names[number]


def _workers(number: int) -> int:
    _check(1 <= number <= MOST_WORKERS, f"{number} workers")
    return number


def _addresses(addresses: tuple[Address, ...]) -> list[bytes]:
    return [ADDRESS.pack(address.version, address.packed) for address in addresses]


def _plan_addresses(plan: HostPlan) -> list[tuple[Address, ...]]:
    held = plan.sources, plan.host_vips, plan.public.hosts, plan.private.hosts, plan.own
    return [plan.vips, plan.backends, plan.local_backends, *held]


def _ports(ports: Ports) -> bytes:
    address = ports.address
    return PORTS.pack(address.version, address.packed, ports.protocol, ports.first, ports.last)


def _neighbours(each: Neighbours) -> bytes:
    network = each.network
    return NEIGHBOURS.pack(each.dev.encode(), network.network_address.packed, network.prefixlen)


def _plan_side(side: Side) -> bytes:
    return PLAN_SIDE.pack(
        side.netns.encode(),
        side.way_mtu,
        side.address4 is not None,
        side.address6 is not None,
        side.address4.packed if side.address4 else b"",
        side.address6.packed if side.address6 else b"",
    )


def _side(found: tuple[Any, ...], devices: tuple[Device, ...], ra: tuple[str, ...]) -> Side:
    netns, mtu, has4, has6, octets4, octets6 = found
    _check(_flag(has4) or not any(octets4), "an address that is not there")
    _check(_flag(has6) or not any(octets6), "an address that is not there")
    return Side(
        netns=_text(netns, NETNS_NAME),
        devices=devices,
        way_mtu=_mtu(mtu),
        address4=IPv4Address(octets4) if has4 else None,
        address6=IPv6Address(octets6) if has6 else None,
        ra_devices=ra,
    )


def _check(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not holds:
        raise LayoutError(otherwise)


def _side_number(number: int) -> int:
    _check(number in (PUBLIC, PRIVATE), f"side {number}")
    return number


def _flag(number: int) -> bool:
    _check(number in (0, 1), f"flag {number}")
    return bool(number)


def _mtu(number: int) -> int:
    _check(68 <= number <= LARGEST_MTU, f"MTU {number}")  # RFC 791: every link takes 68
    return number


def _text(octets: bytes, pattern: re.Pattern[str]) -> str:
    """Return the text before the zeros that fill its field."""
    try:
        text = octets.rstrip(b"\0").decode()
    except UnicodeDecodeError as error:
        raise LayoutError(f"name {octets!r}") from error
    _check(pattern.fullmatch(text) is not None, f"name {text!r}")
    return text


def _address(version: int, octets: bytes) -> Address:
    """Return the address: one that a VIP or a backend may have, or LayoutError."""
    _check(version in (4, 6), f"IP version {version}")
    _check(version == 6 or not any(octets[4:]), "octets behind an IPv4 address")
    address = ip_address(octets[:4] if version == 4 else octets)
    refused = address.is_multicast or address.is_unspecified or address.is_loopback
    _check(not refused, f"address {address}")
    return address
