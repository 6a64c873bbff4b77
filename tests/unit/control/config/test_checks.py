from __future__ import annotations

import pytest

from natlb.control.config import checks
from natlb.control.config.load import config_from_mapping
from natlb.control.config.problems import InvalidConfigError
from natlb.core.layout import MOST_BACKENDS, MOST_SERVICES

VIP = "tcp://203.0.113.10:80"


def said(*services: dict[str, object], **more: object) -> list[str]:
    """Return all that is said of services named a, b, ..."""
    named = {chr(ord("a") + index): service for index, service in enumerate(services)}
    try:
        config_from_mapping({"services": named, **more})
    except InvalidConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def service(listen: object, *backends: object) -> dict[str, object]:
    """Return a service."""
    return {"listen": listen, "backends": list(backends)}


def test_a_port_of_a_vip_belongs_to_one_service() -> None:
    """A packet has one place to go."""
    assert said(service(VIP), service(["tcp://203.0.113.10:81", VIP])) == [
        "services.b.listen[1]: tcp://203.0.113.10:80 is already taken by service 'a'"
    ]


def test_a_service_lists_a_port_once() -> None:
    """Written differently it is the same address still."""
    assert said(service(["udp://[2001:db8::1]:1", "udp://[2001:DB8:0::1]:1"])) == [
        "services.a.listen[1]: udp://[2001:db8::1]:1 is already taken by this service"
    ]


def test_protocols_and_ports_of_a_vip_may_be_of_several_services() -> None:
    """DNS listens on both protocols; web and mail may share an address."""
    assert not said(service(VIP), service("udp://203.0.113.10:80"), service("tcp://203.0.113.10:1"))


@pytest.mark.parametrize(
    ("first", "second", "said_of_it"),
    [
        ("8000-8009", "8005", "tcp://203.0.113.10:8005 overlaps tcp://203.0.113.10:8000-8009"),
        ("8005", "8000-8009", "tcp://203.0.113.10:8000-8009 overlaps tcp://203.0.113.10:8005"),
        ("1-10", "10-20", "tcp://203.0.113.10:10-20 overlaps tcp://203.0.113.10:1-10"),
        ("1-10", "1-10", "tcp://203.0.113.10:1-10 is already taken by"),
        ("7", "7-7", "tcp://203.0.113.10:7 is already taken by"),
    ],
)
def test_a_range_takes_each_of_its_ports(first: str, second: str, said_of_it: str) -> None:
    """Whichever comes first in the file has it."""
    (only,) = said(service(f"tcp://203.0.113.10:{first}"), service(f"tcp://203.0.113.10:{second}"))

    assert only.startswith(f"services.b.listen: {said_of_it}")
    assert only.endswith("service 'a'")


def test_ranges_beside_each_other_are_no_clash() -> None:
    """Up to the last port; another protocol or address has ports of its own."""
    at = "tcp://203.0.113.10"
    listens = [f"{at}:10-19", f"{at}:30-65535", f"{at}:20-29", f"{at}:1-9", "udp://203.0.113.10:15"]

    assert not said(service(listens), service("tcp://203.0.113.11:1-65535"))


def test_what_overlaps_takes_nothing_itself() -> None:
    """One mistake is one complaint."""
    listens = [f"{VIP[:-3]}:{ports}" for ports in ("10-20", "15-100", "50")]

    assert len(said(service(listens))) == 1


SOURCE = {"source": ["10.77.0.100-10.77.0.110", "fd00:77::100"]}


@pytest.mark.parametrize(
    ("listen", "backends", "sentence"),
    [
        (VIP, ["10.0.0.1", "fd00::1", "fd00::2"], "backends[1]: IPv4 clients need an IPv6"),
        (VIP, [{"address": "[fd00::1]:80"}], "backends[0].address: IPv4 clients need an IPv6"),
        ([VIP, "tcp://[2001:db8::1]:80"], ["10.0.0.1"], "backends[0]: IPv6 clients need an IPv4"),
        ("tcp://[2001:db8::1]:80", ["10.0.0.1"], "backends[0]: IPv6 clients need an IPv4"),
    ],
)
def test_the_other_ip_version_is_reached_from_an_address_of_natlb(
    listen: object, backends: list[object], sentence: str
) -> None:
    """Of the backend's version, and said once for each version of a service."""
    (only,) = said(service(listen, *backends))

    assert only.startswith(f"services.a.{sentence} address in datapath.source to reach ")
    assert not said(service(listen, *backends), datapath=SOURCE)


def test_sources_are_needed_of_the_version_that_is_called_from_them() -> None:
    """One of the client's version is no help."""
    (only,) = said(service(VIP, "fd00::1"), datapath={"source": "10.77.0.100"})

    assert "an IPv6 address in datapath.source" in only
    assert not said(service(VIP, "fd00::1"), datapath={"source": "fd00:77::100"})


@pytest.mark.parametrize(
    ("listen", "backends", "versions"),
    [
        (VIP, ["10.0.0.1"], [4]),
        (VIP, ["10.0.0.1", "fd00::1"], [4, 6]),
        ("tcp://[2001:db8::1]:80", [], [6]),
    ],
)
def test_full_nat_needs_a_source_of_each_version_of_the_pool(
    listen: str, backends: list[object], versions: list[int]
) -> None:
    """A pool that is empty yet will be called from one of the listen's version."""
    full = {**service(listen, *backends), "nat": "full"}

    assert said(full) == [
        f"services.a.nat: full NAT needs an IPv{version} address in datapath.source"
        for version in versions
    ]
    assert not said(full, datapath=SOURCE)


@pytest.mark.parametrize("datapath", [{"source": ["10.77.0.300"]}, {"source": 5}, 5])
def test_a_source_that_is_wrong_is_not_said_to_be_missing(datapath: object) -> None:
    """One mistake is one complaint."""
    (only,) = said({**service(VIP, "10.0.0.1"), "nat": "full"}, datapath=datapath)

    assert only.startswith("datapath")


def test_a_source_is_natlb_alone() -> None:
    """An answer to it could be meant for another."""
    sources = ["10.0.0.1-10.0.0.3", "203.0.113.10", "10.0.0.2/31", "10.9.0.0/30"]
    pool = [{"name": "b", "address": "10.0.0.1:1"}]

    assert said(service(VIP, *pool), datapath={"source": sources}) == [
        "datapath.source[0]: 10.0.0.1 is the address of backend 'a/b'",
        "datapath.source[1]: 203.0.113.10 is a VIP of service 'a'",
        "datapath.source[2]: 10.0.0.2 is already here",
        "datapath.source[2]: 10.0.0.3 is already here",
    ]


def test_sources_are_bounded_in_all() -> None:
    """Each is something the host must answer for."""
    sources = {"source": ["10.1.0.0/22", "10.2.0.1"]}

    assert said(service(VIP, "10.0.0.1"), datapath=sources) == [
        "datapath.source: 1025 addresses in all are more than 1024"
    ]


def test_a_choice_for_each_datagram_is_of_udp() -> None:
    """On TCP alone it could mean nothing; beside UDP it means the UDP."""
    assert said({**service(VIP, "10.0.0.1"), "datagrams": 1}) == [
        "services.a.datagrams: is for UDP, and this service listens on TCP alone"
    ]
    assert not said({**service([VIP, "udp://203.0.113.10:80"], "10.0.0.1"), "datagrams": 1})
    assert not said({**service(VIP, "10.0.0.1"), "datagrams": 0})


def test_services_of_both_ip_versions_stand_side_by_side() -> None:
    """Each is of one."""
    assert not said(service(VIP, "10.0.0.1"), service("tcp://[2001:db8::1]:80", "fd00::1"))


@pytest.mark.parametrize(
    "backends",
    [
        ["10.0.0.1:80", "10.0.0.1:80"],
        [{"name": "x", "address": "10.0.0.1"}, {"name": "x", "address": "10.0.0.2"}],
        ["10.0.0.1", {"name": "10.0.0.1", "address": "10.0.0.2"}],
    ],
)
def test_a_name_leads_to_one_backend(backends: list[object]) -> None:
    """A name that is not given is the address as written, and counts as one."""
    (only,) = said(service(VIP, *backends))

    assert "is already here" in only


@pytest.mark.parametrize(
    "second", [{"name": "x", "address": "10.0.0.1:80"}, "10.0.0.1", "10.0.0.1:080"]
)
def test_a_server_is_one_backend(second: object) -> None:
    """Its replies could be of either; without a port it is the listen's port, 80 here."""
    (only,) = said(service(VIP, "10.0.0.1:80", second))

    assert "10.0.0.1:80' as well" in only


@pytest.mark.parametrize(
    ("pool", "clashes"),
    [
        (["10.0.0.1", "10.0.0.1:8005"], True),
        (["10.0.0.1:8005", "10.0.0.1:9", {"name": "x", "address": "10.0.0.1"}], True),
        (["10.0.0.1", "10.0.0.1:8010", "10.0.0.1:80"], False),
    ],
)
def test_a_backend_without_a_port_is_a_server_at_each_port_of_a_range(
    pool: list[object], clashes: bool
) -> None:
    """Its replies come from any of them."""
    found = said(service("tcp://203.0.113.10:8000-8009", *pool))

    assert [each.endswith("as well") for each in found] == ([True] if clashes else [])


def test_ports_of_one_host_may_be_several_backends() -> None:
    """Containers share an address."""
    assert not said(service(VIP, "10.0.0.1:8080", "10.0.0.1:8081", "10.0.0.1"))


def test_a_backend_may_serve_several_services() -> None:
    """In each it has a name of its own."""
    assert not said(service(VIP, "10.0.0.1"), service("udp://203.0.113.10:80", "10.0.0.1"))


def test_a_backend_is_no_vip_of_any_service() -> None:
    """Its packets would come straight back."""
    assert said(service(VIP, "203.0.113.20"), service("tcp://203.0.113.20:1")) == [
        "services.a.backends[0]: 203.0.113.20 is a VIP of service 'b'"
    ]


def test_an_interface_is_on_one_side() -> None:
    """Where a packet came in tells what it is."""
    datapath = {"public": ["eth0", "eth1"], "private": ["eth2", "eth1"]}

    assert said(service(VIP), datapath=datapath) == [
        "datapath.private: 'eth1' is a public interface as well"
    ]


def test_a_namespace_beside_an_interface_is_no_clash() -> None:
    """They are told apart by where they are."""
    datapath = {"public": ["eth0"], "private": {"netns": "eth0"}}

    assert not said(service(VIP), datapath=datapath)


def test_the_limits_are_not_above_those_of_the_core() -> None:
    """They stand twice, because a configuration is read without NumPy."""
    assert checks.MAX_SERVICES <= MOST_SERVICES
    assert checks.MAX_BACKENDS < MOST_BACKENDS


def test_more_services_than_indexes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit, but smaller."""
    monkeypatch.setattr(checks, "MAX_SERVICES", 1)

    assert said(service(VIP), service("udp://203.0.113.10:80")) == [
        "services: 2 services are more than 1"
    ]


def test_more_backends_than_indexes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted over all services: an index is of the whole instance."""
    monkeypatch.setattr(checks, "MAX_BACKENDS", 2)
    pool = ["10.0.0.1", "10.0.0.2"]

    assert said(service(VIP, *pool), service("udp://203.0.113.10:80", *pool)) == [
        "services: 4 backends in all are more than 2"
    ]


def test_more_ports_than_the_table_is_made_for_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A range is an entry for each port, and again for each backend without one."""
    monkeypatch.setattr(checks, "MAX_ENDPOINTS", 20)
    listen = "tcp://203.0.113.10:8000-8009"

    assert not said(service(listen, "10.0.0.1"))
    assert said(service(listen, "10.0.0.1", "10.0.0.2:80")) == [
        "services.a: 21 ports in all, listened on and of backends, are more than 20"
    ]


def test_what_does_not_fit_hides_no_contradiction() -> None:
    """All problems at once, of either kind, in one service too."""
    pool = ["10.0.0.1:99999", "10.0.0.2", "10.0.0.2", "fd00::1"]
    found = said(service(VIP, *pool), service(VIP), service(5, *pool[1:]), log={"level": "x"})

    assert len(found) == 7  # 4 of the pool, the second VIP, what is no listen, the log


def test_a_service_that_lacks_a_list_is_looked_at_as_well() -> None:
    """Its name is not the only thing that can be wrong."""
    found = said({"backends": ["10.0.0.1", "10.0.0.1"]}, {"listen": [VIP, VIP]})

    assert len(found) == 4


@pytest.mark.parametrize(
    ("more", "said_of_it"),
    [
        ({"policy": "maglev"}, []),
        ({"policy": {"name": "bounded-load", "base": "rendezvous"}}, []),
        ({}, ["adopt needs a policy by hash, which round-robin is not"]),
        (
            {"policy": "least-connections"},
            ["adopt needs a policy by hash, which least-connections is not"],
        ),
        (
            {"policy": "maglev", "nat": "full"},
            ["adopt needs nat: dnat; with full NAT nobody knows the ports"],
        ),
    ],
)
def test_flows_are_adopted_where_a_hash_says_whose_they_were(
    more: dict[str, object], said_of_it: list[str]
) -> None:
    """Another policy would cut each connection that it takes for a backend's."""
    adopting = {**service("tcp://203.0.113.1:80", "10.0.0.1"), "unknown": "adopt", **more}

    assert said(adopting, datapath={"source": ["10.0.0.200"]}) == [
        f"services.a.unknown: {each}" for each in said_of_it
    ]


@pytest.mark.parametrize(("ports", "fits"), [("5000-5003", True), ("5000-5002", False)])
def test_each_worker_needs_a_port_of_its_own_for_full_nat(ports: str, *, fits: bool) -> None:
    """One without any would refuse all flows of its clients."""
    web = service("tcp://203.0.113.10:80", "10.77.0.11")
    found = said(web, datapath={"workers": 4, "source_ports": ports})

    assert (found == []) is fits
    assert all("3 ports are fewer than 'workers', 4" in each for each in found)
