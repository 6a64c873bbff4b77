from __future__ import annotations

from typing import Any

import pytest

from natlb.core.layout import ACTION_IPID, ACTION_MSS
from natlb.testing import packets
from natlb.testing.packets import Header
from tests import judge
from tests.crossing import BOTH, TO4, Crossing
from tests.datapath import CLIENT, CLIENT6, VIP, VIP6, engine
from tests.kernels import needs_plain_kernels

needs_plain_kernels()

MSS_1460 = bytes([2, 4, 0x05, 0xB4])
FROM, FROM6 = f"{CLIENT}:40000", f"[{CLIENT6}]:40000"


def mss_of(packet: bytes) -> int:
    """Return what scapy reads."""
    assert not packets.faults(packet)
    return int(dict(judge.dissect(packet)[judge.TCP].options)["MSS"])


def clamping(mss: int) -> Any:
    """Return an engine whose services let through so much."""
    path = engine()
    path._core.tables.services.flags.writeable = True
    path._core.tables.services["mss4"] = mss
    path._core.tables.services["mss6"] = max(0, mss - 20)
    return path


@pytest.mark.parametrize(
    ("source", "vip", "limit"), [(FROM, f"{VIP}:80", 1260), (FROM6, f"[{VIP6}]:80", 1240)]
)
def test_syn_and_syn_ack_are_lowered_and_nothing_else(source: str, vip: str, limit: int) -> None:
    """To what the service says for each IP version (T21)."""
    path = clamping(1260)
    syn = path.process(packets.tcp(source, vip, "S", options=MSS_1460), 0.0).packets[0]
    server = packets.read(syn).destination
    syn_ack = path.process(packets.tcp(server, source, "SA", options=MSS_1460), 0.0).packets[0]
    later = path.process(packets.tcp(source, vip, "A", options=MSS_1460), 0.0).packets[0]

    assert [mss_of(packet) for packet in (syn, syn_ack, later)] == [limit, limit, 1460]


def test_where_no_service_says_so_nothing_is_lowered() -> None:
    """The default; and of a flow whose service says so no more."""
    path = clamping(0)
    syn = packets.tcp(FROM, f"{VIP}:80", "S", options=MSS_1460)
    assert mss_of(path.process(syn, 0.0).packets[0]) == 1460
    assert path._core.flows.rows[1]["actions"] & ACTION_MSS == 0

    path = clamping(1260)
    path.process(syn, 0.0)
    path._core.tables.services["mss4"] = 0
    assert mss_of(path.process(syn, 0.0).packets[0]) == 1460


@pytest.mark.parametrize("ends", BOTH)
def test_between_versions_the_wider_header_counts_both_ways(ends: Any) -> None:
    """What the one side may send has to fit in the other's."""
    talk = Crossing(ends, mss=1440)
    syn = talk.send(talk.original(flags="S", options=MSS_1460)).packets[0]
    syn_ack = talk.send(talk.reply(flags="SA", options=MSS_1460)).packets[0]

    assert (mss_of(syn), mss_of(syn_ack)) == (1440, 1440)


def numbered(header: Header, source: str = FROM, vip: str = f"{VIP}:53") -> list[bytes]:
    """Return three packets that went through a flow of full NAT with this header."""
    path = engine()
    path.process(packets.udp(source, vip), 0.0)
    path._core.flows.rows[1]["actions"] |= ACTION_IPID
    packet = packets.udp(source, vip, bytes(16), header=header)
    return [path.process(packet, 0.0).packets[0] for _ in range(3)]


def test_what_may_be_fragmented_is_numbered_by_natlb() -> None:
    """Clients that share an address must not share identifications (R11)."""
    sent = numbered(Header(dont_fragment=False, identification=77))

    assert len({judge.IP(packet).id for packet in sent}) == 3
    assert all(judge.is_sound(packet) for packet in sent)


def test_what_may_not_be_fragmented_keeps_its_number() -> None:
    """It means nothing (RFC 6864 section 4.1), and I2 wants it left alone."""
    sent = numbered(Header(identification=77))

    assert {judge.IP(packet).id for packet in sent} == {77}


def test_ip6_has_no_number() -> None:
    """But in a fragment."""
    sent = numbered(Header(), FROM6, f"[{VIP6}]:53")

    assert len(set(sent)) == 1
    assert judge.is_sound(sent[0])


def test_a_clamped_flow_without_syn_is_left_alone() -> None:
    """Data of the same flow."""
    talk = Crossing(TO4, mss=500)
    out = talk.send(talk.original(flags="A", options=MSS_1460)).packets[0]

    assert mss_of(out) == 1460
