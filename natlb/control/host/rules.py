"""What natlb's policy rules are made of: their priorities, tables, addresses and prefixes.

Rules of one priority stand in the order they were added, which a reload changes: those whose
order matters differ in priority.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import TYPE_CHECKING

from natlb.control.host.plan import DUMMY_ADDRESS, OWN_ADDRESS6, PRIVATE_TUN, PUBLIC_TUN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from natlb.control.host.plan import Device, HostPlan, Version
    from natlb.netlink.values import Address

TABLE = 6285  # "natl" on a telephone's keys; a table number nobody else is likely to use
SHARED_TABLE = TABLE + 1  # to natlb-pub, for a VIP that is an address of the host
GIVEN_BACK, NEIGHBOURS, SHARED_HAIRPIN, SHARED, LOCAL = range(90, 95)
BACKENDS, ERRORS, VIPS, STRAYS, PASSED, CLOSED, OPEN = range(100, 107)
LAST = 32_768  # behind `main` and `default`, 32766 and 32767

PUBLIC_ADDRESS = f"{DUMMY_ADDRESS}/32"
PUBLIC_ADDRESS6 = f"{OWN_ADDRESS6}/128"
PRIVATE_ADDRESS = "192.0.0.11/32"  # RFC 6890's block for protocols, not assigned: on no wire
PRIVATE_ADDRESS6 = "fd6e:6174:6c62::8/128"  # as OWN_ADDRESS6
ERROR_SOURCE: dict[Version, str] = {4: PRIVATE_ADDRESS, 6: PRIVATE_ADDRESS6}
ICMP: dict[Version, int] = {4: 1, 6: 58}
EVERYTHING: dict[Version, str] = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One namespace of a plan, with what of the two sides stands in it."""

    netns: str
    devices: tuple[Device, ...]
    ra_devices: tuple[str, ...]
    is_public: bool
    is_private: bool

    def closed(self, version: Version) -> list[str]:
        """Return the devices that forwarded nothing before natlb."""
        return [device.name for device in self.devices if not device.is_open(version)]

    @property
    def tuns(self) -> list[str]:
        """The TUN devices that stand here."""
        return [PUBLIC_TUN] * self.is_public + [PRIVATE_TUN] * self.is_private


def places(plan: HostPlan) -> list[Place]:
    """Return the namespaces of a plan, one or two."""
    public, private = plan.public, plan.private
    if plan.together:
        return [
            Place(
                netns=public.netns,
                devices=tuple(dict.fromkeys(public.devices + private.devices)),
                ra_devices=public.ra_devices,
                is_public=True,
                is_private=True,
            )
        ]
    return [
        Place(
            netns=side.netns,
            devices=side.devices,
            ra_devices=side.ra_devices,
            is_public=side is public,
            is_private=side is private,
        )
        for side in (public, private)
    ]


def merged(addresses: Iterable[Address], version: Version) -> list[str]:
    """Return prefixes that cover exactly these addresses of one IP version, as few as can be."""
    listed = list(addresses)
    if version == 4:
        hosts = [IPv4Network(address) for address in listed if address.version == 4]
        return [str(network) for network in collapse_addresses(hosts)]
    return [
        str(network)
        for network in collapse_addresses(
            IPv6Network(address) for address in listed if address.version == 6
        )
    ]


def routed_vips(plan: HostPlan) -> list[Address]:
    """Return the VIPs that are natlb's alone."""
    return [vip for vip in plan.vips if vip not in plan.host_vips]


def has_closed_private(plan: HostPlan, version: Version) -> bool:
    """Return whether anything that came in by a private interface went nowhere before natlb."""
    return any(not device.is_open(version) for device in plan.private.devices)
