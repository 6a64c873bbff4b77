"""Who on a host has a say about packets that it forwards: what natlb would pass by, sending itself.

A chain of nf_tables with a rule (or one that drops) where forwarded packets pass, whatever tracks
connections, tables of iptables-legacy (what stands in them the kernel does not tell), IPsec.
"""

from __future__ import annotations

import errno
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from natlb.netlink.asking import NETFILTER, XFRM, attributes, dump
from natlb.netlink.namespace import inside, read_sysctl
from natlb.netlink.values import KernelError

if TYPE_CHECKING:
    from collections.abc import Iterator

NF_TABLES = 10 << 8  # Linux: nfnetlink.h, NFNL_SUBSYS_NFTABLES
NEW_CHAIN, GET_CHAIN, NEW_RULE, GET_RULE = (NF_TABLES | number for number in (3, 4, 6, 7))
ANY_FAMILY = struct.pack("=BBH", 0, 0, 0)  # struct nfgenmsg
CHAIN_TABLE, CHAIN_NAME, CHAIN_HOOK, CHAIN_POLICY, CHAIN_USE, CHAIN_TYPE = 1, 3, 4, 5, 6, 7
HOOK_NUMBER = 1
FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}  # Linux: netfilter.h
PASSED = {0: "prerouting", 2: "forward", 4: "postrouting"}  # by what is forwarded
DROP = bytes(4)
TRACKING = b"\x07\x00\x01\x00ct\x00"  # an expression of this name, as an attribute
NEW_POLICY, GET_POLICY = 0x13, 0x15  # Linux: xfrm.h
POLICY_ID = bytes(64)  # struct xfrm_userpolicy_id
LEGACY = {"iptables": "ip_tables_names", "ip6tables": "ip6_tables_names"}
COUNT = "net/netfilter/nf_conntrack_count"
# Of a kernel that has none of it.
ABSENT = (errno.EINVAL, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.ENOENT, errno.EAFNOSUPPORT)


def filtering(netns: str | None = None) -> list[str]:
    """Return who would miss packets that are sent past the host's forwarding, in words.

    Raises DeniedError where the right is missing to look.
    """
    return [*_nf_tables(netns), *_legacy(netns), *_tracked(netns), *_ipsec(netns)]


def _nf_tables(netns: str | None) -> Iterator[str]:
    tracks = False
    for body in _listed(NETFILTER, GET_CHAIN, NEW_CHAIN, ANY_FAMILY, netns):
        name, is_nat = _passing(body)
        tracks |= is_nat
        if name:
            yield f"nftables chain {name}"
    rules = _listed(NETFILTER, GET_RULE, NEW_RULE, ANY_FAMILY, netns)
    if tracks or any(TRACKING in body for body in rules):
        yield "rules of nftables track connections"


def _passing(body: bytes) -> tuple[str, bool]:
    """Return a chain's name where it has a say about forwarded packets, and whether it is NAT's."""
    said = attributes(body, len(ANY_FAMILY))
    family, kind = FAMILIES.get(body[0]), said.get(CHAIN_TYPE, b"").rstrip(b"\0")
    if family is None or CHAIN_HOOK not in said:
        return "", False
    hook = attributes(said[CHAIN_HOOK], 0).get(HOOK_NUMBER, b"")
    has_rules = int.from_bytes(said.get(CHAIN_USE, b"")) > 0
    has_say = has_rules or said.get(CHAIN_POLICY) == DROP
    if int.from_bytes(hook) not in PASSED or not has_say:
        return "", kind == b"nat"
    names = (said.get(each, b"").rstrip(b"\0").decode() for each in (CHAIN_TABLE, CHAIN_NAME))
    return " ".join([family, *names]), kind == b"nat"


def _legacy(netns: str | None) -> Iterator[str]:
    for tool, file in LEGACY.items():
        with inside(netns):
            try:
                names = Path("/proc/thread-self/net", file).read_text().split()
            except OSError:
                continue
        if names:
            yield f"{tool}-legacy has tables {', '.join(sorted(names))}"


def _tracked(netns: str | None) -> Iterator[str]:
    count = int(read_sysctl(COUNT, netns=netns) or 0)
    if count:
        yield "the host tracks connections"


def _ipsec(netns: str | None) -> Iterator[str]:
    if any(True for _ in _listed(XFRM, GET_POLICY, NEW_POLICY, POLICY_ID, netns)):
        yield "policies of IPsec"


def _listed(
    protocol: int, asked: int, answered: int, body: bytes, netns: str | None
) -> Iterator[bytes]:
    """Yield the bodies of a dump; none where this kernel knows nothing of it."""
    try:
        for said in dump(protocol, asked, body, netns):
            if said.kind == answered:
                yield said.body
    except KernelError as error:
        if error.errno not in ABSENT:
            raise
