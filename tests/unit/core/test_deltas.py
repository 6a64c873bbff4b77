from __future__ import annotations

from typing import Any

import pytest

from natlb.core.deltas import sum_deltas
from tests.kernels import key_of, needs_plain_kernels

needs_plain_kernels()

ENDS = [
    ("198.51.100.2:40000", "203.0.113.10:80", "10.9.0.11:8080"),
    ("198.51.100.2:40000", "203.0.113.10:80", "203.0.113.10:80"),  # nothing changes
    ("[2001:db8::2]:40000", "[2001:db8:f::10]:80", "[fd00:9::11]:8080"),
    ("[2001:db8::2]:40000", "[ffff:ffff::ffff]:65535", "[fd00::]:1"),
]


@pytest.mark.parametrize(("client", "vip", "backend"), ENDS)
def test_deltas_are_of_addresses_and_of_addresses_and_ports(
    client: str, vip: str, backend: str
) -> None:
    """One for the IP sum and unfinished sums, one for finished transport sums; never zero."""
    original, reply = key_of(client, vip), key_of(backend, client)
    sum_deltas(original, reply)
    for this, other in ((original, reply), (reply, original)):
        old = [*_words(this, "source"), *_words(this, "destination")]
        new = [*_words(other, "destination"), *_words(other, "source")]
        moved = sum(new) - sum(old)
        ends = ("source", "destination")
        ports = sum(int(other[f"{end}_port"]) - int(this[f"{end}_port"]) for end in ends)

        assert (int(this["address_delta"]) - moved) % 0xFFFF == 0
        assert (int(this["transport_delta"]) - moved - ports) % 0xFFFF == 0
        assert this["address_delta"] != 0
        assert this["transport_delta"] != 0


def _words(key: Any, end: str) -> list[int]:
    lanes = [int(key[f"{end}{lane}"]) for lane in range(4)]
    return [word for lane in lanes for word in (lane >> 16, lane & 0xFFFF)]
