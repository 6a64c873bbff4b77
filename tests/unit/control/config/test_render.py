from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natlb.control.config.load import config_from_mapping, parse_config
from natlb.control.config.policies import PARAMETERS
from natlb.control.config.problems import InvalidConfigError
from natlb.control.config.render import api_listen, policy_text, render_config
from natlb.control.config.shape import PARTS
from natlb.control.config.values import PolicyConfig
from natlb.control.policy import COMPILERS

SMALLEST: dict[str, Any] = {
    "services": {"web": {"listen": "tcp://203.0.113.10:80", "backends": ["10.77.0.11:8080"]}}
}
SHOWN = """\
# seed: kept in the state directory, made at the first start
datapath:
  driver: auto
  output: auto
  workers: 1
  # public: found from addresses and routes
  # private: found from addresses and routes
  max_flows: 1048576
  max_flows_per_source: none
  fragments: 4096
  error_rate: 1000
  source: none
  source_ports: 1024-65535
timeouts:
  tcp_established: 7440
  tcp_opening: 240
  tcp_transitory: 240
  udp: 300
  udp_unreplied: 120
  fragment: 30
access:
  allow: []
  deny: []
services:
  web:
    listen: tcp://203.0.113.10:80
    mode: packet
    policy: round-robin
    shadow: none
    backends:
      - {address: 10.77.0.11:8080, weight: 1, max_flows: none, backup: false}
    affinity: none
    slow_start: none
    panic_threshold: 0
    nat: dnat
    max_flows: none
    access:
      allow: []
      deny: []
    check: {type: tcp, interval: 2, timeout: 1, rise: 2, fall: 3, jitter: 0.1}
    no_backend: reject
    unknown: reject
    passive: true
    on_down: keep
    on_remove: drain
    mss_clamp: false
    datagrams: 0
    timeouts:
      tcp_established: 7440
      tcp_opening: 240
      tcp_transitory: 240
      udp: 300
      udp_unreplied: 120
      fragment: 30
api:
  listen: unix:/run/natlb/NETNS/natlb.sock
  token_file: none
state: /var/lib/natlb
log:
  level: info
  format: text
"""


def test_the_smallest_configuration_is_shown_with_every_default() -> None:
    """What natlb will do is then in one place."""
    assert render_config(config_from_mapping(SMALLEST)) == SHOWN


def test_every_key_of_this_version_is_shown() -> None:
    """A new key without a line here would be a default that nobody sees."""
    checks = (
        {"type": "https", "address": "10.0.0.9", "port": 1, "source": "10.0.0.8", "host": "a.b"},
        {"type": "https", "match": "ok", "ca": "/ca.pem", "sni": "a.b"},
        {"type": "grpc"},
        {"type": "udp", "send": "PING", "expect": "PONG"},
        {"type": "dns", "name": "a.b"},
        {"type": "exec", "command": ["/check"]},
    )
    pool = [
        {"name": f"b{n}", "address": f"10.0.0.{n + 1}", "check": check}
        for n, check in enumerate(checks)
    ]
    more = {"affinity": {}, "slow_start": 5, "backends": pool}
    web = {**SMALLEST["services"]["web"], **more}
    shown = render_config(config_from_mapping({"services": {"web": web}})) + "".join(
        policy_text(PolicyConfig(name=name, parameters=parameters))
        for name, parameters in PARAMETERS.items()
    )
    keys = {key for part in PARTS.values() for key in part.model_fields}

    assert not {key for key in keys if f"{key}: " not in shown and f"{key}:\n" not in shown}


def test_the_default_socket_can_be_shown_for_a_namespace() -> None:
    """With its inode number, where it is known."""
    config = config_from_mapping(SMALLEST)

    assert api_listen(config, 4026531840) == "unix:/run/natlb/4026531840/natlb.sock"
    assert "listen: unix:/run/natlb/4026531840/natlb.sock\n" in render_config(config, 4026531840)


def test_a_given_socket_is_shown_as_it_is() -> None:
    """No namespace is put in."""
    config = config_from_mapping({**SMALLEST, "api": {"listen": "unix:/run/NETNS.sock"}})

    assert api_listen(config, 5) == "unix:/run/NETNS.sock"


@pytest.mark.parametrize("name", ["on", "null", "1", "1e3", "0x10", ".", "-", "true", "y"])
def test_names_that_yaml_would_take_for_something_else_come_back(name: str) -> None:
    """Some of them only YAML 1.1 readers would."""
    backend = {"name": name, "address": "10.0.0.1"}
    web = {"listen": "tcp://203.0.113.10:80", "backends": [backend]}
    config = config_from_mapping({"services": {name: web}})

    assert parse_config(render_config(config), "f") == config


NAMES = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
SECONDS = st.one_of(
    st.integers(1, 2_000_000),
    st.floats(0.001, 2_073_600),
    st.sampled_from(["500ms", "1.5m", "2h", "24d"]),
)
TIMEOUTS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["tcp_established", "tcp_opening", "udp", "fragment"], SECONDS)
)
PORTS = st.integers(1, 65535)
PATHS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20).map("/{}".format)


def endpoints(version: int) -> st.SearchStrategy[str]:
    """Return backends of one IP version as they may be written."""
    if version == 4:
        hosts = st.integers(1, 65000).map(lambda n: str(IPv4Address(0x0A000000 + n)))
        return st.one_of(hosts, st.builds("{}:{}".format, hosts, PORTS))
    hosts = st.integers(1, 65000).map(lambda n: str(IPv6Address((0xFD00 << 112) + n)))
    return st.one_of(hosts, hosts.map(str.upper), st.builds("[{}]:{}".format, hosts, PORTS))


RANGES = st.tuples(PORTS, PORTS).map(lambda pair: "{}-{}".format(*sorted(pair)))
LIMITS = st.one_of(st.just("none"), st.integers(1, 1 << 23))
PREFIXES = st.one_of(
    st.builds("{}.0.0.0/{}".format, st.integers(0, 255), st.integers(8, 32)),
    st.builds("{:x}00::/{}".format, st.integers(0, 255), st.integers(8, 128)),
    st.sampled_from(["198.51.100.7", "2001:DB8::7", "0.0.0.0/0", "::/0"]),
)
ACCESS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(["allow", "deny"], st.one_of(PREFIXES, st.lists(PREFIXES, max_size=3))),
)
SOURCES = st.lists(
    st.one_of(
        st.builds("10.77.{}.{}".format, st.integers(0, 255), st.integers(0, 255)),
        st.builds("10.78.3.7-10.78.3.{}".format, st.integers(7, 255)),
        st.sampled_from(["10.79.0.0/27", "fd77::100-fd77::1ff", "fd78::/120", "fd79::1"]),
    ),
    unique=True,
    max_size=4,
).map(["10.76.0.1", "fd76::1"].__add__)


KEYS = st.sampled_from(["address", "address-port"])
SIZES = st.sampled_from([65537, 65521, 8388593])
POLICIES = st.one_of(
    st.sampled_from(sorted(COMPILERS)).filter(lambda name: name != "python"),
    st.fixed_dictionaries({"name": st.just("source-hash")}, optional={"key": KEYS}),
    st.fixed_dictionaries({"name": st.just("maglev")}, optional={"key": KEYS, "size": SIZES}),
    st.fixed_dictionaries(
        {"name": st.just("bounded-load")},
        optional={"factor": st.floats(1.001, 10), "base": st.just("maglev"), "size": SIZES},
    ),
    st.fixed_dictionaries(
        {"name": st.just("python"), "file": st.sampled_from(["a.py", "/b c/d.py", "é: #.py"])},
        optional={"function": st.sampled_from(["pick", "on", "ß"])},
    ),
)
AFFINITIES = st.fixed_dictionaries(
    {},
    optional={
        "prefix": st.integers(0, 32),
        "prefix6": st.integers(0, 128),
        "timeout": SECONDS,
    },
)
SLOW_STARTS = st.fixed_dictionaries({"seconds": SECONDS}, optional={"exponent": st.floats(0.1, 10)})


def services(version: int) -> st.SearchStrategy[dict[str, Any]]:
    """Return services of one IP version."""
    vip = "203.0.113.10" if version == 4 else "[2001:db8::10]"
    few = st.builds(lambda n, more: f"{n}-{n + more}", st.integers(1, 65000), st.integers(0, 9))
    ports = st.one_of(PORTS, PORTS, few)
    listens = st.builds(f"{{}}://{vip}:{{}}".format, st.sampled_from(["tcp", "udp"]), ports)
    backends = st.one_of(
        endpoints(version),
        st.fixed_dictionaries(
            {"address": endpoints(version)},
            optional={
                "name": NAMES,
                "weight": st.integers(0, 65535),
                "max_flows": LIMITS,
                "backup": st.booleans(),
            },
        ),
    )
    return st.fixed_dictionaries(
        {
            "listen": st.one_of(listens, st.lists(listens, min_size=1, max_size=3)),
            "backends": st.lists(backends, max_size=4),
        },
        optional={
            "policy": POLICIES,
            "shadow": st.one_of(st.just("none"), POLICIES),
            "affinity": st.one_of(st.just("none"), AFFINITIES),
            "slow_start": st.one_of(st.just("none"), SECONDS, SLOW_STARTS),
            "panic_threshold": st.floats(0, 1),
            "no_backend": st.sampled_from(["reject", "drop"]),
            "timeouts": TIMEOUTS,
            "nat": st.sampled_from(["dnat", "full"]),
            "unknown": st.sampled_from(["reject", "drop"]),
            "on_remove": st.sampled_from(["drain", "reset"]),
            "passive": st.booleans(),
            "max_flows": LIMITS,
            "mss_clamp": st.one_of(st.booleans(), st.integers(88, 65495)),
            "datagrams": st.integers(0, 65535),
            "access": ACCESS,
        },
    ).map(without_what_tcp_has_not)


def without_what_tcp_has_not(service: dict[str, Any]) -> dict[str, Any]:
    """Return a service, which may have `datagrams` if it listens on UDP."""
    if "udp:" in str(service["listen"]):
        return service
    return {key: value for key, value in service.items() if key != "datagrams"}


INTERFACES = st.from_regex(r"[a-z][a-z0-9.@_-]{0,14}", fullmatch=True)
SIDES = st.one_of(
    st.lists(INTERFACES, min_size=1, max_size=3, unique=True),
    st.fixed_dictionaries({"netns": NAMES}),
)
CONFIGS = st.fixed_dictionaries(
    {
        "services": st.dictionaries(
            NAMES, st.one_of(services(4), services(6)), min_size=1, max_size=3
        ),
        "datapath": st.fixed_dictionaries(
            {"source": SOURCES},
            optional={
                "public": SIDES,
                "private": SIDES,
                "max_flows": st.integers(1, 1 << 23),
                "max_flows_per_source": LIMITS,
                "fragments": st.integers(1, 65536),
                "error_rate": st.integers(0, 1_000_000),
                "source_ports": RANGES,
            },
        ),
    },
    optional={
        "seed": st.one_of(
            st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1).map("{:016x}".format)
        ),
        "timeouts": TIMEOUTS,
        "access": ACCESS,
        "api": st.fixed_dictionaries({"listen": PATHS.map("unix:{}".format)}),
        "state": PATHS,
        "log": st.fixed_dictionaries({"level": st.sampled_from(["debug", "error"])}),
    },
)


@given(CONFIGS)
@settings(deadline=None, max_examples=200)
def test_what_is_shown_loads_again_and_is_equal(mapping: dict[str, Any]) -> None:
    """So `--show` can be kept as the file."""
    try:
        config = config_from_mapping(mapping)
    except InvalidConfigError:
        return  # two of a kind by chance

    assert parse_config(render_config(config), "f") == config
