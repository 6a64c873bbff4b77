"""Between IPv6 and IPv4: what leaves is what scapy would have built, and nothing is lost there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from natlb.engine import Engine, PacketMeta, Verdict
from natlb.testing import packets
from tests import judge
from tests.property.strategies import PORTS, addresses, datagrams, headers, segments

if TYPE_CHECKING:
    from natlb.testing.packets import Header

PROTOCOLS = st.sampled_from(["tcp", "udp"])
SOURCES = ["10.99.0.1", "fd00:99::1"]
SOURCES_BEHIND = ["10.98.0.1", "fd00:98::1"]


class Between:
    """A client of one version before a backend of the other, and the flow they have."""

    def __init__(
        self, draw: Any, version: int, protocol: str, before: Between | None = None
    ) -> None:
        """Draw the ends and open the flow; `before` is a natlb whose backend this one is."""
        versions = (version, version, 10 - version)
        ends = [
            packets.join_endpoint(draw(addresses(v, at)), draw(PORTS))
            for at, v in enumerate(versions)
        ]
        self.client, self.vip, self.backend = ends
        if before is not None:
            self.client, self.vip = before.source, before.backend
        service = {"listen": f"{protocol}://{self.vip}", "backends": [self.backend]}
        datapath = {"max_flows": 16, "source": SOURCES if before is None else SOURCES_BEHIND}
        self.path = Engine({"datapath": datapath, "services": {"any": service}})
        build = packets.tcp if protocol == "tcp" else packets.udp
        first = self.send(build(self.client, self.vip), "public")
        self.source: str = packets.read(first).source

    def send(self, packet: bytes, side: Any, *, unfinished: bool = False) -> bytes:
        """Return what a packet becomes."""
        meta = PacketMeta(side=side, unfinished_checksum=unfinished)
        result = self.path.process(packet, 0.0, meta)
        assert result.verdict is Verdict.FORWARD
        (out,) = result.packets
        return out

    def ways(self) -> list[tuple[str, str, Any, tuple[str, str]]]:
        """Return each direction's ends as they are sent, its side, and its ends as they arrive."""
        there = (self.client, self.vip, "public", (self.source, self.backend))
        return [there, (self.backend, self.source, "private", (self.vip, self.client))]


def drawn(draw: Any, protocol: str, source: str, destination: str) -> bytes:
    """Return a drawn packet between two ends."""
    kind = segments(source, destination) if protocol == "tcp" else datagrams(source, destination)
    return draw(kind)


def is_unchecked(packet: bytes) -> bool:
    """Return whether this is UDP over IPv4 whose sender computed no checksum."""
    return packet[0] >> 4 == 4 and packet[9] == 17 and packet[26:28] == b"\0\0"


@given(st.sampled_from([4, 6]), PROTOCOLS, st.data())
def test_a_packet_that_crossed_is_the_one_rebuilt(
    version: int, protocol: str, data: st.DataObject
) -> None:
    """Both ways, octet for octet, but for the identification, which natlb gives (I1, I2, R16)."""
    talk = Between(data.draw, version, protocol)
    for source, destination, side, seen in talk.ways():
        packet = drawn(data.draw, protocol, source, destination)
        out = talk.send(packet, side)

        assert out == judge.crossed(packet, *seen, int.from_bytes(out[4:6]))


@given(st.sampled_from([4, 6]), PROTOCOLS, st.data())
def test_an_unfinished_checksum_is_right_once_finished(
    version: int, protocol: str, data: st.DataObject
) -> None:
    """In the virtio form, whichever version's pseudo-header it began with."""
    talk = Between(data.draw, version, protocol)
    for source, destination, side, seen in talk.ways():
        drawn_one = drawn(data.draw, protocol, source, destination)
        packet = packets.finished(packets.unfinished(drawn_one))
        out = packets.finished(talk.send(packets.unfinished(packet), side, unfinished=True))

        assert out == judge.crossed(packet, *seen, int.from_bytes(out[4:6]))


@given(st.sampled_from([4, 6]), PROTOCOLS, st.data())
def test_damage_stays_damage(version: int, protocol: str, data: st.DataObject) -> None:
    """Checksums are right behind natlb exactly where they were right before (I1)."""
    talk = Between(data.draw, version, protocol)
    for source, destination, side, _ in talk.ways():
        packet = drawn(data.draw, protocol, source, destination)
        at = packets.transport_at(packet)
        options = range(at + 20, at + 20 + len(packets.read(packet).options))  # are judged
        places = sorted(set(range(at + 8, len(packet))) - {at + 12, at + 13, *options})
        if not places or is_unchecked(packet):
            continue
        where, bit = data.draw(st.sampled_from(places)), data.draw(st.integers(0, 7))
        hurt = packet[:where] + bytes([packet[where] ^ 1 << bit]) + packet[where + 1 :]

        assert packets.faults(talk.send(hurt, side)) == packets.faults(hurt)
        assert packets.faults(hurt)


@given(PROTOCOLS, st.data())
def test_from_ip6_through_ip4_to_ip6_nothing_is_lost(protocol: str, data: st.DataObject) -> None:
    """Two natlbs in a row: all behind the ports is as it was, and so is the traffic class."""
    near = Between(data.draw, 6, protocol)
    far = Between(data.draw, 4, protocol, before=near)
    packet = drawn(data.draw, protocol, near.client, near.vip)
    out = far.send(near.send(packet, "public"), "public")
    field = 16 if protocol == "tcp" else 6

    assert out[44 : 40 + field] == packet[44 : 40 + field]
    assert out[42 + field :] == packet[42 + field :]
    assert judge.IPv6(out).tc == judge.IPv6(packet).tc
    assert not packets.faults(out)


@given(st.sampled_from([4, 6]), headers(), st.data())
def test_hops_and_classes_are_copied(version: int, header: Header, data: st.DataObject) -> None:
    """The flow label is not: IPv4 has none."""
    talk = Between(data.draw, version, "udp")
    out = judge.dissect(talk.send(packets.udp(talk.client, talk.vip, header=header), "public"))
    read = (out.tos, out.ttl) if version == 6 else (out.tc, out.hlim)

    assert read == (header.tos, header.ttl)
    assert version == 6 or out.fl == 0
