from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NA, IPv6
from scapy.layers.l2 import ARP, Ether

from natlb.control.host.announce import announce, frame
from natlb.control.host.reader import KernelReader
from natlb.control.host.resolve import resolve
from natlb.netlink import call_inside, write_sysctl
from tests.gateway import SUBNET_VIP4, SUBNET_VIP6, gateway, ip, sysctl, wait_until

MACS = st.binary(min_size=6, max_size=6)


@given(st.ip_addresses(v=4), MACS)
def test_the_arp_announcement_asks_for_the_address_it_comes_from(vip: object, mac: bytes) -> None:
    """RFC 5227, section 3; read by scapy."""
    heard = Ether(frame(vip, mac))  # type: ignore[arg-type]
    arp = heard[ARP]

    assert (heard.dst, bytes.fromhex(heard.src.replace(":", ""))) == ("ff:ff:ff:ff:ff:ff", mac)
    assert (arp.op, arp.psrc, arp.pdst, arp.hwsrc) == (1, str(vip), str(vip), heard.src)
    assert arp.hwdst == "00:00:00:00:00:00"


@given(st.ip_addresses(v=6), MACS)
def test_the_advertisement_overrides_what_neighbours_believe(vip: object, mac: bytes) -> None:
    """RFC 4861, section 7.2.6; hop limit 255, and scapy's checksum is ours."""
    octets = frame(vip, mac)  # type: ignore[arg-type]
    heard = Ether(octets)
    advertisement = heard[ICMPv6ND_NA]
    again = heard.copy()
    del again[ICMPv6ND_NA].cksum
    del again[IPv6].plen

    assert (heard.dst, heard[IPv6].dst, heard[IPv6].hlim) == ("33:33:00:00:00:01", "ff02::1", 255)
    assert ip_address(heard[IPv6].src) == ip_address(advertisement.tgt) == vip
    assert (advertisement.S, advertisement.O) == (0, 1)
    assert bytes(again) == octets


@pytest.mark.netns
def test_neighbours_learn_at_once_where_the_vip_is_now() -> None:
    """One that still knows the old place is told the new one, for both IP versions."""
    with gateway() as place, KernelReader() as reader:
        wrong = "02:00:00:00:00:99"
        for vip in (SUBNET_VIP4, SUBNET_VIP6):
            ip(
                place.client,
                "neighbour",
                "replace",
                vip,
                "lladdr",
                wrong,
                "dev",
                "c0",
                "nud",
                "stale",
            )
        plan = resolve(place.wanted(SUBNET_VIP4, SUBNET_VIP6), reader)
        right = next(link.mac for link in reader.links(place.gateway) if link.name == "pub")
        # The kernel ignores an announcement within a second of the last change (locktime).
        for family in ("ipv4", "ipv6"):
            key = f"net/{family}/neigh/c0/locktime"
            if sysctl(place.client, key) is not None:
                write_sysctl(key, "0", netns=place.client)

        def learned() -> bool:
            announce(plan)
            known = {e["dst"]: e["lladdr"] for e in ip(place.client, "neighbour") if "lladdr" in e}
            return all(known.get(vip) == right for vip in (SUBNET_VIP4, SUBNET_VIP6))

        wait_until(learned)


@pytest.mark.netns
def test_a_vip_of_no_subnet_is_not_announced() -> None:
    """Nobody would ask; and an interface without a hardware address cannot say."""
    with gateway() as place, KernelReader() as reader:
        plan = resolve(place.wanted(), reader)
        listener = call_inside(
            place.client,
            lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)),
        )
        with listener:
            listener.setblocking(False)
            announce(plan)
            gone = tuple(
                replace(p, dev="lo")
                for p in resolve(place.wanted(SUBNET_VIP4, SUBNET_VIP6), reader).proxies
            )
            announce(replace(plan, proxies=gone))
            with pytest.raises(BlockingIOError):
                listener.recv(100)
