from __future__ import annotations

from ipaddress import ip_address

import pytest

from natlb.core.batch import make_batch
from natlb.core.layout import HEADROOM, PRIVATE, PUBLIC
from natlb.simulation.kernels.world import PACKETS
from natlb.simulation.packets import place_packets
from natlb.wire.fields import TCP, UDP
from natlb.wire.reasons import ACCEPTED


def placed(vip: str, protocol: int):
    """Return a batch with the packets of a flow to this VIP."""
    batch = make_batch(PACKETS, 512)
    place_packets(batch, ip_address(vip), 80, protocol)
    return batch


@pytest.mark.parametrize("vip", ["203.0.113.10", "2001:db8:1::10"])
@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_packets_are_what_scapy_would_send(vip: str, protocol: int) -> None:
    """Its checksums are computed by another: a packet rebuilt is the same."""
    from scapy.layers.inet import IP
    from scapy.layers.inet import TCP as TCP_HEADER
    from scapy.layers.inet import UDP as UDP_HEADER
    from scapy.layers.inet6 import IPv6

    batch = placed(vip, protocol)
    for slot in range(PACKETS):
        length = batch.frames[slot]["length"]
        octets = batch.slots[slot, HEADROOM : HEADROOM + length].tobytes()
        packet = (IP if ip_address(vip).version == 4 else IPv6)(octets)
        transport = packet[TCP_HEADER if protocol == TCP else UDP_HEADER]
        transport.chksum = None
        if ip_address(vip).version == 4:
            packet.chksum = None

        assert bytes(packet) == octets


def test_packets_go_both_ways() -> None:
    """SYN, SYN-ACK, ACK, and a FIN each."""
    batch = placed("203.0.113.10", TCP)

    assert all(batch.parsed["refusal"] == ACCEPTED)
    assert list(batch.frames["way"]) == [PUBLIC, PRIVATE, PUBLIC, PUBLIC, PRIVATE]
    assert [int(flags) for flags in batch.parsed["tcp_flags"]] == [0x02, 0x12, 0x10, 0x11, 0x11]
    assert list(batch.parsed["destination_port"] == 80) == [True, False, True, True, False]
