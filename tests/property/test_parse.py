"""`parse()` never raises, and what it accepts is true: scapy reads the same."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from natlb.wire.parsed import PLAIN
from natlb.wire.reasons import ACCEPTED, DropReason
from tests import judge
from tests.kernels import needs_plain_kernels, parsed_of
from tests.property.strategies import Ends, datagrams, ends, segments
from tests.property.test_any_octets import nearly_sound

needs_plain_kernels()

FORMS = st.fixed_dictionaries(
    {},
    optional={
        "needs_checksum": st.integers(0, 1),
        "checksum_start": st.integers(0, 0xFFFF),
        "checksum_offset": st.integers(0, 0xFFFF),
        "gso_type": st.integers(0, 255),
        "gso_size": st.integers(0, 0xFFFF),
    },
)


@given(st.one_of(st.binary(max_size=200), nearly_sound()), FORMS)
def test_it_never_raises_and_its_offsets_lie_inside(packet: bytes, form: dict[str, int]) -> None:
    """On any octets, beside any offload form."""
    parsed = parsed_of(packet, **form)

    assert parsed["refusal"] == ACCEPTED or int(parsed["refusal"]) in set(DropReason)
    assert parsed["segments"] >= 1
    assert parsed["wire_bytes"] >= 0
    if parsed["refusal"] == ACCEPTED:
        assert 20 <= parsed["l4"] <= parsed["payload"] <= parsed["end"] <= len(packet)
        assert parsed["version"] == packet[0] >> 4


@given(nearly_sound())
def test_what_it_accepts_is_what_scapy_reads(packet: bytes) -> None:
    """Addresses, protocol, ports, TTL and where the payload lies."""
    parsed = parsed_of(packet)
    if parsed["refusal"] != ACCEPTED or parsed["kind"] != PLAIN:
        return
    read = judge.dissect(packet[: parsed["end"]])

    assert read.version == parsed["version"]
    assert _address(parsed, "source") == int(ip_address(read.src))
    assert _address(parsed, "destination") == int(ip_address(read.dst))
    if read.version == 4:
        assert (read.ttl, read.proto, read.len) == (
            parsed["ttl"],
            parsed["protocol"],
            parsed["end"],
        )
    else:
        assert (read.hlim, read.nh, read.plen + 40) == (
            parsed["ttl"],
            parsed["protocol"],
            parsed["end"],
        )
    for layer in (judge.TCP, judge.UDP):
        if layer in read and parsed["protocol"] in (6, 17):
            ports = int(parsed["source_port"]), int(parsed["destination_port"])
            assert (read[layer].sport, read[layer].dport) == ports


def _address(parsed: Any, end: str) -> int:
    first = 2 if parsed["version"] == 6 else 4
    lanes = [int(parsed[f"{end}{lane}"]) for lane in range(4)]
    if first == 4:
        assert lanes[:3] == [0, 0, 0xFFFF]
        return lanes[3]
    return int.from_bytes(struct.pack("!4I", *lanes))


@given(ends(), st.data())
def test_it_accepts_every_sound_packet(who: Ends, data: st.DataObject) -> None:
    """Strictness that refuses honest packets is a fault too."""
    packet = data.draw(st.one_of(segments(who.client, who.vip), datagrams(who.client, who.vip)))
    parsed = parsed_of(packet)

    assert parsed["refusal"] == ACCEPTED
    assert parsed["end"] == parsed["wire_bytes"] == len(packet)
