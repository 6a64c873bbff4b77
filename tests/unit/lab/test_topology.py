from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

import pytest

from natlb.errors import ConfigError, UnknownNameError
from natlb.lab import topology
from natlb.lab.topology import Topology, expand, load_topology, topologies

if TYPE_CHECKING:
    from pathlib import Path

SMALL = """\
client: c
balancer: lb
backends: {b1: {http: 8080}}
vips: [203.0.113.10]
hosts:
  c: {addresses: {eth0: [198.51.100.2/24]}, routes: {0.0.0.0/0: 198.51.100.1}}
  lb: {addresses: {p0: [198.51.100.1/24], q0: [10.77.0.1/24]}, bridges: {q0: [to-b1]}}
  b1: {addresses: {eth0: [10.77.0.11/24]}}
links: ["c:eth0 lb:p0", "lb:to-b1 b1:eth0"]
natlb: {services: {web: {listen: "tcp://203.0.113.10:80", backends: ["10.77.0.11:8080"]}}}
"""
DOCUMENTATION = [
    ip_network(each)
    for each in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]


def written(tmp_path: Path, text: str) -> Path:
    """Return the file that holds the text."""
    path = tmp_path / "small.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["basic", "routed", "two-sides"])
def test_the_topologies_that_come_with_natlb_load(name: str) -> None:
    """Each has a client, natlb, three backends, and services of both protocols and IP versions."""
    paper = load_topology(name)

    assert [*paper.backends] == ["b1", "b2", "b3"]
    assert {(each.protocol, each.address.version) for each in paper.listens} == {
        (protocol, version) for protocol in ("tcp", "udp") for version in (4, 6)
    }


@pytest.mark.parametrize("name", ["basic", "routed", "two-sides"])
def test_no_address_is_anybodys(name: str) -> None:
    """Public addresses are those of documentation, the others are private."""
    paper = load_topology(name)
    hosts = paper.hosts.values()
    held = {each.ip for host in hosts for group in host.addresses.values() for each in group} | set(
        paper.vips
    )

    for address in held:
        documented = any(address in network for network in DOCUMENTATION)
        assert documented or address.is_private


def test_basic_is_five_namespaces_with_two_sides_of_natlb() -> None:
    """The demo's lab: natlb's host has one interface before it and one behind it."""
    paper = load_topology("basic")

    assert [*paper.hosts] == ["client", "lb", "b1", "b2", "b3"]
    assert [*paper.hosts["lb"].addresses] == ["public0", "private0"]


def test_routed_has_a_router_with_a_subnet_of_its_own_on_each_side() -> None:
    """Natlb shares no subnet with client or backends."""
    paper = load_topology("routed")
    lb = {each.network for group in paper.hosts["lb"].addresses.values() for each in group}
    ends = {
        each.network
        for name in ("client", "b1", "b2", "b3")
        for each in paper.hosts[name].addresses["eth0"]
    }

    assert [host.name for host in paper.hosts.values() if host.forward] == ["router1", "router2"]
    assert not lb & ends


def test_two_sides_are_joined_by_nothing_but_natlb() -> None:
    """No link reaches natlb's host, and its configuration names the lab's own namespaces."""
    paper = load_topology("two-sides")

    assert paper.balancer not in {end.host for link in paper.links for end in link}
    assert paper.configuration("x")["datapath"] == {
        "public": {"netns": "x-public"},
        "private": {"netns": "x-private"},
    }


def test_the_client_has_many_addresses_to_send_from() -> None:
    """A policy that goes by the client's address has something to spread."""
    paper = load_topology("basic")

    assert len(paper.sources(4)) == len(paper.sources(6)) == 32
    assert paper.sources(6)[-1] == "2001:db8:51::21"


def test_a_file_of_ones_own_is_named_by_its_path(tmp_path: Path) -> None:
    """Whatever has a slash or ends in .yaml is a file."""
    paper = load_topology(str(written(tmp_path, SMALL)))

    assert isinstance(paper, Topology)
    assert (paper.name, paper.source) == ("small", str(tmp_path / "small.yaml"))
    assert paper.vips == (ip_address("203.0.113.10"),)
    assert paper.hosts["c"].routes == ((ip_network("0.0.0.0/0"), ip_address("198.51.100.1")),)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """One sees what there is."""
    with pytest.raises(UnknownNameError, match="no topology 'star'; there are basic, routed"):
        load_topology("star")


def test_an_installed_natlb_has_its_topologies_beside_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a checkout around it, `topologies/` in the package is read."""
    package = tmp_path / "site-packages" / "natlb" / "lab"
    (package / "topologies").mkdir(parents=True)
    (package / "topologies" / "basic.yaml").write_text(SMALL)
    monkeypatch.setattr(topology, "__file__", str(package / "topology.py"))

    assert topologies() == ["basic"]


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("10.0.0.1/24", ["10.0.0.1/24"]),
        ("10.0.0.9-11/24", ["10.0.0.9/24", "10.0.0.10/24", "10.0.0.11/24"]),
        ("fd00::f-10/64", ["fd00::f/64", "fd00::10/64"]),
    ],
)
def test_a_range_of_addresses_is_written_out(text: str, addresses: list[str]) -> None:
    """Decimal in IPv4, hexadecimal in IPv6, as the addresses themselves."""
    assert expand(text) == [ip_interface(each) for each in addresses]


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.9-1/24", "10.0.0.1-999/24", "x/24"])
def test_what_is_no_address_with_a_length_is_refused(text: str) -> None:
    """A missing length would be taken for /32, and nothing would be reached."""
    with pytest.raises(ValueError):
        expand(text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("client: c", "client: d", "1:1: no host 'd'; there are c, lb, b1"),
        ("client: c\n", "", "the file lacks 'client'"),
        ("{b1: {http: 8080}}", "{b9: {http: 8080}}", "3:12: no host 'b9'"),
        ("http: 8080", "http: 70000", "3:17: 'http' of 'b1' of 'backends' must be a port"),
        ("c: {addresses", "c: {adresses", "6:7: unknown key 'adresses' .*did you mean 'addresses'"),
        ("198.51.100.2/24", "198.51.100.2", r"6:26: .*lacks its prefix length"),
        ("0.0.0.0/0: 198", "'::/0': 198", "the gateway of ::/0 must be an IPv6 address"),
        ("lb:p0", "lb:p0:x", "9:9: a link is 'HOST:INTERFACE HOST:INTERFACE'"),
        ("c:eth0 lb:p0", "c:eth0 zz:p0", "9:9: no host 'zz'"),
        ("c:eth0 lb:p0", "c:eth0 lb:q0", "lb:q0 is made twice"),
        ("c:eth0 lb:p0", "c:eth1 lb:p0", "6:3: no link and no bridge makes c:eth0"),
        ("to-b1 b1", "to-b9 b1", "7:3: no link and no bridge makes lb:to-b1"),
        ("to-b1 b1", "a-very-long-name b1", "is no interface name"),
        ("  c: {addr", "  'a b': {addr", "'a b' is no host name"),
        ("tcp://203.0.113.10", "tcp://203.0.113.9", "listens on 203.0.113.9, which is none of"),
        ("tcp://203", "http://203", "is not tcp://ADDRESS:PORT"),
        ("listen", "lisen", "service 'web' lacks 'listen'"),
        ("{services:", "{sevices:", "lacks 'services'"),
        ("[203.0.113.10]", "[here]", "4:8: item of 'vips': 'here' does not appear"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    """A mistake is found when the file is read, not when half of the lab stands."""
    assert old in SMALL

    with pytest.raises(ConfigError, match=message):
        load_topology(str(written(tmp_path, SMALL.replace(old, new, 1))))
