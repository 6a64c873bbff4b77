from __future__ import annotations

from ipaddress import ip_address
from typing import Any, get_args

import pytest

from natlb.control.config.check_types import OWN, check_keys, check_port, keys_of
from natlb.control.config.load import config_from_mapping, parse_config
from natlb.control.config.problems import InvalidConfigError
from natlb.control.config.render import render_config
from natlb.control.config.values import CheckConfig, CheckType, ServiceConfig


def service(check: Any = ..., own: Any = ..., **more: Any) -> ServiceConfig:
    """Return a service with a check, and a backend with one of its own."""
    backend = {"name": "b1", "address": "10.77.0.11"}
    web: dict[str, Any] = {"listen": "tcp://203.0.113.10:80", "backends": [backend]}
    if check is not ...:
        web["check"] = check
    if own is not ...:
        web["backends"] = [{**backend, "check": own}]
    return config_from_mapping({"services": {"web": {**web, **more}}}).services["web"]


def checked(check: Any = ..., own: Any = ..., **more: Any) -> CheckConfig | None:
    """Return what the backend is asked in the end."""
    return service(check, own, **more).backends[0].check


def complaint(check: Any = ..., own: Any = ..., **more: Any) -> list[str]:
    """Return all that is said of these checks."""
    with pytest.raises(InvalidConfigError) as caught:
        service(check, own, **more)
    return [str(problem) for problem in caught.value.problems]


def test_the_types_are_those_of_the_values() -> None:
    """And every key of a check is of some type."""
    assert tuple(OWN) == get_args(CheckType)
    assert frozenset().union(*map(keys_of, OWN)) == set(CheckConfig.__dataclass_fields__)


def test_tcp_is_asked_unless_told_and_udp_is_not() -> None:
    """A datagram means nothing to a server that is not told what."""
    assert checked() == CheckConfig() == checked({})
    assert checked(listen="udp://203.0.113.10:53") is None
    assert checked(listen=["udp://203.0.113.10:53", "tcp://203.0.113.10:53"]) == CheckConfig()
    assert checked({"type": "udp", "send": "x"}, listen="udp://203.0.113.10:53") is not None
    assert checked("none") is None


def test_a_backends_keys_are_laid_over_those_of_its_service() -> None:
    """The usual wish is another port."""
    http = {"type": "http", "path": "/health", "interval": 5, "rise": 1}
    merged = checked(http, {"port": 8081, "interval": 1})

    assert merged == CheckConfig(type="http", path="/health", port=8081, interval=1.0, rise=1)
    assert checked(http, "none") is None
    assert checked("none", {"fall": 1}) == CheckConfig(fall=1)


def test_another_type_takes_only_what_all_types_have() -> None:
    """An expectation of a name server is none of a game server's."""
    dns = {"type": "dns", "name": "a.b", "expect": "1", "fall": 9, "port": 53}
    merged = checked(dns, {"type": "udp", "send": "x"})

    assert merged == CheckConfig(type="udp", send=b"x", fall=9, port=53)
    assert checked(dns, {"type": "exec", "command": ["/c"]}) == CheckConfig(
        type="exec", command=("/c",), fall=9
    )


def test_a_check_ends_before_the_next_one_begins() -> None:
    """So a timeout that is not given is never the longer one."""
    quick = checked({"interval": 0.5})
    assert quick is not None

    assert quick.timeout == 0.5
    assert "timeout 3 s is longer than interval 2 s" in complaint({"timeout": 3})[0]


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        ({"path": "/x"}, "a check of type tcp has no 'path'; http, https has it"),
        ({"type": "http", "verify": False}, "a check of type http has no 'verify'; https has it"),
        ({"type": "exec", "command": ["/c"], "port": 1}, "a check of type exec has no 'port'"),
        ({"type": "udp"}, "a check of type udp needs 'send'; write send: PING"),
        ({"type": "dns"}, "a check of type dns needs 'name'"),
        ({"type": "exec"}, "a check of type exec needs 'command'"),
        ({"source": "fd00::1"}, "10.77.0.11 cannot be checked from fd00::1, which is IPv6"),
    ],
)
def test_what_a_type_cannot_be_told_is_said(check: dict[str, Any], sentence: str) -> None:
    """Once, at the service and at the backend alike."""
    for said in (complaint(check), complaint(own=check)):
        assert len(said) == 1
        assert sentence in said[0]


def test_a_mistake_in_a_needed_key_is_the_only_complaint() -> None:
    """Not that it is missing as well."""
    (said,) = complaint({"type": "udp", "send": "hex:0"})

    assert "is not hex:" in said


def test_a_mistake_has_a_place_and_a_suggestion() -> None:
    """The line, and the key that was meant."""
    web = "listen: 'tcp://203.0.113.10:80', backends: [10.0.0.1]"
    text = f"services: {{web: {{{web},\n check: {{typ: tcp}}}}}}"
    with pytest.raises(InvalidConfigError, match="did you mean 'type'") as caught:
        parse_config(text, "f")

    assert (caught.value.problems[0].line, caught.value.problems[0].column) == (2, 10)


def test_a_backend_is_asked_at_its_port() -> None:
    """Or at the check's, or at the first that clients call."""
    ranges = service(listen="tcp://203.0.113.10:8000-8009")
    backend = ranges.backends[0]

    assert check_port(ranges, backend, CheckConfig()) == 8000
    assert check_port(ranges, backend, CheckConfig(port=9)) == 9


CHECKS: list[Any] = [
    ...,
    "none",
    {"type": "tcp", "interval": 0.25, "port": 9, "address": "10.9.9.9", "source": "10.9.9.8"},
    {"type": "https", "status": [200, "300-399"], "match": 'a: [b] # "c"', "verify": False},
    {"type": "udp", "send": "hex:00ff", "expect": "\\x00"},
    {"type": "dns", "name": "x.example", "record": "AAAA", "expect": "fd00::1"},
    {"type": "exec", "command": ["/bin/x", "yes", "#", ": -"]},
    {"type": "grpc", "service": "shop.Cart"},
]


@pytest.mark.parametrize("own", CHECKS, ids=str)
@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_a_check_that_is_shown_reads_the_same(check: Any, own: Any) -> None:
    """`natlb validate --show` says all of it."""
    given = {"listen": "tcp://203.0.113.10:80", "backends": ["10.0.0.1"]}
    if check is not ...:
        given["check"] = check
    if own is not ...:
        given["backends"].append({"address": "10.0.0.2", "check": own})  # type: ignore[attr-defined]
    config = config_from_mapping({"services": {"web": given}})

    assert parse_config(render_config(config), "shown") == config


def test_only_keys_of_the_type_are_shown() -> None:
    """A tcp check has no path."""
    shown = dict(check_keys(CheckConfig(source=ip_address("10.0.0.1"))))

    assert set(shown) == {"type", "interval", "timeout", "rise", "fall", "jitter", "source"}
