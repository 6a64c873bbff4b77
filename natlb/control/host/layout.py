"""`Wanted` and `HostPlan` as octets, in a fixed layout: what control and supervisor exchange.

    Wanted      header, two sides by name, then names of interfaces, VIPs, backends
    HostPlan    header, two sides as found, then devices, devices with router advertisements,
                VIPs, backends, local backends, proxies

The reader believes nothing: magic, every count against the length, every name, flag and address.
What is wrong anywhere is refused whole, with LayoutError.
"""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from natlb.control.host.plan import Device, HostPlan, Side, SideWanted, Wanted
from natlb.netlink.values import Address, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterable

WANTED_HEADER = struct.Struct("<4s3I")  # magic, counts: names, VIPs, backends
WANTED_SIDE = struct.Struct("<256s")  # namespace
PLAN_HEADER = struct.Struct("<4sBBHI6I")  # magic, IPv6, force forwarding, zero, TUN MTU, counts
PLAN_SIDE = struct.Struct("<256sIBB4s16s")  # namespace, MTU, has IPv4, has IPv6, addresses
NAME = struct.Struct("<B16s")  # side, interface
DEVICE = struct.Struct("<B16sIBB")  # side, interface, MTU, open for IPv4, for IPv6
ADDRESS = struct.Struct("<B16s")  # IP version, octets
PROXY = struct.Struct("<B16s16s")  # IP version, octets, interface

WANTED_MAGIC, PLAN_MAGIC = b"nhw1", b"nhp1"  # the digit is the layout's version
PUBLIC, PRIVATE = 0, 1
LARGEST_MTU = 65_535
NETNS_NAME = re.compile(r"(?!\.{1,2}$)[^/\0]{0,255}")
DEVICE_NAME = re.compile(r"(?!\.{1,2}$)[^/:\s\0]{1,15}")  # Linux: dev_valid_name


class LayoutError(Exception):
    """These octets are no such value; says where they differ."""


def encode_wanted(wanted: Wanted) -> bytes:
    """Return what is wanted as octets."""
    sides = ((PUBLIC, wanted.public), (PRIVATE, wanted.private))
    names = [(number, name) for number, side in sides for name in side.interfaces]
    counts = (len(names), len(wanted.vips), len(wanted.backends))
    return b"".join(
        [
            WANTED_HEADER.pack(WANTED_MAGIC, *counts),
            *(WANTED_SIDE.pack(side.netns.encode()) for _, side in sides),
            *(NAME.pack(number, name.encode()) for number, name in names),
            *_addresses(wanted.vips + wanted.backends),
        ]
    )


def decode_wanted(octets: bytes) -> Wanted:
    """Return what these octets want; LayoutError where they are none."""
    reader = _Reader(octets)
    magic, *counts = reader.take(WANTED_HEADER)
    _check(magic == WANTED_MAGIC, "not this layout")
    reader.expect(2 * WANTED_SIDE.size, zip(counts, (NAME, ADDRESS, ADDRESS), strict=True))
    netns = [_text(reader.take(WANTED_SIDE)[0], NETNS_NAME) for _ in (PUBLIC, PRIVATE)]
    names = [reader.name() for _ in range(counts[0])]
    sides = [
        SideWanted(netns=netns[side], interfaces=tuple(name for at, name in names if at == side))
        for side in (PUBLIC, PRIVATE)
    ]
    return Wanted(
        public=sides[PUBLIC],
        private=sides[PRIVATE],
        vips=reader.addresses(counts[1]),
        backends=reader.addresses(counts[2]),
    )


def encode_plan(plan: HostPlan) -> bytes:
    """Return the plan as octets."""
    sides = ((PUBLIC, plan.public), (PRIVATE, plan.private))
    devices = [(number, device) for number, side in sides for device in side.devices]
    names = [(number, name) for number, side in sides for name in side.ra_devices]
    addresses = plan.vips, plan.backends, plan.local_backends
    counts = (len(devices), len(names), *(len(each) for each in addresses), len(plan.proxies))
    flags = (plan.has_ipv6, plan.force_forwarding, 0)
    return b"".join(
        [
            PLAN_HEADER.pack(PLAN_MAGIC, *flags, plan.tun_mtu, *counts),
            *(_plan_side(side) for _, side in sides),
            *(DEVICE.pack(at, d.name.encode(), d.mtu, d.open4, d.open6) for at, d in devices),
            *(NAME.pack(at, name.encode()) for at, name in names),
            *_addresses(sum(addresses, ())),
            *(
                PROXY.pack(p.address.version, p.address.packed, p.dev.encode())
                for p in plan.proxies
            ),
        ]
    )


def decode_plan(octets: bytes) -> HostPlan:
    """Return the plan that these octets are; LayoutError where they are none."""
    reader = _Reader(octets)
    magic, has_ipv6, force, zero, tun_mtu, *counts = reader.take(PLAN_HEADER)
    _check(magic == PLAN_MAGIC and zero == 0, "not this layout")
    records = (DEVICE, NAME, ADDRESS, ADDRESS, ADDRESS, PROXY)
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
    return HostPlan(
        public=sides[PUBLIC],
        private=sides[PRIVATE],
        tun_mtu=_mtu(tun_mtu),
        vips=reader.addresses(counts[2]),
        backends=reader.addresses(counts[3]),
        local_backends=reader.addresses(counts[4]),
        proxies=tuple(reader.proxy() for _ in range(counts[5])),
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

    def proxy(self) -> Proxy:
        version, octets, name = self.take(PROXY)
        return Proxy(address=_address(version, octets), dev=_text(name, DEVICE_NAME))


def _addresses(addresses: tuple[Address, ...]) -> list[bytes]:
    return [ADDRESS.pack(address.version, address.packed) for address in addresses]


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
