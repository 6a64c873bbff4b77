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
    ("listen", "backends", "where"),
    [
        (VIP, ["10.0.0.1", "fd00::1"], "services.a.backends[1]: fd00::1"),
        (VIP, [{"address": "[fd00::1]:80"}], "services.a.backends[0].address: fd00::1"),
        ([VIP, "tcp://[2001:db8::1]:80"], ["10.0.0.1"], "services.a.listen[1]: 2001:db8::1"),
        ("tcp://[2001:db8::1]:80", ["10.0.0.1"], "services.a.backends[0]: 10.0.0.1"),
    ],
)
def test_ip_versions_are_not_mixed_in_this_version(
    listen: object, backends: list[object], where: str
) -> None:
    """Translating between them is promised, so the words are those of a promise."""
    assert said(service(listen, *backends)) == [
        f"{where}: IPv4 and IPv6 mixed in one service is not in this version"
    ]


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


def test_what_does_not_fit_hides_no_contradiction() -> None:
    """All problems at once, of either kind, in one service too."""
    pool = ["10.0.0.1:99999", "10.0.0.2", "10.0.0.2", "fd00::1"]
    found = said(service(VIP, *pool), service(VIP), service(5, *pool[1:]), log={"level": "x"})

    assert len(found) == 7


def test_a_service_that_lacks_a_list_is_looked_at_as_well() -> None:
    """Its name is not the only thing that can be wrong."""
    found = said({"backends": ["10.0.0.1", "10.0.0.1"]}, {"listen": [VIP, VIP]})

    assert len(found) == 4
