"""What can be told to each type of health check, and what holds for a backend in the end.

A backend's `check` is laid over its service's key by key, so `check: {port: 8081}` asks as the
service says, at another port. Where it names another type, only what all types have is taken from
the service. `none` at either place is no check; a mapping on top of none begins from the defaults.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from natlb.control.config.tree import Fault, Node, Path, fault_at, fault_at_key, follow
from natlb.control.config.values import CheckConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from natlb.control.config.checking import CheckShape
    from natlb.control.config.shape import BackendShape, ServiceShape
    from natlb.control.config.values import Address, BackendConfig, ServiceConfig

COMMON = frozenset(
    {
        "type",
        "interval",
        "timeout",
        "rise",
        "fall",
        "jitter",
        "address",
        "port",
        "source",
    }
)
_HTTP = ("path", "host", "method", "status", "match")
OWN: dict[str, tuple[str, ...]] = {
    "tcp": (),
    "http": _HTTP,
    "https": (*_HTTP, "verify", "ca", "sni"),
    "grpc": ("service",),
    "udp": ("send", "expect"),
    "dns": ("name", "record", "expect"),
    "exec": ("command",),
}
"""The keys of each type besides those that all have."""
_PLACES = frozenset({"address", "port", "source"})
NEEDED = {"udp": "send", "dns": "name", "exec": "command"}
"""What a type cannot do without."""
_EXAMPLES = {"send": "PING", "name": "www.example.com", "command": "[/usr/local/bin/check]"}

Given = dict[str, object]


def keys_of(kind: str) -> frozenset[str]:
    """Return all keys of a type; a program asks where it likes, so it has no places."""
    common = COMMON - _PLACES if kind == "exec" else COMMON
    return common.union(OWN[kind])


def service_check(shape: ServiceShape) -> CheckConfig | None:
    """Return what a service's backends are asked unless they say otherwise."""
    given = _given_by_service(shape)
    return None if given is None else _config(given)


def backend_check(service: ServiceShape, backend: BackendShape) -> CheckConfig | None:
    """Return what a backend is asked."""
    given = _laid_over(service, backend)
    return None if given is None else _config(given)


def check_port(service: ServiceConfig, backend: BackendConfig, check: CheckConfig) -> int:
    """Return the port that a backend is asked at: its own, or the first that clients call."""
    return check.port or backend.port or service.listen[0].port


def check_keys(check: CheckConfig) -> Iterator[tuple[str, object]]:
    """Yield the keys and values of a check, those of its type alone, and none that is not set."""
    for name in CheckConfig.__dataclass_fields__:
        value = getattr(check, name)
        if name in keys_of(check.type) and value is not None:
            yield name, value


def _given_by_service(shape: ServiceShape) -> Given | None:
    """Return the keys that a service gives; UDP is not asked unless it says how."""
    if "check" in shape.model_fields_set:
        return None if shape.check is None else _given(shape.check)
    udp = bool(shape.listen) and all(each.protocol == "udp" for each in shape.listen)
    return None if udp else {}


def _given(shape: CheckShape) -> Given:
    """Return the keys that are written."""
    return {name: getattr(shape, name) for name in shape.model_fields_set}


def _laid_over(service: ServiceShape, backend: BackendShape) -> Given | None:
    """Return the keys that hold for a backend, of its own and of its service."""
    below = _given_by_service(service)
    if "check" not in backend.model_fields_set:
        return below
    if backend.check is None:
        return None
    own = _given(backend.check)
    below = below or {}
    if _type(own) == _type(below) or "type" not in own:
        return {**below, **own}
    return {**{name: below[name] for name in below.keys() & keys_of(_type(own)) & COMMON}, **own}


def _type(given: Mapping[str, object]) -> str:
    return str(given.get("type", CheckConfig().type))


def _config(given: Given) -> CheckConfig:
    """Return a check of the keys that are given and its type has."""
    check = CheckConfig(**{name: given[name] for name in given.keys() & keys_of(_type(given))})  # type: ignore[arg-type]
    return check if "timeout" in given else replace(check, timeout=min(1.0, check.interval))


def check_checks(root: Node, path: Path, service: ServiceShape) -> Iterator[Fault]:
    """Complain of what a service's checks and those of its backends cannot be told."""
    if service.check is not None and "check" in service.model_fields_set:
        given = _given(service.check)
        yield from _foreign(root, (*path, "check"), given, _type(given))
        yield from _unfit(root, (*path, "check"), given)
    for index, backend in enumerate(service.backends):
        where = (*path, "backends", index, "check")
        given = _laid_over(service, backend) or {}
        if backend.check is not None and "check" in backend.model_fields_set:
            yield from _foreign(root, where, _given(backend.check), _type(given))
            yield from _unfit(root, where, given)
        yield from _versions(root, path, index, given, backend.address.address)


def _foreign(root: Node, path: Path, given: Given, kind: str) -> Iterator[Fault]:
    """Complain of keys that this type of check has not."""
    for name in sorted(given.keys() - keys_of(kind)):
        owners = ", ".join(each for each in OWN if name in keys_of(each))
        message = f"a check of type {kind} has no {name!r}; {owners} has it"
        near = get_close_matches(name, sorted(keys_of(kind)), n=1)
        guess = f"did you mean {near[0]!r}?" if near else None
        yield replace(fault_at_key(root, (*path, name), message, guess), says_where=False)


def _unfit(root: Node, path: Path, given: Given) -> Iterator[Fault]:
    """Complain of a check that lacks something, or outlasts its interval."""
    kind = _type(given)
    needed = NEEDED.get(kind)
    if needed is not None and needed not in given.keys() | follow(root, path)[-1].missed:
        hint = f"write {needed}: {_EXAMPLES[needed]}"
        yield fault_at(root, path, f"a check of type {kind} needs {needed!r}", hint)
    check = _config(given)
    if check.timeout > check.interval:
        message = f"timeout {check.timeout:g} s is longer than interval {check.interval:g} s"
        yield fault_at(root, (*path, "timeout"), message)


def _versions(
    root: Node, path: Path, index: int, given: Given, address: Address
) -> Iterator[Fault]:
    """Complain of a check from an address of one IP version to one of the other."""
    source, target = _address(given, "source"), _address(given, "address") or address
    if source is not None and source.version != target.version:
        where = (*path, "backends", index)
        message = f"{target} cannot be checked from {source}, which is IPv{source.version}"
        yield fault_at(root, where, message, "give this backend a check of its own")


def _address(given: Given, name: str) -> Address | None:
    found = given.get(name)
    return None if found is None else found  # type: ignore[return-value]
