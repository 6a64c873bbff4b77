from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import (
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.packet import Packet, Raw, raw

from natlb.bpf.classic import Code, Instruction, Label, assemble
from natlb.bpf.packets import (
    find_quoted_transport4,
    find_quoted_transport6,
    find_transport4,
    find_transport6,
    quoted_by_error4,
    quoted_by_error6,
)
from tests.bpf_machine import run

if TYPE_CHECKING:
    from collections.abc import Callable

NONE = 9999  # what the programs here return where there is no transport header
PORTS = UDP(sport=7, dport=9)
BASES = pytest.mark.parametrize("base", [0, 14])


def where(ask: Callable[[Code, int], None], base: int, packet: Packet) -> int:
    """Return what X is, from the network header on, once the lines were run."""
    code = Code()
    ask(code, base)
    code.do("txa")
    code.do("reta")
    code.label("none")
    code.do("ret", NONE + base)
    lines = [item for item in code.items if isinstance(item, Instruction | Label)]
    return run(assemble(lines, what="", fix=""), bytes(base) + raw(packet)) - base


def transport4(code: Code, base: int) -> None:
    """Find the transport header of IPv4."""
    find_transport4(code, base, none="none")


def transport6(code: Code, base: int) -> None:
    """Find the transport header of IPv6."""
    find_transport6(code, base, none="none")


def quoted4(code: Code, base: int) -> None:
    """Find what an ICMP error quotes."""
    quoted_by_error4(code, base, other="none")


def quoted6(code: Code, base: int) -> None:
    """Find what an ICMPv6 error quotes."""
    find_transport6(code, base, none="none")
    quoted_by_error6(code, other="none")


@BASES
def test_the_transport_header_of_ipv4_lies_behind_its_options(base: int) -> None:
    """And a later fragment has none."""
    plain = IP(dst="192.0.2.1") / PORTS
    options = IP(dst="192.0.2.1", options=[IPOption(b"\x94\x04\x00\x00")]) / PORTS

    assert where(transport4, base, plain) == 20
    assert where(transport4, base, options) == 24
    assert where(transport4, base, IP(flags="MF") / PORTS) == 20
    assert where(transport4, base, IP(frag=1) / PORTS) == NONE


@BASES
def test_the_transport_header_of_ipv6_lies_behind_the_extension_headers(base: int) -> None:
    """Of every kind that natlb goes over, each with its own way of saying its length."""
    authentication = AH(nh=17, payloadlen=4, icv=bytes(12))
    for extension in (
        IPv6ExtHdrHopByHop(),
        IPv6ExtHdrRouting(type=2, addresses=["2001:db8::1"]),
        IPv6ExtHdrDestOpt(options=[]),
        IPv6ExtHdrFragment(m=1),
        authentication,
        IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting() / IPv6ExtHdrFragment(),
    ):
        packet = IPv6() / extension / PORTS

        assert where(transport6, base, packet) == len(raw(packet)) - 8, packet
    assert where(transport6, base, IPv6() / PORTS) == 40
    assert where(transport6, base, IPv6() / IPv6ExtHdrFragment(offset=1) / PORTS) == NONE


def test_more_extension_headers_than_natlb_takes_are_not_gone_over() -> None:
    """The program is finite, and natlb drops such a packet whoever gets it."""
    for count, found in ((8, 40 + 8 * 8), (9, NONE)):
        packet: Packet = IPv6()
        for _ in range(count):
            packet /= IPv6ExtHdrDestOpt()

        assert where(transport6, 0, packet / PORTS) == found


@BASES
def test_an_error_is_known_from_other_icmp(base: int) -> None:
    """A question has something else where an error quotes."""
    inner = IP(src="203.0.113.10", dst="192.0.2.1") / TCP()
    for kind in range(19):
        found = where(quoted4, base, IP() / ICMP(type=kind) / inner)

        assert found == (28 if kind in {3, 4, 5, 11, 12} else NONE)
    assert where(quoted4, base, IP() / PORTS / inner) == NONE
    assert where(quoted4, base, IP(frag=3) / ICMP(type=3) / inner) == NONE
    inner6 = IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP()
    assert where(quoted6, base, IPv6() / ICMPv6PacketTooBig() / inner6) == 48
    question = raw(IPv6(nh=58) / Raw(b"\x80" + bytes(40)))
    assert where(quoted6, base, Raw(question)) == NONE
    assert where(quoted6, base, IPv6() / PORTS) == NONE


@BASES
def test_the_transport_header_of_what_is_quoted_is_found(base: int) -> None:
    """Behind the quoted packet's own options and extension headers."""

    def inside4(code: Code, base: int) -> None:
        quoted4(code, base)
        find_quoted_transport4(code, none="none")

    def inside6(code: Code, base: int) -> None:
        quoted6(code, base)
        find_quoted_transport6(code, none="none")

    options = IP(options=[IPOption(b"\x94\x04\x00\x00")]) / PORTS
    extended = IPv6() / IPv6ExtHdrDestOpt() / PORTS
    assert where(inside4, base, IP() / ICMP(type=3) / options) == 28 + 24
    assert where(inside4, base, IP() / ICMP(type=3) / (IP(frag=1) / PORTS)) == NONE
    assert where(inside6, base, IPv6() / ICMPv6PacketTooBig() / extended) == 48 + 48
    later = IPv6() / IPv6ExtHdrFragment(offset=1) / PORTS
    assert where(inside6, base, IPv6() / ICMPv6PacketTooBig() / later) == NONE
