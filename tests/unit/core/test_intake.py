from __future__ import annotations

import pytest

from natlb.core.intake import BY_ADDRESS, take_in
from natlb.core.layout import HEADROOM, PRIVATE, PUBLIC
from natlb.engine import PacketMeta
from natlb.testing import packets
from natlb.wire.frame import GSO_NONE, GSO_TCP4, GSO_TCP6, GSO_UDP_L4
from tests.datapath import B1, B1_6, CLIENT, CLIENT6, VIP, VIP6, engine

ENDS, ENDS6 = (f"{CLIENT}:40000", f"{VIP}:80"), (f"[{CLIENT6}]:40000", f"[{VIP6}]:80")


@pytest.mark.parametrize(
    ("packet", "side"),
    [
        (packets.tcp(*ENDS), PUBLIC),
        (packets.tcp(*ENDS6), PUBLIC),
        (packets.tcp(f"{B1}:8080", ENDS[0]), PRIVATE),
        (packets.udp(f"[{B1_6}]:40000", ENDS6[0]), PRIVATE),
        (packets.echo_request(B1, VIP), PRIVATE),
        (packets.tcp("10.9.0.99:8080", ENDS[0]), PUBLIC),
        (b"nonsense", PUBLIC),
    ],
)
def test_a_packet_comes_from_the_side_where_its_source_is(packet: bytes, side: int) -> None:
    """Backends are on the private side, everybody else on the public one."""
    path = engine()
    path._place(0, packet, PacketMeta())

    assert path._batch.frames[0]["way"] == side


@pytest.mark.parametrize(("name", "side"), [("public", PUBLIC), ("private", PRIVATE)])
def test_the_side_that_is_said_is_taken(name: str, side: int) -> None:
    """As a driver says it: also of a forged source."""
    path = engine()
    for source in (CLIENT, B1):
        path._place(0, packets.udp(f"{source}:1", f"{VIP}:53"), PacketMeta(side=name))  # type: ignore[arg-type]
        assert path._batch.frames[0]["way"] == side
    assert BY_ADDRESS not in (PUBLIC, PRIVATE)


@pytest.mark.parametrize(
    ("packet", "start", "offset", "kind"),
    [
        (packets.tcp(*ENDS, "A", payload=bytes(100)), 20, 16, GSO_TCP4),
        (packets.tcp(*ENDS6, "A", payload=bytes(100)), 40, 16, GSO_TCP6),
        (packets.udp(*ENDS, bytes(100)), 20, 6, GSO_UDP_L4),
        (packets.udp(*ENDS6, bytes(100)), 40, 6, GSO_UDP_L4),
        (packets.echo_request(CLIENT, VIP), 0, 0, GSO_NONE),
        (b"nonsense", 0, 0, GSO_NONE),
    ],
)
def test_the_offload_form_is_the_kernels(packet: bytes, start: int, offset: int, kind: int) -> None:
    """What the virtio-net header would have said."""
    path = engine()
    frame = path._batch.frames[0]
    for meta, form in (
        (PacketMeta(), (0, 0, 0, GSO_NONE, 0)),
        (PacketMeta(unfinished_checksum=True), (1, start, offset, GSO_NONE, 0)),
        (PacketMeta(unfinished_checksum=True, segment_size=10), (1, start, offset, kind, 10)),
        (PacketMeta(segment_size=10), (0, start, offset, kind, 10)),
    ):
        path._place(0, packet, meta)
        names = ("needs_checksum", "checksum_start", "checksum_offset", "gso_type", "gso_size")
        assert tuple(int(frame[name]) for name in names) == form


def test_a_frame_shows_its_packet() -> None:
    """In its own slot, behind the headroom."""
    path = engine()
    packet = packets.udp(*ENDS, b"hello")
    path._batch.slots[3, HEADROOM : HEADROOM + len(packet)] = list(packet)
    take_in(path._core, 3, len(packet), PUBLIC, 0, 0)
    frame = path._batch.frames[3]

    assert (frame["slot"], frame["start"], frame["length"]) == (3, HEADROOM, len(packet))
