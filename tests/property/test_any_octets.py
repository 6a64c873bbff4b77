"""Any octets at all: a verdict, a counter, and never an exception."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from natlb.engine import PacketMeta, Verdict
from natlb.testing import packets
from tests.datapath import B1, CLIENT, CLIENT6, VIP, VIP6, assert_counts_agree, broken_laws, engine

SOUND = [
    packets.tcp(f"{CLIENT}:40000", f"{VIP}:80", payload=b"hello"),
    packets.udp(f"{CLIENT}:5000", f"{VIP}:53", b"hello"),
    packets.tcp(f"[{CLIENT6}]:40000", f"[{VIP6}]:80"),
    packets.udp(f"[{CLIENT6}]:5000", f"[{VIP6}]:53", b"hello"),
    packets.tcp(f"{B1}:8080", f"{CLIENT}:40000", "SA"),
    packets.echo_request(CLIENT, VIP),
    packets.echo_request(CLIENT6, VIP6),
    packets.icmp(CLIENT, VIP, 3, 4, 1300, packets.udp(f"{VIP}:53", f"{CLIENT}:5000")),
]
METAS = st.builds(
    PacketMeta,
    side=st.sampled_from([None, "public", "private"]),
    unfinished_checksum=st.booleans(),
    segment_size=st.one_of(st.just(0), st.integers(0, 0xFFFF)),
)


@st.composite
def nearly_sound(draw: Any) -> bytes:
    """Return a sound packet with some octets changed, cut or added, its header sum right again."""
    packet = bytearray(draw(st.sampled_from(SOUND)))
    for at, value in draw(st.lists(st.tuples(st.integers(0, 79), st.integers(0, 255)), max_size=4)):
        packet[at % len(packet)] = value
    del packet[len(packet) - draw(st.integers(0, 30)) :]
    packet += draw(st.binary(max_size=20))
    if len(packet) >= 20 and packet[0] >> 4 == 4 and draw(st.booleans()):
        header = (packet[0] & 15) * 4
        packet[10:12] = b"\0\0"
        packet[10:12] = (~packets.sum_words(bytes(packet[:header])) & 0xFFFF).to_bytes(2)
    return bytes(packet)


@settings(max_examples=settings.default.max_examples * 2)  # type: ignore[union-attr]
@given(st.lists(st.tuples(st.one_of(st.binary(max_size=120), nearly_sound()), METAS), max_size=8))
def test_any_octets_get_a_verdict_and_a_counter(batch: list[tuple[bytes, PacketMeta]]) -> None:
    """And nothing of them goes out that was dropped (I4, I6)."""
    path = engine(max_flows=4)
    results = path.process_batch([p for p, _ in batch], 0.0, [meta for _, meta in batch])

    for (packet, _), result in zip(batch, results, strict=True):
        assert (result.reason is None) <= (result.verdict is not Verdict.DROP)
        stays = result.verdict in (Verdict.DROP, Verdict.HOLD)
        assert len(result.packets) <= (0 if stays else len(batch))  # held pieces may go along
        if result.verdict is Verdict.PASS:
            assert packet in result.packets
        if result.verdict is Verdict.REPLY:
            assert result.packets[0][6] & 0x3F or not packets.faults(result.packets[0])
    stats = path.stats()
    assert "internal" not in stats.drops
    assert_counts_agree(stats)
    assert not broken_laws(path._flows, path._counters)
