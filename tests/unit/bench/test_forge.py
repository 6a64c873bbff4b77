"""What loads the benchmarks is what it says it is: scapy reads it."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP

from natlb.bench import forge
from natlb.testing.packets import tcp, udp

CLIENT, SERVER = "198.51.100.2", "203.0.113.10"


def flows(count: int) -> forge.Ends:
    """Return so many flows from two addresses."""
    return forge.call(count, CLIENT, 2, SERVER, 53)


def test_a_datagram_is_what_one_made_the_plain_way_is() -> None:
    """The same fields and sums, octet for octet but for IP's identification."""
    made = forge.udp4(flows(1), 18)[0].tobytes()
    plain = udp(f"{CLIENT}:10000", f"{SERVER}:53", bytes(18))

    assert made[20:] == plain[20:]


def test_a_segment_is_what_one_made_the_plain_way_is() -> None:
    """Flags, sequence and sums among it."""
    made = forge.tcp4(flows(1), forge.SYN)[0].tobytes()
    plain = tcp(f"{CLIENT}:10000", f"{SERVER}:53", "S", sequence=1000)

    assert made[20:] == plain[20:]


@pytest.mark.parametrize(("kind", "layer"), [("udp", UDP), ("tcp", TCP)])
def test_every_row_has_right_checksums(kind: str, layer: type) -> None:
    """A forwarder that checks them drops none; scapy sums them anew."""
    ends = flows(300)
    rows = forge.udp4(ends, 18) if kind == "udp" else forge.tcp4(ends, forge.ACK, 2)
    for row in rows:
        read = IP(row.tobytes())
        sums = read.chksum, read[layer].chksum
        del read.chksum, read[layer].chksum
        again = IP(bytes(read))

        assert sums == (again.chksum, again[layer].chksum)


def test_flows_are_all_different() -> None:
    """Addresses in turn, then the next port."""
    ends = flows(1000)

    assert len(set(zip(ends.source, ends.source_port, strict=True))) == 1000
    assert set(ends.source) == {0xC6336402, 0xC6336403}


def test_more_flows_than_ports_are_refused() -> None:
    """A port past 65535 would wrap round and be another flow's."""
    with pytest.raises(ValueError, match="have no 200000 ports"):
        flows(200_000)


def test_answers_go_the_other_way() -> None:
    """Source and destination change places."""
    ends = flows(3)
    packet = IP(forge.udp4(ends.back(), 0)[2].tobytes())

    assert (packet.src, packet.dst) == (SERVER, CLIENT)
    assert (packet[UDP].sport, packet[UDP].dport) == (53, 10001)


def test_words_hold_the_octets_in_memory_order() -> None:
    """They are copied into slots as they lie."""
    octets = forge.udp4(flows(5), 18)

    assert forge.words_of(octets, 4)[3].tobytes() == octets[3, :32].tobytes()
    assert forge.words_of(octets, 7)[3].tobytes() == octets[3].tobytes() + bytes(10)
