"""Access lists as steps: which verdict holds from which address on.

A client must be let through by the global lists and by the service's. In each, what is denied is
denied, and where anything is allowed nothing else is: with IPv4 prefixes alone, no IPv6 client.

The addresses let through are a sorted list of spans over one line, that of IPv6, on which IPv4
lies at ::ffff:0:0/96 as in the flow table; no IPv6 prefix means that part. A step is written
wherever the verdict changes, and the core finds a client's by halving.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.compile.addresses import MAPPED, lanes_of_number
from natlb.core.access import ALLOWED, DENIED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Network, IPv6Network

    from natlb.control.compile.indices import Indices
    from natlb.control.config import Config
    from natlb.control.config.values import Access
    from natlb.core.tables import Tables

Span = tuple[int, int]
"""Addresses from the first number to the one before the second."""
Spans = tuple[Span, ...]
END = 1 << 128
EVERYBODY: Spans = ((0, END),)
IPV4 = MAPPED << 32, (MAPPED + 1) << 32


class AccessSteps:
    """The steps of every service, one behind the other; services of the same lists share theirs."""

    def __init__(self, config: Config) -> None:
        """Work out the steps of a configuration."""
        self.steps: list[tuple[int, int]] = []
        self._places: dict[str, tuple[int, int]] = {}
        known: dict[Spans, tuple[int, int]] = {EVERYBODY: (0, 0)}
        everywhere = _let_through(config.access)
        for service in config.services.values():
            spans = _in_both(everywhere, _let_through(service.access))
            if spans not in known:
                steps = list(_steps(spans))
                known[spans] = len(self.steps), len(steps)
                self.steps += steps
            self._places[service.name] = known[spans]

    def fill(self, tables: Tables, indices: Indices) -> None:
        """Write the steps, and where each service's lie."""
        for at, (number, verdict) in enumerate(self.steps):
            tables.access[at] = (*lanes_of_number(number), verdict)
        for name, (start, size) in self._places.items():
            record = tables.services[indices.services[name]]
            record["access_start"], record["access_size"] = start, size


def _let_through(access: Access) -> Spans:
    """Return who is let through by one pair of lists."""
    allowed = _spans(access.allow) if access.allow else EVERYBODY
    return _in_both(allowed, _others(_spans(access.deny)))


def _spans(networks: Iterable[IPv4Network | IPv6Network]) -> Spans:
    """Return the addresses in any of these prefixes."""
    merged: list[Span] = []
    for first, end in sorted(span for network in networks for span in _spans_of(network)):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((first, end))
    return tuple(merged)


def _spans_of(network: IPv4Network | IPv6Network) -> Spans:
    """Return the addresses of a prefix: of an IPv6 one without those that are IPv4's."""
    first = int(network.network_address)
    end = first + network.num_addresses
    if network.version == 4:
        return ((first + IPV4[0], end + IPV4[0]),)
    return _in_both(((first, end),), _others((IPV4,)))


def _others(spans: Spans) -> Spans:
    """Return all addresses but these."""
    firsts = [0, *(end for _, end in spans)]
    ends = [*(first for first, _ in spans), END]
    return tuple((first, end) for first, end in zip(firsts, ends, strict=True) if first < end)


def _in_both(one: Spans, other: Spans) -> Spans:
    """Return the addresses that are in both."""
    both: list[Span] = []
    at, beside = 0, 0
    while at < len(one) and beside < len(other):
        first = max(one[at][0], other[beside][0])
        end = min(one[at][1], other[beside][1])
        if first < end:
            both.append((first, end))
        if one[at][1] == end:
            at += 1
        else:
            beside += 1
    return tuple(both)


def _steps(spans: Spans) -> Iterable[tuple[int, int]]:
    """Yield each address from which another verdict holds, with that verdict; 0 is the first."""
    if not spans or spans[0][0] > 0:
        yield 0, DENIED
    for first, end in spans:
        yield first, ALLOWED
        if end < END:
            yield end, DENIED
