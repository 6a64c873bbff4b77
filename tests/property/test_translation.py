"""What leaves is what scapy would have built; and the client cannot tell natlb from the server."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from natlb.engine import DropReason, PacketMeta, Verdict
from natlb.testing import packets
from tests import judge
from tests.property.strategies import Ends, datagrams, ends, segments

SOURCES = ["10.99.0.1", "fd00:99::1"]


def opened(who: Ends, protocol: str, **options: Any) -> Any:
    """Return an engine in which the client's flow was made."""
    path = who.engine(**options)
    build = packets.tcp if protocol == "tcp" else packets.udp
    first = path.process(build(who.client, who.vip), 0.0)
    assert packets.read(first.packets[0]).destination == who.backend
    return path


def drawn(data: st.DataObject, protocol: str, source: str, destination: str) -> bytes:
    """Return a drawn packet between two ends."""
    kind = segments(source, destination) if protocol == "tcp" else datagrams(source, destination)
    return data.draw(kind)


PROTOCOLS = st.sampled_from(["tcp", "udp"])


@given(ends(), PROTOCOLS, st.data())
def test_a_rewritten_packet_is_the_one_rebuilt(
    who: Ends, protocol: str, data: st.DataObject
) -> None:
    """Both ways, octet for octet: addresses, ports and sums, and nothing else (I1, I2, U19)."""
    path = opened(who, protocol)
    there = drawn(data, protocol, who.client, who.vip)
    back = drawn(data, protocol, who.backend, who.client)

    assert path.process(there, 0.0).packets == [judge.rebuilt(there, who.client, who.backend)]
    assert path.process(back, 0.0).packets == [judge.rebuilt(back, who.vip, who.client)]


@given(ends(), PROTOCOLS, st.data())
def test_with_full_nat_both_ends_are_rebuilt(who: Ends, protocol: str, data: st.DataObject) -> None:
    """Both ways; towards the backend a packet that may be fragmented gets an identification."""
    path = who.engine(nat="full", source=SOURCES)
    build = packets.tcp if protocol == "tcp" else packets.udp
    first = path.process(build(who.client, who.vip), 0.0, PacketMeta(side="public"))
    own = packets.read(first.packets[0]).source
    there = drawn(data, protocol, who.client, who.vip)
    back = drawn(data, protocol, who.backend, own)

    (out,) = path.process(there, 0.0, PacketMeta(side="public")).packets
    assert out == judge.rebuilt(renamed(there, out), own, who.backend)
    (out,) = path.process(back, 0.0, PacketMeta(side="private")).packets
    assert out == judge.rebuilt(renamed(back, out), who.vip, who.client)
    assert packets.split_endpoint(own)[0].compressed in SOURCES


def renamed(packet: bytes, other: bytes) -> bytes:
    """Return a packet with the identification of another, where IPv4 lets it be fragmented."""
    if packet[0] >> 4 == 6 or packet[6] & 0x40:
        return packet
    return packet[:4] + other[4:6] + packet[6:]


@given(ends(), PROTOCOLS, st.data())
def test_natlbs_own_hop_is_taken_and_summed(who: Ends, protocol: str, data: st.DataObject) -> None:
    """Where no kernel forwards behind it."""
    path = opened(who, protocol, ttl="own")
    there = drawn(data, protocol, who.client, who.vip)

    expected = judge.rebuilt(there, who.client, who.backend, hops=1)
    assert path.process(there, 0.0).packets == [expected]


@given(ends(), PROTOCOLS, st.data())
def test_the_client_sees_the_vip_answer(who: Ends, protocol: str, data: st.DataObject) -> None:
    """Original, then reply, is the identity: as if there were no backend at all."""
    path = opened(who, protocol)
    from_vip = drawn(data, protocol, who.vip, who.client)
    from_backend = judge.rebuilt(from_vip, who.backend, who.client)

    assert path.process(from_backend, 0.0).packets == [from_vip]


@given(ends(), PROTOCOLS, st.data())
def test_an_unfinished_checksum_is_right_once_finished(
    who: Ends, protocol: str, data: st.DataObject
) -> None:
    """The virtio form, both ways; the device knows nothing of the rewrite."""
    path = opened(who, protocol)
    meta = PacketMeta(unfinished_checksum=True)
    for source, destination, seen in (
        (who.client, who.vip, (who.client, who.backend)),
        (who.backend, who.client, (who.vip, who.client)),
    ):
        whole = packets.finished(packets.unfinished(drawn(data, protocol, source, destination)))
        result = path.process(packets.unfinished(whole), 0.0, meta)

        assert [packets.finished(each) for each in result.packets] == [judge.rebuilt(whole, *seen)]


@given(ends(), PROTOCOLS, st.data())
def test_damage_stays_damage(who: Ends, protocol: str, data: st.DataObject) -> None:
    """Whatever was changed on the way but ports and lengths, the receiver can still tell (I1).

    Where TCP's options end is seen here already.
    """
    path = opened(who, protocol)
    packet = drawn(data, protocol, who.client, who.vip)
    at = packets.transport_at(packet)
    untouchable = {at + offset for offset in (0, 1, 2, 3, 4, 5, 6, 7, 12, 13)}
    places = sorted(set(range(at, len(packet))) - untouchable)
    if not places:
        return
    where, bit = data.draw(st.sampled_from(places)), data.draw(st.integers(0, 7))
    damaged = packet[:where] + bytes([packet[where] ^ 1 << bit]) + packet[where + 1 :]
    result = path.process(damaged, 0.0)
    if result.reason is DropReason.MALFORMED and protocol == "tcp":
        assert at + 20 <= where < at + (packet[at + 12] >> 4) * 4
        return

    assert result.verdict is Verdict.FORWARD
    assert packets.faults(result.packets[0]) == packets.faults(damaged)
    assert len(result.packets[0]) == len(damaged)


@given(ends(), PROTOCOLS, st.data())
def test_a_packet_of_another_client_is_never_mixed_in(
    who: Ends, protocol: str, data: st.DataObject
) -> None:
    """A reply to somebody without a flow is not translated (trap 7).

    It is of a direct conversation, which TCP begins with a SYN; else it is late, and goes nowhere.
    """
    path = opened(who, protocol)
    address, port = packets.split_endpoint(who.client)
    other = packets.join_endpoint(address, port % 0xFFFF + 1)
    packet = drawn(data, protocol, who.backend, other)

    result = path.process(packet, 0.0)
    if protocol == "tcp" and "S" not in packets.read(packet).flags:
        assert result.reason is DropReason.OUT_OF_STATE
        return
    assert result.verdict is Verdict.PASS
    assert result.packets == [packet]
