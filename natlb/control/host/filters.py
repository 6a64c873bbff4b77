"""Who else on the host has a say about packets: connection tracking, a firewall, IPVS."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from natlb.control.host.check import Check, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from natlb.control.host.probe import Probe

CONNTRACK = "/proc/sys/net/netfilter/nf_conntrack_count"
IPVS = "/proc/net/ip_vs"
ACCEPT = (
    "iptables -I FORWARD -i natlb-+ -j ACCEPT; iptables -I FORWARD -o natlb-+ -j ACCEPT "
    "(Docker: chain DOCKER-USER)"
)
NOTRACK = (
    "nft 'add table inet notrack; add chain inet notrack pre "
    "{ type filter hook prerouting priority raw; }; "
    "add rule inet notrack pre ip daddr VIP notrack; "
    "add rule inet notrack pre iifname natlb-* notrack'"
)


def filters(probe: Probe, vips: Collection[str] = ()) -> Iterator[Check]:
    """Yield what each of them would do to natlb's packets, to those for these VIPs above all."""
    yield _conntrack(probe)
    yield _forward_policy(probe)
    services = ipvs_services(probe.text(IPVS) or "")
    clashing = [name for name, address in services.items() if address in vips]
    fix = "give a VIP to one of the two: ipvsadm -D …"
    if clashing:
        yield fail("ipvs", f"IPVS balances {', '.join(clashing)}", fix, ("gateway",))
    elif services:
        yield ok("ipvs", f"IPVS balances {', '.join(services)}: other VIPs than natlb's")


def _conntrack(probe: Probe) -> Check:
    count = int(probe.text(CONNTRACK) or 0)
    if count == 0:
        return ok("conntrack", "the host tracks no connections")
    seen = f"the host tracks {count} connections: each of a service is tracked there too"
    return warn("conntrack", seen, NOTRACK)


def _forward_policy(probe: Probe) -> Check:
    chains = probe.dropping_chains()
    if chains is None:
        return ok("firewall", "no nf_tables to be seen")
    if not chains:
        return ok("firewall", "no chain drops what is forwarded")
    return warn("firewall", f"policy drop for what is forwarded: {', '.join(chains)}", ACCEPT)


def ipvs_services(table: str) -> dict[str, str]:
    """Return the address of each virtual service of IPVS, by PROTOCOL ADDRESS:PORT.

    Linux: ip_vs_ctl.c, ip_vs_info_seq_show(): addresses and ports in hexadecimal, IPv6 in brackets.
    """
    found = {}
    for line in table.splitlines():
        words = line.split()
        if words and words[0] in ("TCP", "UDP", "SCTP"):
            written, _, port = words[1].rpartition(":")
            number = int(written, 16) if not written.startswith("[") else written.strip("[]")
            address = str(ip_address(number))
            found[f"{words[0]} {address}:{int(port, 16)}"] = address
    return found
