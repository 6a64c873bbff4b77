"""Which packets are natlb's: the filters of packet sockets.

They are for SOCK_RAW sockets bound to an interface and ETH_P_ALL: the filter sees the frame from
its Ethernet header on, and the kernel has taken one VLAN tag out of it before (tried: the type at
12 is that of the packet inside, and SKF_AD_VLAN_TAG tells the tag). So tagged packets need nothing
of their own; a second tag under the first makes a frame the kernel's alone.

Packets come in only if they were sent to this host's MAC address, as the kernel forwards no
others; a request for an address may be sent to everybody.

    PUBLIC     to a VIP
    PRIVATE    from a backend; to a VIP (hairpin) or to a natlb source address (full NAT); and all
               ICMP: routers before the backends send errors to clients about packets that natlb
               sent. The host is kept from its copy of them by a rule, which knows no types, so
               natlb sends on what is not its own
    both       ARP requests and neighbour solicitations for the addresses natlb answers for

What a backend sends to an address of the host is the host's alone (answers to its checks). An
interface that is public and private has a socket for each, and a packet must be one's alone: what
backends send is private there, whatever it is sent to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.bpf.classic import PACKET_TYPE, Code, assemble
from natlb.bpf.packets import (
    ARP,
    ETHERNET_HEADER,
    ETHERNET_TYPE,
    ICMP4,
    ICMP6,
    IP4,
    IP4_DESTINATION,
    IP4_PROTOCOL,
    IP4_SOURCE,
    IP6,
    IP6_DESTINATION,
    IP6_HEADER,
    IP6_HOPS,
    IP6_NEXT,
    IP6_SOURCE,
    SOLICITATION,
    find_transport6,
    load_address6,
    load_address6_behind_x,
    quoted_by_error4,
    quoted_by_error6,
)
from natlb.bpf.search import with_searches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from natlb.bpf.search import Address

ACCEPT = 0x40000  # octets to keep of a packet: more than any has

# The numbers of if_packet.h in Linux
PACKET_HOST, PACKET_MULTICAST = 0, 2

# RFC 826, and RFC 5494 for what Ethernet and IPv4 are called in it
ARP_REQUEST = 1
ARP_ETHERNET, ARP_LENGTHS = 1, 0x0604
ARP_HARDWARE, ARP_PROTOCOL, ARP_SIZES, ARP_OPERATION, ARP_TARGET = 0, 2, 4, 6, 24

# RFC 4861 section 4.3, behind the IPv6 header
SOLICITED_TARGET = 8
WHOLE_WAY = 255  # hops that are left to what did not pass a router

FIX = (
    "give backends addresses that lie side by side, so that they are ranges; "
    "or use driver: tun, which has no such limit"
)


def public_filter(
    vips: Iterable[Address], answered: Iterable[Address], beside: Iterable[Address] = ()
) -> bytes:
    """Return the filter for the public side: what is sent to VIPs, and who asks for them.

    Not what comes from the addresses of `beside`, which another socket of the interface lets in.
    HostError where there are more addresses than fit into a program.
    """
    sets = {"vips": list(vips), "answered": list(answered), "beside": list(beside)}
    return _program(sets, (IP4_SOURCE, IP6_SOURCE, "beside"), (to_vips4, to_vips6))


def private_filter(
    backends: Iterable[Address],
    vips: Iterable[Address],
    sources: Iterable[Address],
    answered: Iterable[Address],
    own: Iterable[Address] = (),
    beside: Iterable[Address] = (),
) -> bytes:
    """Return the filter for the private side: what backends send, and all ICMP that passes by.

    Not what is sent to `own`, the host's addresses, nor ICMP to the addresses of `beside`, which
    another socket of the interface lets in. HostError where there are more addresses than
    fit into a program: about 1,800 IPv4 backends without neighbours, or as many ranges of them.
    """
    sets = {
        "natlb": [*vips, *sources],
        "backends": list(backends),
        "answered": list(answered),
        "own": list(own),
        "beside": list(beside),
    }
    but_not = IP4_DESTINATION, IP6_DESTINATION, "own"
    return _program(sets, but_not, (_private4, _private6))


def _private4(code: Code, base: int) -> None:
    """Accept ICMP, and IPv4 packets that are natlb's."""
    code.do("ldb", base + IP4_PROTOCOL)
    code.jump("jeq", ICMP4, no="no_icmp4")
    code.do("ldw", base + IP4_DESTINATION)
    code.member4("beside", yes="no_icmp4", no="accept")
    code.label("no_icmp4")
    _accept_member4(code, "ldw", base + IP4_DESTINATION, "natlb")
    _accept_member4(code, "ldw", base + IP4_SOURCE, "backends")
    code.go("reject")


def _private6(code: Code, base: int) -> None:
    """Accept ICMPv6, and IPv6 packets that are natlb's."""
    find_transport6(code, base, none="no_icmp6")
    code.jump("jeq", ICMP6, no="no_icmp6")
    load_address6(code, base + IP6_DESTINATION)
    code.member6("beside", yes="no_icmp6", no="accept")
    code.label("no_icmp6")
    load_address6(code, base + IP6_DESTINATION)
    _accept_member6(code, "natlb")
    load_address6(code, base + IP6_SOURCE)
    _accept_member6(code, "backends")
    code.go("reject")


def _program(
    sets: Mapping[str, Iterable[Address]],
    but_not: tuple[int, int, str],
    lets_in: tuple[Callable[[Code, int], None], Callable[[Code, int], None]],
) -> bytes:
    """Return the filter that lets in what `lets_in` does of each version, and questions to natlb.

    `but_not`: where an address is that must not be of a set, by version, and the set.
    """
    at4, at6, refused = but_not
    ip4, ip6 = lets_in
    code = Code()
    code.do("ldw", PACKET_TYPE)
    code.jump("jgt", PACKET_MULTICAST, yes="reject")
    code.do("ldh", ETHERNET_TYPE)
    code.jump("jeq", ARP, yes="arp")
    code.jump("jeq", IP6, yes="solicitation")
    code.jump("jeq", IP4, no="reject")
    _for_host_alone(code)
    code.do("ldw", ETHERNET_HEADER + at4)
    code.member4(refused, yes="reject", no="other4")
    code.label("other4")
    ip4(code, ETHERNET_HEADER)
    code.label("arp")
    _asks_by_arp(code, ETHERNET_HEADER)
    code.label("solicitation")
    _solicits(code, ETHERNET_HEADER, other="packet6")
    code.label("packet6")
    _for_host_alone(code)
    load_address6(code, ETHERNET_HEADER + at6)
    code.member6(refused, yes="reject", no="other6")
    code.label("other6")
    ip6(code, ETHERNET_HEADER)
    _verdicts(code)
    count = sum(len(set(each)) for each in sets.values())
    what = f"the packet socket's filter does not take {count:,} addresses"
    return assemble(with_searches(code.items, sets), what=what, fix=FIX)


def _verdicts(code: Code) -> None:
    code.label("accept")
    code.do("ret", ACCEPT)
    code.label("reject")
    code.do("ret", 0)


def _for_host_alone(code: Code) -> None:
    """Reject what was not sent to this host's MAC address."""
    code.do("ldw", PACKET_TYPE)
    code.jump("jeq", PACKET_HOST, no="reject")


def _asks_by_arp(code: Code, base: int) -> None:
    """Accept who asks by ARP for an address that natlb answers for."""
    for at, expected in (
        (ARP_HARDWARE, ARP_ETHERNET),
        (ARP_PROTOCOL, IP4),
        (ARP_SIZES, ARP_LENGTHS),
        (ARP_OPERATION, ARP_REQUEST),
    ):
        code.do("ldh", base + at)
        code.jump("jeq", expected, no="reject")
    code.do("ldw", base + ARP_TARGET)
    code.member4("answered", yes="accept", no="reject")


def _solicits(code: Code, base: int, *, other: str) -> None:
    """Accept a solicitation for an address that natlb answers for; all else goes to `other`."""
    for at, expected in (
        (IP6_NEXT, ICMP6),
        (IP6_HOPS, WHOLE_WAY),
        (IP6_HEADER, SOLICITATION),
    ):
        code.do("ldb", base + at)
        code.jump("jeq", expected, no=other)
    load_address6(code, base + IP6_HEADER + SOLICITED_TARGET)
    code.member6("answered", yes="accept", no=other)


def to_vips4(code: Code, base: int) -> None:
    """Accept IPv4 packets to VIPs."""
    code.do("ldw", base + IP4_DESTINATION)
    code.member4("vips", yes="accept", no="reject")


def to_vips6(code: Code, base: int) -> None:
    """Accept IPv6 packets to VIPs."""
    load_address6(code, base + IP6_DESTINATION)
    code.member6("vips", yes="accept", no="reject")


def from_backends4(code: Code, base: int) -> None:
    """Accept IPv4 packets from backends or to natlb, and errors about what natlb sent."""
    _accept_member4(code, "ldw", base + IP4_DESTINATION, "natlb")
    _accept_member4(code, "ldw", base + IP4_SOURCE, "backends")
    quoted_by_error4(code, base, other="reject")
    _accept_member4(code, "ldwx", IP4_SOURCE, "natlb")
    _accept_member4(code, "ldwx", IP4_DESTINATION, "natlb")
    _accept_member4(code, "ldwx", IP4_DESTINATION, "backends")
    code.go("reject")


def _accept_member4(code: Code, load: str, at: int, of: str) -> None:
    """Accept if the address at a place is one of a set, and else go on."""
    other = code.fresh("other")
    code.do(load, at)
    code.member4(of, yes="accept", no=other)
    code.label(other)


def from_backends6(code: Code, base: int) -> None:
    """Accept IPv6 packets from backends or to natlb, and errors about what natlb sent."""
    load_address6(code, base + IP6_DESTINATION)
    _accept_member6(code, "natlb")
    load_address6(code, base + IP6_SOURCE)
    _accept_member6(code, "backends")
    find_transport6(code, base, none="reject")
    quoted_by_error6(code, other="reject")
    load_address6_behind_x(code, IP6_SOURCE)
    _accept_member6(code, "natlb")
    load_address6_behind_x(code, IP6_DESTINATION)
    _accept_member6(code, "natlb")
    _accept_member6(code, "backends")
    code.go("reject")


def _accept_member6(code: Code, of: str) -> None:
    """Accept if memory holds an address of a set, and else go on."""
    other = code.fresh("other")
    code.member6(of, yes="accept", no=other)
    code.label(other)
