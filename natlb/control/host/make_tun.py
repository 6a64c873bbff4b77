"""The operations that make one side's TUN device, ready to carry packets.

rp_filter 2, and an address   the value in force is the larger of `all` and the device's own,
                              and a device without an address drops everything under 1 and 2
accept_local 1                natlb's own ICMP errors come from an address of the host
forwarding 1                  what natlb writes goes on to another interface
IPv6 without noise            no link-local address, router solicitation or multicast report
                              of the kernel's own enters the queue
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_interface
from typing import TYPE_CHECKING, ClassVar

from natlb.bpf.attach import attach_tun_steering
from natlb.control.host.operation import Before, Operation, unless_gone, unless_there
from natlb.control.host.tun import open_tun
from natlb.errors import HostError

if TYPE_CHECKING:
    from natlb.control.host.hands import Hands
    from natlb.control.host.seen import Seen
    from natlb.netlink.session import AddressScope

QUEUE_PACKETS = 10_000  # 500, the default, overflows while a worker is replaced
ADDR_GEN_MODE_NONE = "1"  # Linux: if_link.h, IN6_ADDR_GEN_MODE_NONE

IP4_SYSCTLS = {"rp_filter": "2", "accept_local": "1", "forwarding": "1"}
# As a router of its own the device would join the groups of routers and report so; that packets
# are forwarded is the matter of `force_forwarding`, or of `all`. Made where `default` says router,
# it leaves those groups: under MLD version 1 in silence (Linux: mcast.c, igmp6_leave_group).
IP6_SYSCTLS = {
    "force_mld_version": "1",
    "accept_ra": "0",
    "autoconf": "0",
    "addr_gen_mode": ADDR_GEN_MODE_NONE,
    "forwarding": "0",
    "force_forwarding": "1",
    "disable_ipv6": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeTun(Operation):
    """A TUN device, up, for IPv4. With scope `host` its address is never picked as a source."""

    kind: ClassVar[str] = "tun"
    name: str
    mtu: int
    address: str
    scope: AddressScope
    queues: int = 1

    def __str__(self) -> str:
        return f"device {self.name}"

    @property
    def device(self) -> str | None:
        """The device itself."""
        return self.name

    def do(self, hands: Hands) -> None:
        """Make the device and leave its queues in `hands.queues`.

        Whose a packet is among several is settled before the first one comes.
        """
        queue = open_tun(self.name, self.netns or None, self.queues)
        try:
            if self.name in hands.steering:
                attach_tun_steering(queue.fd, hands.steering[self.name])
            self._set_up(hands)
        except BaseException:
            queue.close()
            raise
        hands.queues[self.name] = queue

    def undo(self, hands: Hands, before: Before) -> None:  # noqa: ARG002 - one signature for all
        """Delete the device; without an open queue it has gone by itself."""
        netlink = hands.netlink(self.netns)
        try:
            kind = netlink.link(self.name).kind
        except HostError:
            return
        if kind == "tun":
            with unless_gone():
                netlink.delete_link(self.name)

    def is_lost(self, seen: Seen) -> bool:
        """Return whether there is no such device any more: only a new one mends that."""
        link = seen.links(self.netns).get(self.name)
        return link is None or link.kind != "tun"

    def stands(self, seen: Seen) -> bool:
        """Return whether the device is there, up, and as it was made."""
        link = seen.links(self.netns).get(self.name)
        return (
            link is not None
            and (link.kind, link.up, link.mtu) == ("tun", True, self.mtu)
            and ip_interface(self.address) in link.addresses
            and all(seen.sysctl(self.netns, key) == value for key, value in self._sysctls())
        )

    def mend(self, hands: Hands) -> None:
        """Set the device up once more; its queue, and IPv6 on it, are not touched."""
        for key, value in self._sysctls():
            hands.write(self.netns, key, value)
        netlink = hands.netlink(self.netns)
        netlink.set_mtu(self.name, self.mtu)
        with unless_there():
            netlink.add_address(self.name, ip_interface(self.address), scope=self.scope)
        netlink.set_up(self.name)

    def _sysctls(self) -> list[tuple[str, str]]:
        return [(f"net/ipv4/conf/{self.name}/{key}", value) for key, value in IP4_SYSCTLS.items()]

    def _set_up(self, hands: Hands) -> None:
        switch_ipv6_off(hands, self.netns, self.name)
        hands.netlink(self.netns).set_txqueuelen(self.name, QUEUE_PACKETS)
        self.mend(hands)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddIpv6(Operation):
    """IPv6 on a TUN device, with an address or without."""

    kind: ClassVar[str] = "ipv6"
    name: str
    address: str | None

    def __str__(self) -> str:
        return f"IPv6 on {self.name}"

    @property
    def device(self) -> str | None:
        """The device."""
        return self.name

    def do(self, hands: Hands) -> None:
        """Switch IPv6 on, and silence it."""
        for path, value in self._sysctls():
            if hands.read(self.netns, path) is not None:  # force_forwarding is younger than most
                hands.write(self.netns, path, value)
        if self.address is not None:
            hands.netlink(self.netns).add_address(self.name, ip_interface(self.address))

    def stands(self, seen: Seen) -> bool:
        """Return whether IPv6 is on and silent; its address goes when the device is set down."""
        link = seen.links(self.netns).get(self.name)
        if link is None:
            return True  # MakeTun misses it
        held = self.address is None or ip_interface(self.address) in link.addresses
        return held and all(
            seen.sysctl(self.netns, path) in (value, None) for path, value in self._sysctls()
        )

    def _sysctls(self) -> list[tuple[str, str]]:
        return [(f"net/ipv6/conf/{self.name}/{key}", value) for key, value in IP6_SYSCTLS.items()]

    def undo(self, hands: Hands, before: Before) -> None:  # noqa: ARG002 - one signature for all
        """Switch IPv6 off, which drops its addresses and routes."""
        switch_ipv6_off(hands, self.netns, self.name)


def switch_ipv6_off(hands: Hands, netns: str, name: str) -> None:
    """Have no IPv6 on a device; nothing is done where there is no device, or no IPv6 at all."""
    path = f"net/ipv6/conf/{name}/disable_ipv6"
    if hands.read(netns, path) is not None:
        hands.write(netns, path, "1")
