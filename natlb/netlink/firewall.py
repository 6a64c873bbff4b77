"""What the host's own packet filter would do to forwarded packets, as far as nf_tables shows it."""

from __future__ import annotations

import socket

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.nftables.main import NFTables

from natlb.netlink.namespace import inside

NFPROTO = {1: "inet", socket.AF_INET: "ip", socket.AF_INET6: "ip6"}  # Linux: netfilter.h
NF_INET_FORWARD, NF_DROP = 2, 0  # Linux: netfilter.h


def dropping_chains(netns: str | None = None) -> list[str] | None:
    """Return the chains that drop what is forwarded unless a rule accepts it; None: not visible.

    As FAMILY TABLE CHAIN. Docker makes `ip filter FORWARD` such a one.
    """
    found = []
    try:
        with inside(netns), NFTables(nfgen_family=0) as tables:
            for chain in tables.get_chains():
                hook = chain.get("NFTA_CHAIN_HOOK")
                number = hook.get("NFTA_HOOK_HOOKNUM") if hook else None
                family = NFPROTO.get(chain["nfgen_family"])
                drops = chain.get("NFTA_CHAIN_POLICY") == NF_DROP
                if family and drops and number == NF_INET_FORWARD:
                    names = chain.get("NFTA_CHAIN_TABLE"), chain.get("NFTA_CHAIN_NAME")
                    found.append(" ".join([family, *names]))
    except (NetlinkError, OSError):
        return None  # no nf_tables in this kernel, or no right to look
    return found
