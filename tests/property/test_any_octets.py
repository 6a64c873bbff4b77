"""Any octets at all: a verdict, a counter, and never an exception."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from natlb.engine import PacketMeta, Verdict
from natlb.testing import packets
from tests.datapath import assert_counts_agree
from tests.hostile import all_broken_laws, engine, seeds

SOUND = seeds()
MOST_PIECES = 3  # of one packet here: the MTUs are near to each other
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


BATCHES = st.lists(st.tuples(st.one_of(st.binary(max_size=120), nearly_sound()), METAS), max_size=8)


@settings(max_examples=settings.default.max_examples * 2)  # type: ignore[union-attr]
@given(st.lists(st.tuples(BATCHES, st.sampled_from([0.0, 0.2, 3.0])), max_size=3))
def test_any_octets_get_a_verdict_and_a_counter(
    batches: list[tuple[list[tuple[bytes, PacketMeta]], float]],
) -> None:
    """And nothing of them goes out that was dropped (I4, I6)."""
    path = engine()
    now, held = 0.0, 0
    for batch, seconds in batches:
        now += seconds
        results = path.process_batch([p for p, _ in batch], now, [meta for _, meta in batch])
        for (packet, _), result in zip(batch, results, strict=True):
            assert (result.reason is None) <= (result.verdict is not Verdict.DROP)
            held += result.verdict is Verdict.HOLD
            stays = result.verdict in (Verdict.DROP, Verdict.HOLD)
            assert len(result.packets) <= (0 if stays else MOST_PIECES * (1 + held))
            if result.verdict is Verdict.PASS:
                assert packet in result.packets
            if result.verdict is Verdict.REPLY:
                assert result.packets[0][6] & 0x3F or not packets.faults(result.packets[0])
        path.tick(now)
    stats = path.stats()
    assert "internal" not in stats.drops
    assert_counts_agree(stats)
    assert not all_broken_laws(path)
