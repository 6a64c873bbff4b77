"""From a file, a text or a mapping to a `Config`, or to all that is wrong with it.

    text -> tree -> without what is of a later version -> shape -> relations checked -> Config

Laws
    Any file gives a `Config` or an `InvalidConfigError`: no other exception leaves this module.
    Nothing of the host is asked but the file itself: whether an interface or a route exists is
    not a question of configuration.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from natlb.control.config.check_types import backend_check, service_check
from natlb.control.config.checks import check, name_of
from natlb.control.config.json_text import read_json
from natlb.control.config.judge import judge
from natlb.control.config.later import refuse_later
from natlb.control.config.policies import parameters_of
from natlb.control.config.problems import InvalidConfigError, Problem, Source, described, placeless
from natlb.control.config.scalars import parse_ports
from natlb.control.config.toml_text import read_toml
from natlb.control.config.tree import FatalFaultError, Fault, Node, tree_of
from natlb.control.config.values import (
    API_LISTEN,
    Access,
    Affinity,
    ApiConfig,
    BackendConfig,
    Config,
    DatapathConfig,
    LogConfig,
    PolicyConfig,
    ServiceConfig,
    SlowStart,
    Timeouts,
)
from natlb.control.config.yaml_text import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from natlb.control.config.choosing import PolicyShape
    from natlb.control.config.shape import (
        AccessShape,
        DatapathShape,
        FileShape,
        ServiceShape,
        TimeoutsShape,
    )

MAX_OCTETS = 16 << 20
"""Twice the largest configuration that the limits on services and backends allow."""

Syntax = Literal["yaml", "toml", "json"]
_READERS: dict[Syntax, Callable[[str], tuple[Node, list[Fault]]]] = {
    "yaml": read_yaml,
    "toml": read_toml,
    "json": read_json,
}


def load_config(path: Path) -> Config:
    """Return the configuration in a file, in the syntax that its extension says."""
    return parse_config(read_config(path), file_name(path), syntax_of(path))


def syntax_of(path: Path) -> Syntax:
    """Return the syntax of a file by its extension; YAML where that says nothing."""
    syntaxes: dict[str, Syntax] = {".toml": "toml", ".json": "json"}
    return syntaxes.get(path.suffix.lower(), "yaml")


def file_name(path: Path) -> str:
    """Return a path on one line that can be printed, whatever octets it is made of."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(path))


def read_config(path: Path) -> str:
    """Return the text of a file, which must be UTF-8; a byte order mark is left out."""
    name = file_name(path)
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_OCTETS + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _unreadable(name, f"cannot read the configuration: {reason}") from None
    return decode_config(octets, name)


def decode_config(octets: bytes, name: str) -> str:
    """Return the text that a file's octets are; `name` is what problems call the file."""
    if len(octets) > MAX_OCTETS:
        raise _unreadable(name, f"more than {MAX_OCTETS >> 20} MiB is no configuration")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(name, octets, error) from None


def _unreadable(name: str, message: str) -> InvalidConfigError:
    """Return what to say of a file that cannot be read, and why."""
    fix = "name a file that natlb can read: --config FILE"
    return InvalidConfigError([placeless(Fault(message), name)], name, fix=fix)


def _not_utf8(name: str, octets: bytes, error: UnicodeDecodeError) -> InvalidConfigError:
    """Return what to say of the first octet that is not UTF-8."""
    text = octets.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    start = len(octets[: error.start].decode("utf-8-sig"))
    fault = Fault(
        f"octet {octets[error.start]:#04x} is not UTF-8", at=start, suggestion="save it as UTF-8"
    )
    return InvalidConfigError([Source(text, name).problem(fault)], name)


def parse_config(text: str, name: str, syntax: Syntax = "yaml") -> Config:
    """Return the configuration that a text means; `name` is what problems call the text."""
    source = Source(text, name)
    try:
        root, faults = _READERS[syntax](text)
        return _config_of(root, faults, source.problem, name)
    except FatalFaultError as error:
        raise InvalidConfigError([source.problem(error.fault)], name) from None


def plain_config(text: str, name: str, syntax: Syntax) -> object:
    """Return a text as the plain data that it is, of which nothing is asked but its syntax."""
    try:
        root, _ = _READERS[syntax](text)
    except FatalFaultError as error:
        raise InvalidConfigError([Source(text, name).problem(error.fault)], name) from None
    return root.plain()


def config_from_mapping(mapping: Mapping[str, object]) -> Config:
    """Return the configuration that plain data means."""
    try:
        return _config_of(tree_of(mapping), [], placeless, None)
    except FatalFaultError as error:
        raise InvalidConfigError([placeless(error.fault)]) from None


def _config_of(
    root: Node, faults: list[Fault], problem: Callable[[Fault], Problem], name: str | None
) -> Config:
    """Return what a tree means, or raise with all that is wrong."""
    if root.value is None:
        raise FatalFaultError("holds no configuration: it is empty")
    if not isinstance(root.value, dict):
        message = f"must be a mapping of keys to values, not {described(root.value)}"
        raise FatalFaultError(message, root.at)
    faults += refuse_later(root)
    shape, unfit = judge(root)
    faults += unfit
    if shape is not None:
        faults += check(shape, root)
    if faults or shape is None:
        raise InvalidConfigError(map(problem, faults), name)
    return _meaning(shape)


def _meaning(shape: FileShape) -> Config:
    """Return a checked configuration with every name resolved."""
    timeouts = _timeouts(shape.timeouts, Timeouts())
    api, log = shape.api, shape.log
    return Config(
        services={name: _service(name, each, timeouts) for name, each in shape.services.items()},
        seed=shape.seed,
        datapath=_datapath(shape.datapath),
        timeouts=timeouts,
        access=_access(shape.access),
        api=ApiConfig(
            listen=None if api.listen == API_LISTEN else api.listen, token_file=api.token_file
        ),
        state=shape.state,
        log=LogConfig(level=log.level, format=log.format),
    )


def _datapath(shape: DatapathShape) -> DatapathConfig:
    """Return where packets come in, with the addresses of full NAT in order."""
    sources = {address for each in shape.source for address in each}
    return DatapathConfig(
        driver=shape.driver,
        output=shape.output,
        workers=shape.workers,
        public=shape.public,
        private=shape.private,
        max_flows=shape.max_flows,
        max_flows_per_source=shape.max_flows_per_source,
        fragments=shape.fragments,
        error_rate=shape.error_rate,
        source=tuple(sorted(sources, key=lambda each: (each.version, int(each)))),
        source_ports=parse_ports(shape.source_ports),
    )


def _access(shape: AccessShape) -> Access:
    """Return the clients that may call."""
    return Access(allow=tuple(shape.allow), deny=tuple(shape.deny))


def _timeouts(shape: TimeoutsShape, otherwise: Timeouts) -> Timeouts:
    """Return the timeouts that are given, and the others where they are not."""
    return replace(otherwise, **{name: getattr(shape, name) for name in shape.model_fields_set})


def _policy(shape: PolicyShape) -> PolicyConfig:
    """Return a policy with all its parameters."""
    return PolicyConfig(name=shape.name, parameters=parameters_of(shape))


def _service(name: str, shape: ServiceShape, timeouts: Timeouts) -> ServiceConfig:
    """Return a service with its timeouts merged."""
    return ServiceConfig(
        name=name,
        listen=tuple(shape.listen),
        policy=_policy(shape.policy),
        shadow=None if shape.shadow is None else _policy(shape.shadow),
        affinity=None if shape.affinity is None else Affinity(**dict(shape.affinity)),
        slow_start=None if shape.slow_start is None else SlowStart(**dict(shape.slow_start)),
        panic_threshold=shape.panic_threshold,
        backends=tuple(
            BackendConfig(
                name=name_of(backend),
                address=backend.address.address,
                port=backend.address.port,
                written=backend.address.written,
                weight=backend.weight,
                max_flows=backend.max_flows,
                backup=backend.backup,
                check=backend_check(shape, backend),
            )
            for backend in shape.backends
        ),
        nat=shape.nat,
        max_flows=shape.max_flows,
        access=_access(shape.access),
        no_backend=shape.no_backend,
        unknown=shape.unknown,
        check=service_check(shape),
        passive=shape.passive,
        on_down=shape.on_down,
        on_remove=shape.on_remove,
        mss_clamp=shape.mss_clamp,
        datagrams=shape.datagrams,
        timeouts=_timeouts(shape.timeouts, timeouts),
    )
