from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natlb.control.config.load import (
    MAX_OCTETS,
    Syntax,
    config_from_mapping,
    file_name,
    load_config,
    parse_config,
    read_config,
    syntax_of,
)
from natlb.control.config.problems import InvalidConfigError
from natlb.control.config.values import (
    Affinity,
    ApiConfig,
    BackendConfig,
    Config,
    DatapathConfig,
    Listen,
    LogConfig,
    NetnsSide,
    PolicyConfig,
    ServiceConfig,
    SlowStart,
    Timeouts,
)

SMALLEST = (
    "services: {web: {listen: tcp://203.0.113.10:80, backends: [10.77.0.11:8080, 10.77.0.12:8080]}}"
)

FULL_YAML = """\
datapath:
  driver: tun
  public: [eth0, eth1]
  private: {netns: inside}
  max_flows: 2000000
timeouts: {udp: 1m, tcp_established: 2h}
services:
  web:
    listen: [tcp://203.0.113.10:80, tcp://203.0.113.10:443]
    mode: packet
    policy: {name: source-hash, key: address-port}
    shadow: round-robin
    affinity: {prefix: 24, timeout: 1h}
    slow_start: 30s
    panic_threshold: 0.5
    check: none
    backends:
      - {address: 10.77.0.11, weight: 0, max_flows: none}
      - {name: b2, address: 10.77.0.12:8080, check: none, max_flows: 9, backup: true}
    no_backend: drop
    timeouts: {udp: 500ms}
  dns6:
    listen: "udp://[2001:db8::1]:53"
    backends: ["[fd00::1]:53", "fd00::2"]
api: {listen: unix:/run/other.sock}
seed: "00000000deadbeef"
state: /srv/natlb
log: {level: debug, format: json}
"""

FULL_TOML = """\
state = "/srv/natlb"
seed = 0xdeadbeef
api.listen = "unix:/run/other.sock"
log = {level = "debug", format = "json"}
[datapath]
driver = "tun"
public = ["eth0", "eth1"]
private.netns = "inside"
max_flows = 2_000_000
[timeouts]
udp = "1m"
tcp_established = "2h"
[services.web]
listen = ["tcp://203.0.113.10:80", "tcp://203.0.113.10:443"]
mode = "packet"
policy = {name = "source-hash", key = "address-port"}
shadow = "round-robin"
affinity = {prefix = 24, timeout = 3600}
slow_start.seconds = 30
panic_threshold = 0.5
check = "none"
no_backend = "drop"
timeouts.udp = 0.5
[[services.web.backends]]
address = "10.77.0.11"
weight = 0
[[services.web.backends]]
name = "b2"
address = "10.77.0.12:8080"
check = "none"
max_flows = 9
backup = true
[services.dns6]
listen = "udp://[2001:db8::1]:53"
backends = ["[fd00::1]:53", "fd00::2"]
"""

FULL_JSON = """\
{"datapath": {"driver": "tun", "public": ["eth0", "eth1"], "private": {"netns": "inside"},
              "max_flows": 2000000},
 "timeouts": {"udp": 60, "tcp_established": 7200.0},
 "services": {
   "web": {"listen": ["tcp://203.0.113.10:80", "tcp://203.0.113.10:443"], "mode": "packet",
           "policy": {"name": "source-hash", "key": "address-port"}, "shadow": "round-robin",
           "affinity": {"prefix": 24, "timeout": "60m"}, "panic_threshold": 0.5,
           "slow_start": {"seconds": 30, "exponent": 1.0}, "check": "none", "no_backend": "drop",
           "timeouts": {"udp": "500ms"},
           "backends": [{"address": "10.77.0.11", "weight": 0},
                        {"name": "b2", "address": "10.77.0.12:8080", "max_flows": 9,
                         "backup": true}]},
   "dns6": {"listen": "udp://[2001:db8::1]:53", "backends": ["[fd00::1]:53", "fd00::2"]}},
 "api": {"listen": "unix:/run/other.sock"}, "seed": 3735928559, "state": "/srv/natlb",
 "log": {"level": "debug", "format": "json"}}
"""

FULL = Config(
    services={
        "web": ServiceConfig(
            name="web",
            listen=(
                Listen("tcp", ip_address("203.0.113.10"), 80),
                Listen("tcp", ip_address("203.0.113.10"), 443),
            ),
            policy=PolicyConfig(name="source-hash", parameters={"key": "address-port"}),
            shadow=PolicyConfig(name="round-robin"),
            affinity=Affinity(prefix=24, timeout=3600.0),
            slow_start=SlowStart(seconds=30.0),
            panic_threshold=0.5,
            backends=(
                BackendConfig(
                    name="10.77.0.11",
                    address=ip_address("10.77.0.11"),
                    port=None,
                    written="10.77.0.11",
                    weight=0,
                ),
                BackendConfig(
                    name="b2",
                    address=ip_address("10.77.0.12"),
                    port=8080,
                    written="10.77.0.12:8080",
                    max_flows=9,
                    backup=True,
                ),
            ),
            no_backend="drop",
            timeouts=Timeouts(tcp_established=7200.0, udp=0.5),
        ),
        "dns6": ServiceConfig(
            name="dns6",
            listen=(Listen("udp", ip_address("2001:db8::1"), 53),),
            backends=(
                BackendConfig(
                    name="[fd00::1]:53",
                    address=ip_address("fd00::1"),
                    port=53,
                    written="[fd00::1]:53",
                ),
                BackendConfig(
                    name="fd00::2", address=ip_address("fd00::2"), port=None, written="fd00::2"
                ),
            ),
            timeouts=Timeouts(tcp_established=7200.0, udp=60.0),
        ),
    },
    datapath=DatapathConfig(
        driver="tun", public=("eth0", "eth1"), private=NetnsSide("inside"), max_flows=2_000_000
    ),
    timeouts=Timeouts(tcp_established=7200.0, udp=60.0),
    api=ApiConfig(listen="unix:/run/other.sock"),
    seed=0xDEADBEEF,
    state="/srv/natlb",
    log=LogConfig(level="debug", format="json"),
)

TEXTS: dict[Syntax, str] = {"yaml": FULL_YAML, "toml": FULL_TOML, "json": FULL_JSON}


def lines(text: str, syntax: Syntax = "yaml") -> list[str]:
    """Return all that is said of a text."""
    with pytest.raises(InvalidConfigError) as caught:
        parse_config(text, "f", syntax)
    assert caught.value.exit_code == 65
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("syntax", TEXTS)
def test_the_three_syntaxes_mean_the_same(syntax: Syntax) -> None:
    """One model, every key of this version."""
    assert parse_config(TEXTS[syntax], "f", syntax) == FULL


def test_the_smallest_configuration_has_every_default() -> None:
    """The one-liner of the docs."""
    config = parse_config(SMALLEST, "f")
    web = config.services["web"]

    assert (config.datapath, config.api, config.log) == (DatapathConfig(), ApiConfig(), LogConfig())
    assert config.state == "/var/lib/natlb"
    assert (web.policy.name, web.nat, web.no_backend) == ("round-robin", "dnat", "reject")
    assert web.timeouts == config.timeouts == Timeouts()
    assert [(each.name, each.port, each.weight) for each in web.backends] == [
        ("10.77.0.11:8080", 8080, 1),
        ("10.77.0.12:8080", 8080, 1),
    ]


def test_services_stand_in_the_order_of_the_file() -> None:
    """That is how commands list them."""
    assert list(parse_config(FULL_YAML, "f").services) == ["web", "dns6"]


def test_a_service_has_its_own_timeouts_and_else_the_global_ones() -> None:
    """One that says the default again has it again."""
    text = FULL_YAML.replace("{udp: 500ms}", "{tcp_established: 7440}")

    assert parse_config(text, "f").services["web"].timeouts == Timeouts(udp=60.0)


def test_the_default_socket_may_be_written_out() -> None:
    """What `validate --show` prints loads as the default."""
    text = SMALLEST + "\napi: {listen: unix:/run/natlb/NETNS/natlb.sock}"

    assert parse_config("{" + SMALLEST + "}", "f").api.listen is None
    assert parse_config(text.replace("services:", "services: ", 1), "f").api.listen is None


@pytest.mark.parametrize("syntax", TEXTS)
def test_a_mistake_has_its_line_and_column_in_every_syntax(syntax: Syntax) -> None:
    """An editor jumps there."""
    text = TEXTS[syntax].replace("no_backend", "no_bakend").replace("203.0.113.10:443", "x:443")
    found = set()
    for said in lines(text, syntax):
        line, column = (int(part) for part in said.split(":")[1:3])
        found.add(text.splitlines()[line - 1][column - 1 :].lstrip("\"'")[:9])

    assert found == {"no_bakend", "tcp://x:4"}


def test_all_problems_are_reported_at_once_in_their_order() -> None:
    """Syntax of keys, values, versions and relations alike."""
    text = (
        "services:\n"
        "  web:\n"
        "    listen: tcp://203.0.113.10:70000\n"
        "    scale: 2\n"
        "    polcy: x\n"
        "    backends: [10.0.0.1, 10.0.0.1]\n"
        "    backends: []\n"
        "  api: {listen: tcp://127.0.0.1:1, backends: [fd00::1]}\n"
    )
    said = lines(text)

    places = ["f:3:13", "f:4:5", "f:5:5", "f:6:26", "f:7:5", "f:8:17"]
    assert [line.split(": ")[0] for line in said] == places
    assert said[0] == "f:3:13: services.web.listen: port 70000 is not in 1..65535"
    assert said[1] == "f:4:5: services.web.scale: not in this version"
    assert said[4] == "f:7:5: the key 'backends' is given twice"


@pytest.mark.parametrize(
    ("text", "syntax", "said"),
    [
        ("", "yaml", "f: holds no configuration: it is empty"),
        ("# nothing\n", "yaml", "f: holds no configuration: it is empty"),
        ("", "json", "f: holds no configuration: it is empty"),
        ("", "toml", "f: the configuration has no 'services'"),
        ("- a", "yaml", "f:1:1: must be a mapping of keys to values, not a list"),
        ("just text", "yaml", "f:1:1: must be a mapping of keys to values, not 'just text'"),
        ("5", "json", "f:1:1: must be a mapping of keys to values, not 5"),
        ("{}", "json", "f:1:1: the configuration has no 'services'"),
        ("a: [", "yaml", "f:1:5: not YAML: expected the node content, but found '<stream end>'"),
        ("{", "json", "f:1:2: not JSON: expected a key in double quotes"),
        ("a", "toml", "f:1:2: not TOML: expected '=' after a key in a key/value pair"),
    ],
)
def test_what_is_no_configuration_is_one_problem(text: str, syntax: Syntax, said: str) -> None:
    """Nothing else can be said of it."""
    (line,) = lines(text, syntax)

    assert line.startswith(said)


def test_a_mapping_is_a_configuration_and_its_problems_have_paths() -> None:
    """The engine takes one; there is no line to name."""
    web: dict[str, Any] = {"listen": "tcp://203.0.113.10:80", "backends": ["10.0.0.1"]}
    assert config_from_mapping({"services": {"web": web}}).services["web"].name == "web"

    web["listen"] = "tcp://203.0.113.10:70000"
    with pytest.raises(InvalidConfigError) as caught:
        config_from_mapping({"services": {"web": web}})
    assert caught.value.message == "services.web.listen: port 70000 is not in 1..65535"


@pytest.mark.parametrize("mapping", [{}, {1: 2}, [], None, "x", {"services": {"a": {2: 3}}}])
def test_what_python_can_say_beside_a_configuration_is_refused(mapping: Any) -> None:
    """Whoever calls the engine gets the same kind of error."""
    with pytest.raises(InvalidConfigError):
        config_from_mapping(mapping)


def test_a_file_is_read_in_the_syntax_of_its_extension(tmp_path: Path) -> None:
    """YAML where the extension says nothing."""
    for name in ("a.yaml", "b.yml", "c.conf", "d", "e.toml", "f.JSON"):
        path = tmp_path / name
        path.write_text(TEXTS[syntax_of(path)])
        assert load_config(path) == FULL

    assert [syntax_of(Path(name)) for name in ("e.toml", "f.JSON", "d")] == ["toml", "json", "yaml"]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    """Some editors write one."""
    path = tmp_path / "natlb.json"
    path.write_bytes(b"\xef\xbb\xbf" + FULL_JSON.encode())

    assert load_config(path) == FULL


def test_a_file_that_is_no_utf8_is_refused_at_the_first_such_octet(tmp_path: Path) -> None:
    """Line and column count characters, as everywhere."""
    path = tmp_path / "natlb.yaml"
    path.write_bytes("# é\nstate: /é".encode() + b"\xff/x\n")
    with pytest.raises(InvalidConfigError) as caught:
        load_config(path)

    assert str(caught.value.problems[0]) == (
        f"{path}:2:10: octet 0xff is not UTF-8; save it as UTF-8"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.yaml", "No such file or directory"),
        ("folder", "Is a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("x" * 300, "File name too long"),
        ("nul\0", "embedded null byte"),
        ("folder/x/y", "No such file or directory"),
        ("file/x", "Not a directory"),
    ],
    ids=lambda value: value[:12].strip("\0"),
)
def test_a_file_that_cannot_be_read_is_said_to_be_so(
    tmp_path: Path, name: str, reason: str
) -> None:
    """With the kernel's reason, and with 65 like every other bad configuration."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InvalidConfigError) as caught:
        load_config(tmp_path / name)

    assert caught.value.message.endswith(f"cannot read the configuration: {reason}")
    assert caught.value.exit_code == 65


def test_a_file_without_permission_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root reads everything, so the kernel's answer is played."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InvalidConfigError, match="Permission denied"):
        read_config(tmp_path / "natlb.yaml")


def test_an_endless_file_is_not_read_to_its_end() -> None:
    """/dev/zero has no end."""
    with pytest.raises(InvalidConfigError, match=f"more than {MAX_OCTETS >> 20} MiB"):
        load_config(Path("/dev/zero"))


def test_a_files_name_is_printed_on_one_line() -> None:
    """Names are octets: a line end or half a character in one must not break a report."""
    assert file_name(Path("a\nb\udcffé")) == "a\\nb\\udcffé"


def test_a_pipe_is_a_file_too(tmp_path: Path) -> None:
    """`natlb validate <(generate)` in a shell."""
    import threading

    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(FULL_YAML,))
    writer.start()

    assert load_config(path) == FULL
    writer.join()


@given(st.binary(max_size=200), st.sampled_from([".yaml", ".toml", ".json"]))
@settings(deadline=None)
def test_any_file_is_a_configuration_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, octets: bytes, suffix: str
) -> None:
    """No octets raise anything else."""
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(octets)
    with pytest.raises(InvalidConfigError) as caught:
        load_config(path)

    assert caught.value.problems
    assert caught.value.message.encode()


SYNTAX = list("\n\t :[]{}'\",=#\\\0\ud800\u2028é")
WORDS = ["- ", "&a ", "*a", "!x ", "<<: ", "|\n", "null", "true", "0x1f", "1e999", "-1", "[[a]]"]
KEYS = ["services", "listen", "from", "policy", "weight", "nat", "tcp://", "[::]", "9" * 30]
PIECES = st.sampled_from([*SYNTAX, *WORDS, *KEYS])


@given(st.sampled_from(sorted(TEXTS)), st.data())
@settings(deadline=None, max_examples=400)
def test_any_change_of_a_good_file_gives_a_configuration_or_a_clear_error(
    syntax: Syntax, data: st.DataObject
) -> None:
    """Insertions, deletions and doublings, where the mistakes of people are."""
    text = TEXTS[syntax]
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.sampled_from([0, 0, 1, 5, 30]))
        doubled = text[start:end] * 2
        text = text[:start] + data.draw(PIECES | st.just(doubled) | st.just("")) + text[end:]
    try:
        assert parse_config(text, "f", syntax).services
    except InvalidConfigError as error:
        for problem in error.problems:
            assert str(problem).isprintable()
            if problem.line is not None:
                assert problem.excerpt


INNER_KEYS = ["services", "web", "listen", "backends", "policy", "name", "address", "datapath", "x"]
OUTER_KEYS = ["public", "netns", "timeouts", "udp", "check", "from", "api", "log", "state"]
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*INNER_KEYS, *OUTER_KEYS]), inner, max_size=5)
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(["services", "datapath", "api", "log", "x"]), ANY))
@settings(deadline=None, max_examples=300)
def test_any_mapping_is_a_configuration_or_a_clear_error(mapping: dict[str, Any]) -> None:
    """Any shape of the right keys: each value is checked before it is used."""
    try:
        assert config_from_mapping(mapping).services
    except InvalidConfigError as error:
        assert all(str(problem).isprintable() for problem in error.problems)  # noqa: PT017 - either way is right


@pytest.mark.soak
def test_the_limits_of_a_configuration_can_be_reached() -> None:
    """As many values as the limits promise: 65,535 named backends in 4,096 services."""
    per_service = 16
    services = {
        f"s{index}": {
            "listen": f"tcp://203.0.113.{1 + index % 200}:{1000 + index}",
            "backends": [
                {"name": f"b{n}", "address": f"10.{index >> 8}.{index & 255}.{n + 1}:80"}
                for n in range(per_service - (index == 0))
            ],
        }
        for index in range(4096)
    }
    config = config_from_mapping({"services": services})

    assert sum(len(service.backends) for service in config.services.values()) == 65_535
