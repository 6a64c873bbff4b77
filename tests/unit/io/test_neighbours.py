"""Who asks for an address of natlb's on a link is told, and nobody else."""

from __future__ import annotations

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether

from natlb.core.batch import make_batch
from natlb.core.layout import PRIVATE, PUBLIC
from natlb.core.memory import Kind, make
from natlb.io.calls import PACKET_OTHERHOST
from natlb.io.neighbours import answer_arp
from natlb.io.packet import read_links
from natlb.io.queues import make_queues
from tests.kernels import needs_plain_kernels
from tests.paper_hops import lanes_of
from tests.unit.io.links import OURS, FakeLink

needs_plain_kernels()

VIP, VIP6 = "203.0.113.10", "2001:db8::10"


def asked(
    packet: bytes, kind: str, ifindex: int = 7, tag: int = 0, seen_as: int = 0
) -> list[Ether]:
    """Return what natlb answers to a frame on link 7, where it answers on link `ifindex`."""
    hops = make(Kind.NEXT_HOPS, links=2, routes=1, neighbours=1, answered=2)
    hops.links["ifindex"] = 7, 8
    hops.links["mac_high"], hops.links["mac_low"] = 0x0A00, 1
    hops.answered["ifindex"] = ifindex
    for at, address in enumerate((VIP, VIP6)):
        for lane, value in enumerate(lanes_of(address)):
            hops.answered[at][f"address{lane}"] = value
    links, wire = [FakeLink(7), FakeLink(8)], FakeLink(7)
    ports = [each.link(side) for side, each in enumerate(links)]
    queues = make_queues([*ports, wire.output(PUBLIC), wire.output(PRIVATE)])
    batch = make_batch(4)
    links[PUBLIC].frame(packet, kind)
    assert read_links(queues, batch, hops) == 0
    if tag or seen_as:
        wire.left()
        batch.slots[0, 128 : 128 + len(packet)] = memoryview(packet)
        queues.receiving.tags[0], queues.receiving.addresses[0]["kind"] = tag, seen_as
        answer_arp(queues, batch, hops, 0, 0)
    found = [Ether(frame) for _, frame in wire.left()]
    for each in (*links, wire):
        each.close()
    return found


def request(address: str) -> bytes:
    """Return the question who has an address."""
    return bytes(ARP(op=1, hwsrc="0a:00:00:00:00:02", psrc="203.0.113.2", pdst=address))


def test_arp_is_answered_from_the_links_own_address() -> None:
    """To who asked."""
    (answer,) = asked(request(VIP), "0806")

    assert (answer.src, answer.dst) == ("0a:00:00:00:00:01", "0a:00:00:00:00:02")
    assert (answer[ARP].op, answer[ARP].psrc) == (2, VIP)
    assert answer[ARP].hwsrc.replace(":", "") == OURS


def test_an_answer_has_the_tag_of_its_question() -> None:
    """Who asks in a VLAN listens there."""
    (answer,) = asked(request(VIP), "0806", tag=0x81000064)

    assert (answer.type, answer.payload.vlan) == (0x8100, 100)
    assert answer[ARP].psrc == VIP


@pytest.mark.parametrize(
    ("address", "change"),
    [("203.0.113.11", {}), (VIP, {"ifindex": 8}), (VIP, {"seen_as": PACKET_OTHERHOST})],
)
def test_other_questions_are_the_hosts(address: str, change: dict[str, int]) -> None:
    """For other addresses, on other links, or to somebody else."""
    assert asked(request(address), "0806", **change) == []


def test_what_is_no_request_is_not_answered() -> None:
    """Answers of others come by as well."""
    assert asked(bytes(ARP(op=2, psrc="203.0.113.2", pdst=VIP)), "0806") == []


@pytest.mark.parametrize(
    ("source", "to"), [("2001:db8::2", OURS[:-1] + "b"), ("::", "333300000001")]
)
def test_a_solicitation_is_answered(source: str, to: str) -> None:
    """To who sent it, or to all nodes."""
    question = IPv6(src=source, dst="ff02::1:ff00:10", hlim=255) / ICMPv6ND_NS(tgt=VIP6)
    (answer,) = asked(bytes(question), "86dd")

    assert answer.dst.replace(":", "") == to
    assert answer[ICMPv6ND_NA].tgt == VIP6


@pytest.mark.parametrize(("target", "hops"), [("2001:db8::11", 255), (VIP6, 64)])
def test_another_solicitation_is_not(target: str, hops: int) -> None:
    """For another's address, or from afar."""
    question = IPv6(src="2001:db8::2", dst="ff02::1:ff00:10", hlim=hops) / ICMPv6ND_NS(tgt=target)

    assert asked(bytes(question), "86dd") == []
