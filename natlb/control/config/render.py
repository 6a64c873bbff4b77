"""A configuration as YAML with every default spelled out: what `natlb validate --show` prints.

Law: what is written here loads again, and is an equal `Config`.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from itertools import pairwise
from typing import TYPE_CHECKING

from natlb.control.config.check_types import check_keys
from natlb.control.config.check_words import codes_texts, payload_text
from natlb.control.config.values import (
    API_LISTEN,
    Access,
    Address,
    Affinity,
    BackendConfig,
    CheckConfig,
    Config,
    DatapathConfig,
    NetnsSide,
    PolicyConfig,
    ServiceConfig,
    Side,
    SlowStart,
    Timeouts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9._/-]*(?:://?[A-Za-z0-9._/:-]*[A-Za-z0-9._/-])?")
_PLAIN_ENDPOINT = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(?::[0-9]+)?")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""What YAML 1.1 or 1.2 takes for something else than text."""


def render_config(config: Config, netns: int | None = None) -> str:
    """Return a configuration as YAML; with `netns`, the default socket names that namespace."""
    return "\n".join(_lines(config, netns)) + "\n"


def _lines(config: Config, netns: int | None) -> Iterator[str]:
    """Yield all lines."""
    yield _seed(config.seed)
    yield "datapath:"
    yield from _datapath(config.datapath)
    yield "timeouts:"
    yield from _timeouts(config.timeouts, "  ")
    yield "access:"
    yield from _access(config.access, "  ")
    yield "services:"
    for service in config.services.values():
        yield from _service(service)
    yield "api:"
    yield f"  listen: {yaml_text(api_listen(config, netns))}"
    token_file = config.api.token_file
    yield f"  token_file: {'none' if token_file is None else yaml_text(token_file)}"
    yield f"state: {yaml_text(config.state)}"
    yield "log:"
    yield f"  level: {config.log.level}"
    yield f"  format: {config.log.format}"


def _seed(seed: int | None) -> str:
    """Return the seed as the state directory's file has it; to have none is a comment."""
    if seed is None:
        return "# seed: kept in the state directory, made at the first start"
    return f'seed: "{seed:016x}"'


def _datapath(datapath: DatapathConfig) -> Iterator[str]:
    """Yield the lines of the datapath."""
    yield f"  driver: {datapath.driver}"
    yield f"  output: {datapath.output}"
    yield f"  workers: {datapath.workers}"
    yield _side("public", datapath.public)
    yield _side("private", datapath.private)
    yield f"  max_flows: {datapath.max_flows}"
    yield f"  max_flows_per_source: {_limit(datapath.max_flows_per_source)}"
    yield f"  fragments: {datapath.fragments}"
    yield f"  error_rate: {datapath.error_rate}"
    ranges = [yaml_text(each) for each in _ranges(datapath.source)]
    yield f"  source: [{', '.join(ranges)}]" if ranges else "  source: none"
    yield "  source_ports: {}-{}".format(*datapath.source_ports)


def _ranges(addresses: tuple[Address, ...]) -> Iterator[str]:
    """Yield addresses that are in order, neighbours as a range."""
    if not addresses:
        return
    first = addresses[0]
    for address, following in pairwise([*addresses, None]):
        assert address is not None
        if following is None or int(following) != int(address) + 1:
            yield str(first) if first == address else f"{first}-{address}"
            first = following or first


def _limit(flows: int | None) -> str:
    """Return a limit; there may be none."""
    return "none" if flows is None else str(flows)


def _access(access: Access, indent: str) -> Iterator[str]:
    """Yield the two lists of prefixes."""
    for name, prefixes in (("allow", access.allow), ("deny", access.deny)):
        yield f"{indent}{name}: [{', '.join(yaml_text(str(prefix)) for prefix in prefixes)}]"


def api_socket(config: Config, netns: int) -> str:
    """Return the path of the API's socket, which is there beside TCP too."""
    beside = API_LISTEN.replace("NETNS", str(netns))
    listen = beside if config.api.is_tcp else api_listen(config, netns)
    return listen.removeprefix("unix:")


def api_listen(config: Config, netns: int | None) -> str:
    """Return where the API listens, in the namespace with this inode number."""
    default = API_LISTEN if netns is None else API_LISTEN.replace("NETNS", str(netns))
    return default if config.api.listen is None else config.api.listen


def _side(name: str, side: Side | None) -> str:
    """Return a side; one that natlb finds by itself is a comment, since no value means it."""
    if side is None:
        return f"  # {name}: found from addresses and routes"
    if isinstance(side, NetnsSide):
        return f"  {name}: {{netns: {yaml_text(side.netns)}}}"
    return f"  {name}: [{', '.join(yaml_text(interface) for interface in side)}]"


def _service(service: ServiceConfig) -> Iterator[str]:
    """Yield the lines of a service."""
    yield f"  {yaml_text(service.name)}:"
    if len(service.listen) == 1:
        yield f"    listen: {yaml_text(str(service.listen[0]))}"
    else:
        yield "    listen:"
        yield from (f"      - {yaml_text(str(listen))}" for listen in service.listen)
    yield "    mode: packet"
    yield f"    policy: {policy_text(service.policy)}"
    yield f"    shadow: {policy_text(service.shadow)}"
    yield "    backends:" if service.backends else "    backends: []"
    yield from (f"      - {_backend(service, backend)}" for backend in service.backends)
    yield f"    affinity: {_affinity(service.affinity)}"
    yield f"    slow_start: {_slow_start(service.slow_start)}"
    yield f"    panic_threshold: {_number(service.panic_threshold)}"
    yield f"    nat: {service.nat}"
    yield f"    max_flows: {_limit(service.max_flows)}"
    yield "    access:"
    yield from _access(service.access, "      ")
    yield f"    check: {_check(service.check)}"
    yield f"    no_backend: {service.no_backend}"
    yield f"    unknown: {service.unknown}"
    yield f"    passive: {str(service.passive).lower()}"
    yield f"    on_down: {service.on_down}"
    yield f"    on_remove: {service.on_remove}"
    yield f"    mss_clamp: {str(service.mss_clamp).lower()}"
    yield f"    datagrams: {service.datagrams}"
    yield "    timeouts:"
    yield from _timeouts(service.timeouts, "      ")


def policy_text(policy: PolicyConfig | None) -> str:
    """Return a policy, by its name alone where it has no parameters; `none` for none."""
    if policy is None or not policy.parameters:
        return "none" if policy is None else policy.name
    return inline_mapping({"name": policy.name, **policy.parameters})


def _affinity(affinity: Affinity | None) -> str:
    """Return which clients stay together, if any do."""
    return "none" if affinity is None else inline_mapping(asdict(affinity))


def _slow_start(slow_start: SlowStart | None) -> str:
    """Return how a backend comes in, if not at once."""
    return "none" if slow_start is None else inline_mapping(asdict(slow_start))


def _check(check: CheckConfig | None) -> str:
    """Return how backends are asked, with the keys of that type alone."""
    if check is None:
        return "none"
    written = dict(check_keys(check))
    if "status" in written:
        written["status"] = tuple(codes_texts(check.status))
    return inline_mapping(written)


def _backend(service: ServiceConfig, backend: BackendConfig) -> str:
    """Return a backend, by its address alone where that is its name; its check where it differs."""
    own = backend.check != service.check
    return inline_mapping(
        {
            **({} if backend.name == backend.written else {"name": backend.name}),
            "address": backend.written,
            "weight": backend.weight,
            "max_flows": "none" if backend.max_flows is None else backend.max_flows,
            "backup": backend.backup,
            **({"check": backend.check} if own else {}),
        }
    )


def inline_mapping(values: Mapping[str, object]) -> str:
    """Return a mapping on one line."""
    return f"{{{', '.join(f'{key}: {_value(value)}' for key, value in values.items())}}}"


def _value(value: object) -> str:
    """Return a value on one line: a scalar, a list of them, or a check."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, CheckConfig):
        return _check(value)
    if isinstance(value, bytes):
        return yaml_text(payload_text(value))
    if isinstance(value, tuple):
        return f"[{', '.join(map(yaml_text, value))}]"
    return _number(float(value)) if isinstance(value, int | float) else yaml_text(str(value))


def _timeouts(timeouts: Timeouts, indent: str) -> Iterator[str]:
    """Yield a line for each timeout."""
    for field in fields(timeouts):
        yield f"{indent}{field.name}: {_number(getattr(timeouts, field.name))}"


def _number(number: float) -> str:
    """Return a number as the shortest that reads back the same."""
    return str(int(number)) if number.is_integer() else repr(number)


def yaml_text(text: str) -> str:
    """Return text as YAML, in quotes where it could be taken for something else."""
    plain = _PLAIN.fullmatch(text) or _PLAIN_ENDPOINT.fullmatch(text)
    if plain and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
