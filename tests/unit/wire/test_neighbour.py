"""Neighbour solicitations as scapy writes them, and advertisements as it reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.packet import Raw

from natlb.wire.neighbour import (
    ADVERTISEMENT_OCTETS,
    is_solicitation,
    may_be_solicitation,
    write_advertisement,
)
from tests.kernels import needs_plain_kernels, octets

needs_plain_kernels()

VIP, ASKER = "2001:db8::10", "2001:db8::2"
GROUP = "ff02::1:ff00:10"
LINK = ICMPv6NDOptSrcLLAddr(lladdr="0a:00:00:00:00:02")


def question(
    source: str = ASKER, to: str = GROUP, target: str = VIP, hops: int = 255, **words: int
) -> Any:
    """Return a solicitation without options."""
    return IPv6(src=source, dst=to, hlim=hops) / ICMPv6ND_NS(tgt=target, **words)


def is_one(packet: Any) -> bool:
    """Return what natlb says of it."""
    raw = octets(bytes(packet))
    return bool(may_be_solicitation(raw) and is_solicitation(raw))


@pytest.mark.parametrize(
    ("packet", "is_probe"),
    [(question() / LINK, False), (question(to=VIP), False), (question("::"), True)],
)
def test_a_solicitation_is_answered(packet: Any, is_probe: bool) -> None:
    """To who asked, or to all nodes where that was a probe for a duplicate."""
    assert is_one(packet)
    slot = np.zeros(128, np.uint8)
    raw = bytes(packet)
    slot[: len(raw)] = octets(raw)
    write_advertisement(slot[:ADVERTISEMENT_OCTETS], 0x0A00, 1)
    read = IPv6(slot[:ADVERTISEMENT_OCTETS].tobytes())
    told = read[ICMPv6ND_NA]
    right = told.cksum
    del told.cksum, read.plen
    again = IPv6(bytes(read))

    assert (again.src, again.dst, again.hlim) == (VIP, "ff02::1" if is_probe else ASKER, 255)
    assert (told.tgt, told.S, told.O) == (VIP, 0 if is_probe else 1, 1)
    assert read[ICMPv6NDOptDstLLAddr].lladdr == "0a:00:00:00:00:01"
    assert again[ICMPv6ND_NA].cksum == right


@pytest.mark.parametrize(
    "packet",
    [
        question(hops=254),
        question(code=1),
        question(target="ff02::1"),
        question("ff02::1"),
        question(cksum=1),
        question("::") / LINK,
        question("::", to=VIP),
        question("::", to="ff02::1:ff00:11"),
        question("::", to="ff02::2:ff00:10"),
        question("::", to="ff03::1:ff00:10"),
        question("::", to="ff02::1:1:ff00:10"),
        question() / Raw(b"\1\0" + bytes(6)),
        question() / Raw(b"\1\2" + bytes(6)),
        question() / Raw(b"\1"),
        question() / ICMPv6NDOptDstLLAddr() / Raw(b"\1"),
    ],
)
def test_what_is_hostile_or_damaged_gets_no_answer(packet: Any) -> None:
    """From afar, for a group, with a wrong sum or option, or a probe that is none."""
    assert not is_one(packet)


def test_a_second_address_and_another_option_change_nothing() -> None:
    """The first is the sender's."""
    assert is_one(question() / LINK / LINK / ICMPv6NDOptDstLLAddr())


@pytest.mark.parametrize(("at", "value"), [(4, 0xFF), (5, 16)])
def test_a_length_that_is_not_the_packets_gets_no_answer(at: int, value: int) -> None:
    """Longer than what came, or too short for a target."""
    raw = octets(bytes(question()))
    raw[at] = value

    assert not is_solicitation(raw)


def test_other_packets_are_worth_no_look() -> None:
    """Short ones, other protocols, other messages."""
    raw = octets(bytes(question()))
    other = raw.copy()
    other[6] = 17
    advertisement = raw.copy()
    advertisement[40] = 136

    assert [may_be_solicitation(each) for each in (raw[:-1], other, advertisement)] == [False] * 3
