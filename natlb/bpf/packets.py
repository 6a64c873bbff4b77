"""What the programs ask of a packet: its addresses and ports, and what an ICMP error quotes.

Offsets count from the network header; `base` is where that lies for the program: 14 behind the
Ethernet header that a packet socket's filter sees, 0 where the program sees none. Nothing may be
asked behind the packet's end: the machine returns 0 there, which is "not natlb's" and "worker 0".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from natlb.bpf.classic import Code

PUBLIC, PRIVATE = 0, 1  # natlb.core.layout

ETHERNET_HEADER = 14
ETHERNET_TYPE = 12
IP4, IP6, ARP, VLAN = 0x0800, 0x86DD, 0x0806, 0x8100  # IEEE 802 numbers, IANA
PROVIDER_VLAN = 0x88A8

IP4_FRAGMENT, IP4_PROTOCOL, IP4_SOURCE, IP4_DESTINATION = 6, 9, 12, 16
IP6_NEXT, IP6_HOPS, IP6_SOURCE, IP6_DESTINATION, IP6_HEADER = 6, 7, 8, 24, 40
IP4_OFFSET = 0x1FFF  # of a fragment, in the word it shares with the flags
IP6_OFFSET = 0xFFF8

ICMP4, TCP, UDP, ICMP6 = 1, 6, 17, 58
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, OPTIONS = 0, 43, 44, 51, 60
MOST_EXTENSION_HEADERS = 8  # as many as natlb.wire takes
ICMP_QUOTE = 8  # where the packet begins that an error quotes
# Destination unreachable, source quench, redirect, time exceeded, parameter problem: RFC 792
ICMP4_ERRORS = (3, 4, 5, 11, 12)
ICMP6_FIRST_INFORMATIONAL = 128
SOLICITATION, FIRST_OF_NEIGHBOURS, LAST_OF_NEIGHBOURS = 135, 133, 137

NEXT = 4  # the word of memory that holds the next header's kind; 0 to 3 hold an address


def load_address6(code: Code, at: int) -> None:
    """Put the IPv6 address at a fixed place into words 0 to 3 of memory."""
    _load_words(code, "ldw", at)


def load_address6_behind_x(code: Code, at: int) -> None:
    """Put the IPv6 address at X and so many octets into words 0 to 3 of memory."""
    _load_words(code, "ldwx", at)


def _load_words(code: Code, load: str, at: int) -> None:
    for lane in range(4):
        code.do(load, at + 4 * lane)
        code.do("st", lane)


def find_transport4(code: Code, base: int, *, none: str) -> None:
    """Put where the transport header of an IPv4 packet lies into X; a later fragment has none."""
    code.do("ldh", base + IP4_FRAGMENT)
    code.jump("jset", IP4_OFFSET, yes=none)
    code.do("ldb", base)
    code.do("and", 0x0F)
    code.do("lsh", 2)
    code.do("add", base)
    code.do("tax")


def find_quoted_transport4(code: Code, *, none: str) -> None:
    """Move X from an IPv4 packet that an error quotes to its transport header; `add` to X."""
    code.do("ldhx", IP4_FRAGMENT)
    code.jump("jset", IP4_OFFSET, yes=none)
    code.do("ldbx")
    code.do("and", 0x0F)
    code.do("lsh", 2)
    code.do("addx")
    code.do("tax")


def find_transport6(code: Code, base: int, *, none: str) -> None:
    """Put where the transport header of an IPv6 packet lies into X, and its kind into NEXT.

    A later fragment has none, and neither has a packet with more extension headers than natlb
    takes.
    """
    code.do("ldi", base + IP6_HEADER)
    code.do("tax")
    code.do("ldb", base + IP6_NEXT)
    walk_extensions(code, none=none)


def find_quoted_transport6(code: Code, *, none: str) -> None:
    """Move X from an IPv6 packet that an error quotes to its transport header; set NEXT."""
    code.do("ldbx", IP6_NEXT)
    code.do("st", NEXT)
    step(code, IP6_HEADER)
    code.do("ldm", NEXT)
    walk_extensions(code, none=none)


def walk_extensions(code: Code, *, none: str) -> None:
    """Go with X over extension headers, the first of the kind in A; set NEXT to what is behind."""
    found = code.fresh("transport")
    for _ in range(MOST_EXTENSION_HEADERS):
        _over_extension(code, found, none)
    for kind in (HOP_BY_HOP, ROUTING, OPTIONS, FRAGMENT, AUTHENTICATION):
        code.jump("jeq", kind, yes=none)
    code.label(found)
    code.do("st", NEXT)


def _over_extension(code: Code, found: str, none: str) -> None:
    """Go over one extension header of the kind in A, or to `found` where that is none."""
    plain, piece, authentication, over = (
        code.fresh(word) for word in ("plain", "piece", "authentication", "over")
    )
    for kind in (HOP_BY_HOP, ROUTING, OPTIONS):
        code.jump("jeq", kind, yes=plain)
    code.jump("jeq", FRAGMENT, yes=piece)
    code.jump("jeq", AUTHENTICATION, yes=authentication, no=found)
    code.label(piece)  # RFC 8200 section 4.5: 8 octets, the offset in the third and fourth
    code.do("ldhx", 2)
    code.jump("jset", IP6_OFFSET, yes=none)
    _next_kind(code)
    code.do("ldi", 8)
    code.go(over)
    code.label(authentication)  # RFC 4302 section 2.2: in words, less two
    _next_kind(code)
    code.do("ldbx", 1)
    code.do("add", 2)
    code.do("lsh", 2)
    code.go(over)
    code.label(plain)  # RFC 8200 section 4.3: in 8 octets, less the first
    _next_kind(code)
    code.do("ldbx", 1)
    code.do("add", 1)
    code.do("lsh", 3)
    code.label(over)
    code.do("addx")
    code.do("tax")
    code.do("ldm", NEXT)


def _next_kind(code: Code) -> None:
    """Keep the kind of what is behind the extension header at X."""
    code.do("ldbx")
    code.do("st", NEXT)


def step(code: Code, octets: int) -> None:
    """Move X on."""
    code.do("txa")
    code.do("add", octets)
    code.do("tax")


def quoted_by_error4(code: Code, base: int, *, other: str) -> None:
    """Put where the packet begins that an ICMP error quotes into X; go on if it is an error."""
    code.do("ldb", base + IP4_PROTOCOL)
    code.jump("jeq", ICMP4, no=other)
    find_transport4(code, base, none=other)
    code.do("ldbx")
    found = code.fresh("error")
    for kind in ICMP4_ERRORS[:-1]:
        code.jump("jeq", kind, yes=found)
    code.jump("jeq", ICMP4_ERRORS[-1], no=other)
    code.label(found)
    step(code, ICMP_QUOTE)


def quoted_by_error6(code: Code, *, other: str) -> None:
    """Move X from an ICMPv6 error to the packet that it quotes; go on if it is an error.

    `find_transport6` comes before.
    """
    code.do("ldm", NEXT)
    code.jump("jeq", ICMP6, no=other)
    code.do("ldbx")
    code.jump("jge", ICMP6_FIRST_INFORMATIONAL, yes=other)
    step(code, ICMP_QUOTE)
