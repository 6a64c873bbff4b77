"""Sets of addresses inside a classic program: a binary search, laid out as jumps.

Addresses are merged into ranges that lie side by side, so a pool of neighbours costs as little as
one address. What is asked of an IPv4 address, or of the last word of an IPv6 one, is between which
two bounds of ranges it lies: one comparison for each bound in the program, and the logarithm of
that to run. About 1,900 IPv4 addresses without a neighbour fit into one program.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from itertools import groupby
from typing import TYPE_CHECKING

from natlb.bpf.classic import WORD, Code, Instruction, Label, Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from natlb.bpf.classic import Item

Address = IPv4Address | IPv6Address

NEAR = 100  # comparisons whose jumps all reach the two long jumps behind them


def with_searches(
    items: list[Item], sets: Mapping[str, Iterable[Address]]
) -> list[Instruction | Label]:
    """Return a program in which each question about a set has become a search in it."""
    code = Code()
    for item in items:
        if not isinstance(item, Member):
            code.items.append(item)
            continue
        numbers = sorted({int(each) for each in sets[item.of] if each.version == item.version})
        if item.version == 4:
            _search_word(code, numbers, item.yes, item.no)
        else:
            _search_lanes(code, [_lanes(each) for each in numbers], 0, item.yes, item.no)
    return [item for item in code.items if not isinstance(item, Member)]


def _lanes(number: int) -> tuple[int, ...]:
    """Return an IPv6 address as four words."""
    return tuple(number >> shift & WORD for shift in (96, 64, 32, 0))


def bounds_of(words: list[int]) -> list[int]:
    """Return where ranges of sorted words begin and end, in turns: begin, end, begin, ...

    An end is the first word behind; the end of all words is left out.
    """
    bounds: list[int] = []
    for word in words:
        if bounds and bounds[-1] == word:
            bounds[-1] = word + 1
        else:
            bounds += [word, word + 1]
    return [each for each in bounds if each <= WORD]


def _search_word(code: Code, words: list[int], yes: str, no: str) -> None:
    """Add what goes to `yes` if A is one of sorted words, and else to `no`."""
    bounds = bounds_of(words)
    if not bounds:
        code.go(no)
    else:
        _search_bounds(code, bounds, (0, len(bounds)), (no, yes))


def _search_bounds(code: Code, bounds: list[int], part: tuple[int, int], ways: Ways) -> None:
    """Add the search among some of the bounds; A is behind an odd number of them if it is in."""
    first, last = part
    if last - first > NEAR:
        _split(code, bounds, part, ways)
        return
    outside, inside = ways
    local = code.fresh("out"), code.fresh("in")
    _compare(code, bounds, part, local)
    code.label(local[0])
    code.go(outside)
    code.label(local[1])
    code.go(inside)


def _split(code: Code, bounds: list[int], part: tuple[int, int], ways: Ways) -> None:
    """Add the comparison with the middle, and both halves behind it."""
    first, last = part
    middle = (first + last) // 2
    upper = code.fresh("upper")
    code.jump("jge", bounds[middle], yes=upper)
    _search_bounds(code, bounds, (first, middle), ways)
    code.label(upper)
    _search_bounds(code, bounds, (middle + 1, last), ways)


def _compare(code: Code, bounds: list[int], part: tuple[int, int], ways: Ways) -> None:
    """Add the comparisons with few bounds, each of which jumps to the next or to an end."""
    first, last = part
    middle = (first + last) // 2
    halves = (first, middle), (middle + 1, last)
    lower, upper = (
        ways[start % 2] if start == end else code.fresh("search") for start, end in halves
    )
    code.jump("jge", bounds[middle], yes=upper, no=lower)
    for label, (start, end) in zip((lower, upper), halves, strict=True):
        if start != end:
            code.label(label)
            _compare(code, bounds, (start, end), ways)


def _search_lanes(code: Code, addresses: list[Lanes], lane: int, yes: str, no: str) -> None:
    """Add what goes to `yes` if memory holds one of sorted addresses that begin alike."""
    if not addresses:
        code.go(no)
        return
    code.do("ldm", lane)
    if lane == 3:
        _search_word(code, [each[3] for each in addresses], yes, no)
        return
    groups = [(word, list(group)) for word, group in groupby(addresses, lambda each: each[lane])]
    _search_groups(code, groups, lane, yes, no)


def _search_groups(code: Code, groups: list[Group], lane: int, yes: str, no: str) -> None:
    """Add what finds the addresses that have A in this lane, and goes on to the next lane."""
    if len(groups) == 1:
        word, addresses = groups[0]
        code.jump("jeq", word, no=no)
        _search_lanes(code, addresses, lane + 1, yes, no)
        return
    middle = len(groups) // 2
    upper = code.fresh("upper")
    code.jump("jge", groups[middle][0], yes=upper)
    _search_groups(code, groups[:middle], lane, yes, no)
    code.label(upper)
    _search_groups(code, groups[middle:], lane, yes, no)


Lanes = tuple[int, ...]
Group = tuple[int, list[Lanes]]
Ways = tuple[str, str]
"""Where to go from outside all ranges, and from inside one."""
