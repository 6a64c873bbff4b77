"""ARP requests as scapy writes them, and answers as it reads them."""

from __future__ import annotations

import numpy as np
import pytest
from scapy.layers.l2 import ARP

from natlb.wire.arp import NOBODY, asked_by_arp, write_arp_reply
from tests.kernels import needs_plain_kernels, octets

needs_plain_kernels()

ASKING = {"hwsrc": "0a:00:00:00:00:02", "psrc": "203.0.113.2", "pdst": "203.0.113.10"}


def test_a_request_is_answered_to_who_asked() -> None:
    """From the address that was asked for."""
    packet = octets(bytes(ARP(op=1, **ASKING)))
    assert asked_by_arp(packet) == 0xCB00710A
    to = write_arp_reply(packet, 0x0A00, 1)
    read = ARP(packet.tobytes())

    assert to == (0x0A00, 2)
    assert (read.op, read.hwsrc, read.psrc) == (2, "0a:00:00:00:00:01", "203.0.113.10")
    assert (read.hwdst, read.pdst) == ("0a:00:00:00:00:02", "203.0.113.2")


def test_a_probe_is_answered() -> None:
    """RFC 5227: who is about to take the address must hear that it is in use."""
    packet = octets(bytes(ARP(op=1, **{**ASKING, "psrc": "0.0.0.0"})))

    assert asked_by_arp(packet) == 0xCB00710A


@pytest.mark.parametrize(
    "change",
    [
        {"op": 2},
        {"hwtype": 6},
        {"ptype": 0x86DD},
        {"hwlen": 8},
        {"hwsrc": "ff:ff:ff:ff:ff:ff"},
        {"psrc": "203.0.113.10"},
    ],
)
def test_what_is_no_question_gets_no_answer(change: dict[str, object]) -> None:
    """Answers, other hardware, groups, and who claims the address for himself."""
    request = ARP(**{"op": 1, **ASKING, **change})
    raw = bytes(request)[:28].ljust(28, b"\0")

    assert asked_by_arp(octets(raw)) == NOBODY


def test_what_is_cut_off_gets_no_answer() -> None:
    """One octet is missing."""
    assert asked_by_arp(np.zeros(27, np.uint8)) == NOBODY
