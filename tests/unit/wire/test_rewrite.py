from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from natlb.core.deltas import sum_deltas
from natlb.core.layout import HALF
from natlb.testing import packets
from natlb.wire.rewrite import decrease_ttl, rewrite, rewrite_transport, set_identification
from tests.judge import crossed, rebuilt
from tests.kernels import frame_of, needs_plain_kernels, octets, parsed_of

needs_plain_kernels()

ENDS = ("198.51.100.2:40000", "203.0.113.10:80", "10.9.0.11:8080")
ENDS6 = ("[2001:db8::2]:40000", "[2001:db8:f::10]:80", "[fd00:9::11]:8080")


def half_of(source: str, destination: str) -> Any:
    """Return a flow's half whose packets go from one end to the other."""
    key = np.zeros(1, HALF)[0]
    for name, text in (("source", source), ("destination", destination)):
        address, port = packets.split_endpoint(text)
        number = int(address) | (0xFFFF << 32 if address.version == 4 else 0)
        for lane in range(4):
            key[f"{name}{lane}"] = number >> 32 * (3 - lane) & 0xFFFFFFFF
        key[f"{name}_port"] = port
    return key


def translated(packet: bytes, ends: tuple[str, str, str], **form: int) -> bytes:
    """Return a client's packet as its backend gets it."""
    client, vip, backend = ends
    original, reply = half_of(client, vip), half_of(backend, client)
    sum_deltas(original, reply)
    text = octets(packet)
    deltas = int(original["address_delta"]), int(original["transport_delta"])
    rewrite(text, frame_of(packet, **form), parsed_of(packet, **form), reply, *deltas)
    return text.tobytes()


@pytest.mark.parametrize("ends", [ENDS, ENDS6])
@pytest.mark.parametrize("build", [packets.tcp, packets.udp])
@pytest.mark.parametrize("length", [0, 1, 2, 99])
def test_a_rewritten_packet_is_the_one_rebuilt(
    ends: tuple[str, str, str], build: Any, length: int
) -> None:
    """By scapy, with whole sums; odd lengths and no payload included."""
    packet = build(ends[0], ends[1], payload=b"\xa5" * length)

    assert translated(packet, ends) == rebuilt(packet, ends[0], ends[2])


def test_a_udp_checksum_of_none_stays_none() -> None:
    """The receiver is told that nobody computed one."""
    packet = packets.udp(ENDS[0], ENDS[1], b"hello", checksum=0)

    assert translated(packet, ENDS) == rebuilt(packet, ENDS[0], ENDS[2])


@pytest.mark.parametrize("ends", [ENDS, ENDS6])
@pytest.mark.parametrize(("build", "offset"), [(packets.tcp, 16), (packets.udp, 6)])
def test_an_unfinished_checksum_is_right_once_finished(
    ends: tuple[str, str, str], build: Any, offset: int
) -> None:
    """It covers the addresses alone: ports are added by the device, with all the rest."""
    packet = build(ends[0], ends[1], payload=b"hello")
    start = 20 if ends is ENDS else 40
    form = {"needs_checksum": 1, "checksum_start": start, "checksum_offset": offset}

    done = packets.finished(translated(packets.unfinished(packet), ends, **form))

    assert done == rebuilt(packet, ends[0], ends[2])


@pytest.mark.parametrize("ends", [ENDS, ENDS6])
def test_a_hop_is_taken_and_the_header_stays_right(ends: tuple[str, str, str]) -> None:
    """From the highest to the last that may go on; TTL and protocol share a checksummed word."""
    for ttl in (255, 128, 64, 2, 1):
        packet = packets.tcp(ends[0], ends[1], header=packets.Header(ttl=ttl))
        text = octets(packet)
        decrease_ttl(text, packet[0] >> 4)

        assert text.tobytes() == rebuilt(packet, ends[0], ends[1], hops=1)


@pytest.mark.parametrize("identification", [0, 1, 0x8000, 0xFFFF])
def test_an_identification_is_written_and_the_header_stays_right(identification: int) -> None:
    """The header's sum is the only one that covers it."""
    text = octets(packets.udp(ENDS[0], ENDS[1], b"x"))
    set_identification(text, identification)
    header = packets.Header(identification=identification)

    assert text.tobytes() == packets.udp(ENDS[0], ENDS[1], b"x", header=header)


@pytest.mark.parametrize("build", [packets.tcp, packets.udp])
def test_a_transport_sum_may_go_from_one_version_to_the_other(build: Any) -> None:
    """v4-mapped addresses differ from IPv4's by one's complement zero."""
    packet = build(ENDS6[0], ENDS6[1], payload=b"hello")
    original, reply = half_of(*ENDS6[:2]), half_of(ENDS[2], ENDS[0])
    sum_deltas(original, reply)
    text = octets(packet)
    deltas = int(original["address_delta"]), int(original["transport_delta"])
    rewrite_transport(text, frame_of(packet), parsed_of(packet), reply, *deltas)

    assert text.tobytes()[40:] == crossed(packet, ENDS[0], ENDS[2])[20:]
