from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest

from natlb.bpf.classic import Code, Instruction, Label, assemble
from natlb.bpf.packets import load_address6
from natlb.bpf.search import bounds_of, with_searches
from natlb.errors import HostError
from tests.bpf_machine import Machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.bpf.search import Address


def asking(version: int, addresses: Sequence[Address]) -> bytes:
    """Return the program that says whether a packet begins with one of the addresses."""
    code = Code()
    if version == 4:
        code.do("ldw", 0)
        code.member4("set", yes="yes", no="no")
    else:
        load_address6(code, 0)
        code.member6("set", yes="yes", no="no")
    for label, answer in (("no", 0), ("yes", 1)):
        code.label(label)
        code.do("ret", answer)
    return assemble(with_searches(code.items, {"set": addresses}), what="a test", fix="none")


def random_addresses(version: int, count: int) -> list[Address]:
    """Return addresses, many of them neighbours, in no order and some of them twice."""
    found: list[Address] = []
    while len(found) < count:
        if version == 4:
            start = random.choice((0, 0x0A4D0000, 0xFFFFFF00)) + random.getrandbits(8)
        else:
            parts = random.choices((0, 1, 0xFFFFFFFF, random.getrandbits(32)), k=3)
            start = sum(part << shift for part, shift in zip(parts, (96, 64, 32), strict=True))
            start += random.choice((0, 0xFFFFFF00)) + random.getrandbits(8)
        kind = IPv4Address if version == 4 else IPv6Address
        most = (1 << (32 if version == 4 else 128)) - 1
        found += [kind(min(start + i, most)) for i in range(random.choice((1, 1, 1, 2, 5)))]
    random.shuffle(found)
    return found


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 60, 200])
def test_a_search_finds_the_addresses_and_no_others(version: int, count: int) -> None:
    """Their neighbours least of all, at every word's ends too."""
    addresses = random_addresses(version, count)
    program, known = asking(version, addresses), set(addresses)
    octets = 4 if version == 4 else 16
    numbers = {int(each) + step for each in known for step in (-1, 0, 1)} | {
        0,
        (1 << 8 * octets) - 1,
    }
    for number in numbers:
        if not 0 <= number < 1 << 8 * octets:
            continue
        packet = number.to_bytes(octets)
        expected = ip_address(packet) in known

        assert Machine(program, packet, 0).run() == expected, ip_address(packet)


def test_addresses_of_the_other_version_do_not_count() -> None:
    """::a4d:1 is not 10.77.0.1."""
    program = asking(6, [ip_address("10.77.0.1")])

    assert Machine(program, bytes(12) + ip_address("10.77.0.1").packed, 0).run() == 0


def test_neighbours_are_one_range() -> None:
    """So a /16 of backends costs no more than two of them."""
    assert bounds_of([3, 4, 5, 9, 0xFFFFFFFE, 0xFFFFFFFF]) == [3, 6, 9, 10, 0xFFFFFFFE]
    many = [IPv4Address(0x0A000000 + number) for number in range(1 << 16)]

    assert len(asking(4, many)) == len(asking(4, many[5:7]))


def test_a_search_is_as_long_as_the_logarithm() -> None:
    """1,900 addresses without neighbours fit, and each takes some twenty steps."""
    apart: list[Address] = [IPv4Address(0x0A000000 + 2 * number) for number in range(1900)]
    program = asking(4, apart)
    for address in (apart[0], apart[950], apart[-1]):
        machine = Machine(program, address.packed, 0)

        assert machine.run() == 1
        assert machine.steps <= 20
    with pytest.raises(HostError, match="instructions of BPF"):
        asking(4, [IPv4Address(0x0A000000 + 2 * number) for number in range(2050)])


def test_what_is_not_a_question_stays() -> None:
    """Lines and labels pass as they are."""
    code = Code()
    code.label("here")
    code.do("ret", 1)

    assert with_searches(code.items, {}) == [Label("here"), Instruction("ret", 1)]
