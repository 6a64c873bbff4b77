"""UDP: RFC 4787, 7857, 6888, 6056, 768."""

from __future__ import annotations

import random
import struct
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from natlb.engine import DropReason, Verdict
from natlb.testing import packets
from natlb.testing.packets import split_endpoint, sum_words
from natlb.wire.checksum import NO_DELTA, add_delta, apply_delta
from tests.conformance.site import Site, Version
from tests.judge import dissect

FULL = {"nat": "full"}


def full_site(version: Version, **words: Any) -> Site:
    """Return a site with full NAT."""
    source = "10.9.0.100" if version == 4 else "fd00:9::100"
    datapath = {"source": [source], **words.pop("datapath", {})}
    return Site(version, service=FULL, datapath=datapath, **words)


def mapped(site: Site, client: str, sport: int) -> tuple[str, str]:
    """Send a client's datagram; return (natlb's source, the backend) as the backend sees them."""
    result = site.send(packets.udp(site.at(client, sport), site.at("vip", 53), b"x"))
    assert result.verdict is Verdict.FORWARD, result
    seen = packets.read(result.packets[0])
    return seen.source, seen.destination


def port_of(end: str) -> int:
    """Return the port of `address:port`."""
    return split_endpoint(end)[1]


@pytest.mark.conformance("U1")
def test_full_nat_uses_a_port_again_for_another_backend(version: Version) -> None:
    """So a source address is worth its ports for each backend, not once."""
    site = full_site(version, datapath={"source_ports": "2000-2009"})
    used = [mapped(site, "client", 5000 + number) for number in range(20)]

    assert len(set(used)) == 20
    assert max(Counter(source for source, _ in used).values()) == 2


@pytest.mark.conformance("U2")
def test_two_clients_of_one_port_get_two_ports(version: Version) -> None:
    """Each answer reaches its owner."""
    site = full_site(version, backends=1)
    first, server = mapped(site, "client", 5000)
    second, _ = mapped(site, "other_client", 5000)
    assert first != second
    for source, client in ((first, "client"), (second, "other_client")):
        answer = site.send(packets.udp(server, source, client.encode()))
        read = packets.read(answer.packets[0])
        assert (read.source, read.destination) == (site.at("vip", 53), site.at(client, 5000))
        assert read.payload == client.encode()


@pytest.mark.conformance("U3")
@pytest.mark.parametrize("sport", [500, 5000])
def test_ports_keep_their_class_and_cannot_be_guessed(version: Version, sport: int) -> None:
    """RFC 6056: no runs, and what the last ten say of the next is nothing."""
    site = full_site(version, backends=1)
    ports = []
    for number in range(1000):
        client = (
            f"198.51.{number // 250}.{number % 250 + 1}"
            if version == 4
            else f"2001:db8:c::{number + 1:x}"
        )
        ports.append(port_of(mapped(site, client, sport)[0]))
    runs, run = 0, 0
    for before, after in pairwise(ports):
        run = run + 1 if after == before + 1 else 0
        runs = max(runs, run)
    guessed = 0
    for at in range(10, len(ports)):
        last = ports[at - 10 : at]
        steps = Counter(after - before for before, after in pairwise(last))
        guessed += ports[at] == last[-1] + steps.most_common(1)[0][0]

    assert len(set(ports)) == 1000
    assert min(ports) >= 1024
    assert runs <= 3
    assert guessed <= 1


@pytest.mark.conformance("U4")
def test_udp_lives_its_timer_and_no_longer(version: Version) -> None:
    """Two minutes at the least; gone at most two seconds behind its end."""
    site = Site(version)
    assert site.engine._config.timeouts.udp == 300
    out = site.send(site.udp()).packets[0]
    site.send(site.answer(out))
    site.wait(119)
    answer = packets.read(site.send(site.answer(out)).packets[0])
    assert answer.destination == site.at("client", 5000)
    site.wait(299)
    assert site.state() == "replied"
    site.wait(3)
    assert site.state() is None
    assert site.engine.stats().flows.current == 0


@pytest.mark.conformance("U4")
def test_an_unanswered_datagram_lives_a_timer_of_its_own(version: Version) -> None:
    """Configured, in the flow's own state."""
    site = Site(version, timeouts={"udp_unreplied": 10})
    site.send(site.udp())
    site.wait(9)
    assert site.state() == "unreplied"
    site.wait(3)
    assert site.state() is None


@pytest.mark.conformance("U5")
def test_the_clients_datagrams_alone_keep_a_flow(version: Version) -> None:
    """Outbound refresh, to a backend that is well."""
    site = Site(version, timeouts={"udp": 10, "udp_unreplied": 10})
    server = packets.read(site.send(site.udp()).packets[0]).destination
    for _ in range(4):
        site.wait(8)
        again = packets.read(site.send(site.udp()).packets[0]).destination
        assert again == server
    assert len(site.engine.flows()) == 1


@pytest.mark.conformance("U6")
def test_the_peer_refreshes_and_a_stranger_never_does(version: Version) -> None:
    """A backend's answers count as life; another backend's to the same client do not."""
    site = Site(version, timeouts={"udp": 10})
    out = site.send(site.udp()).packets[0]
    for _ in range(3):
        site.send(site.answer(out))
        site.wait(8)
    assert site.state() == "replied"
    stranger = next(each for each in site.servers if each not in packets.read(out).destination)
    site.send(packets.udp(site.at(stranger, 5353), site.at("client", 5000), b"z"))
    site.wait(4)
    assert site.state() is None


@pytest.mark.conformance("U7")
def test_a_stranger_to_a_port_of_full_nat_is_dropped(version: Version) -> None:
    """Whoever is not the backend of that very flow: address and port dependent filtering."""
    site = full_site(version)
    source, server = mapped(site, "client", 5000)
    other = next(each for each in site.servers if each not in server)
    for stranger in (site.at(other, 5353), site.at(split_endpoint(server)[0].compressed, 99)):
        result = site.send(packets.udp(stranger, source, b"z"))
        assert result.verdict is Verdict.DROP
        assert not result.packets


@pytest.mark.conformance("U8")
@pytest.mark.parametrize("caller", [0, 1])
def test_a_backend_calls_its_own_vip(version: Version, caller: int) -> None:
    """Also when it is given to itself: it sees natlb's address, and hears the VIP's."""
    source = "10.9.0.100" if version == 4 else "fd00:9::100"
    site = Site(version, datapath={"source": [source]}, backends=2)
    me = site.servers[caller]
    served = set()
    for sport in (6000, 6001):
        result = site.send(packets.udp(site.at(me, sport), site.at("vip", 53), b"q"))
        seen = packets.read(result.packets[0])
        assert result.sides == ["private"]
        assert split_endpoint(seen.source)[0].compressed == site.source
        served.add(split_endpoint(seen.destination)[0].compressed)
        answer = site.send(packets.udp(seen.destination, seen.source, b"a"))
        read = packets.read(answer.packets[0])
        assert (read.source, read.destination) == (site.at("vip", 53), site.at(me, sport))
        assert answer.sides == ["private"]
    assert served == set(site.servers)


@pytest.mark.conformance("U9")
@pytest.mark.parametrize("flows", [2, 198])
def test_a_table_in_use_makes_no_difference(version: Version, flows: int) -> None:
    """U1 and U2 with 1 % and with 99 % of 200 rows taken."""
    site = full_site(version, datapath={"max_flows": 200})
    for number in range(flows - 2):
        mapped(site, "client", 10_000 + number)
    first, server = mapped(site, "client", 5000)
    second, _ = mapped(site, "other_client", 5000)
    assert first != second or server != mapped(site, "other_client", 5000)[1]
    answer = site.send(packets.udp(server, first, b"a"))

    assert packets.read(answer.packets[0]).destination == site.at("client", 5000)


@pytest.mark.conformance("U13")
def test_checksum_zero(version: Version) -> None:
    """Over IPv4 "none" stays none; over IPv6 it is no checksum at all (RFC 8200)."""
    site = Site(version)
    result = site.send(site.udp(checksum=0))
    if version == 6:
        assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.BAD_CHECKSUM)
        return
    assert dissect(result.packets[0])["UDP"].chksum == 0


@pytest.mark.conformance("U13")
def test_a_sum_that_comes_out_zero_is_sent_as_ffff(version: Version) -> None:
    """The payload's last word is chosen so that the new sum is zero."""
    site = Site(version, backends=1)
    trial = dissect(site.send(site.udp(b"\0\0")).packets[0])["UDP"].chksum
    word = struct.pack("!H", trial)  # added to the sum, it makes it all ones
    result = site.send(site.udp(word))

    assert dissect(result.packets[0])["UDP"].chksum == 0xFFFF


@pytest.mark.conformance("U14")
@pytest.mark.parametrize(
    ("length", "is_dropped"), [(7, True), (0, True), (100, True), (8, False), (12, False)]
)
def test_lengths_that_cannot_be(version: Version, length: int, is_dropped: bool) -> None:
    """Less than a header, or more than is there; a length within the packet is the sender's."""
    site = Site(version)
    packet = bytearray(site.udp(b"1234"))
    at = packets.transport_at(bytes(packet))
    struct.pack_into("!H", packet, at + 4, length)
    packet[at + 6 : at + 8] = b"\0\0" if version == 4 else packet[at + 6 : at + 8]
    result = site.engine.process(bytes(packet), 0.0)

    assert (result.verdict is Verdict.DROP) == is_dropped
    assert len(site.engine.flows()) == (0 if is_dropped else 1)


@pytest.mark.conformance("U15")
@pytest.mark.parametrize("which", ["sport", "dport"])
def test_port_zero(version: Version, which: str) -> None:
    """Reserved: an answer would go to nobody."""
    site = Site(version)
    sport, dport = (0, 53) if which == "sport" else (5000, 0)
    result = site.send(packets.udp(site.at("client", sport), site.at("vip", dport), b"x"))

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.MALFORMED)
    assert not site.engine.flows()


@pytest.mark.conformance("U16")
def test_a_client_has_so_many_flows_and_no_more(version: Version) -> None:
    """The next is refused; another client is not, and one that ends makes room."""
    site = Site(version, datapath={"max_flows_per_source": 3}, timeouts={"udp_unreplied": 10})
    for sport in range(5000, 5003):
        assert site.send(site.udp(sport=sport)).verdict is Verdict.FORWARD
    refused = site.send(site.udp(sport=5003))
    assert refused.reason is DropReason.SOURCE_LIMIT
    other = packets.udp(site.at("other_client", 5000), site.at("vip", 53), b"x")
    assert site.send(other).verdict is Verdict.FORWARD
    site.wait(13)
    assert site.send(site.udp(sport=5003)).verdict is Verdict.FORWARD


@pytest.mark.conformance("U17")
def test_a_port_cools_down(version: Version) -> None:
    """120 s after its flow ended the port may be given again, not before."""
    site = full_site(
        version,
        backends=1,
        datapath={"source_ports": "2000-2003"},
        timeouts={"udp_unreplied": 5},
    )
    for sport in range(5000, 5004):
        mapped(site, "client", sport)
    site.wait(8)
    assert not site.engine.flows()
    refused = site.send(site.udp(sport=6000))
    assert refused.reason is DropReason.PORT_EXHAUSTED
    site.wait(121)
    assert site.send(site.udp(sport=6000)).verdict is Verdict.FORWARD


@pytest.mark.conformance("U18")
def test_udp_and_tcp_of_equal_ports_are_two_flows(version: Version) -> None:
    """One ends, the other stays."""
    site = Site(version, timeouts={"udp_unreplied": 5})
    config = site.config()
    config["services"]["dns"]["listen"] = f"udp://{site.at('vip', 80)}"
    site.engine.load(config)
    site.send(site.tcp("S", sport=7000))
    site.send(packets.udp(site.at("client", 7000), site.at("vip", 80), b"x"))
    assert [flow.protocol for flow in site.engine.flows()] == ["tcp", "udp"]
    site.wait(8)
    assert [flow.protocol for flow in site.engine.flows()] == ["tcp"]


@pytest.mark.conformance("U19")
def test_an_incremental_sum_is_always_the_full_one() -> None:
    """Words of all kinds, zeros and all ones among them: RFC 1624, and not RFC 1141."""
    chance = random.Random(1624)
    edges = [0, 1, 0xFFFF, 0xFFFE, 0x8000]
    for _ in range(200_000):
        words = [
            chance.choice(edges) if chance.random() < 0.4 else chance.getrandbits(16)
            for _ in "1234"
        ]
        old = sum_words(struct.pack("!4H", *words))
        changed = [chance.choice(edges), chance.getrandbits(16), *words[2:]]
        delta = NO_DELTA
        for before, after in zip(words, changed, strict=True):
            delta = add_delta(delta, before, after)
        full = sum_words(struct.pack("!4H", *changed))
        if old == 0 or full == 0:
            continue  # all words zero: no header is
        assert apply_delta(~old & 0xFFFF, delta) == ~full & 0xFFFF
