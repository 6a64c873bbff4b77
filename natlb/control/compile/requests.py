"""From a filter with names to the commands that a worker understands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from natlb.control.compile.views import STATES, backend_numbers, client_prefix, state_set
from natlb.core.layout import ANY, COMMAND, FLUSH, PROTOCOLS
from natlb.errors import UnknownNameError, UsageError
from natlb.model import FlowFilter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from natlb.control.compile.indices import Indices


def check_filter(indices: Indices, wanted: FlowFilter) -> None:
    """Raise UnknownNameError or UsageError for a filter that can name nothing."""
    if wanted.service is not None and wanted.service not in indices.services:
        raise UnknownNameError(_nothing_named("service", wanted.service, indices.services))
    if wanted.backend is not None and not backend_numbers(indices, wanted):
        names = {name for service, name in indices.backends if wanted.service in (None, service)}
        raise UnknownNameError(_nothing_named("backend", wanted.backend, names))
    if wanted.state is not None and wanted.state not in STATES:
        raise UsageError(_nothing_named("state", wanted.state, STATES))
    if wanted.protocol is not None and wanted.protocol not in PROTOCOLS:
        raise UsageError(_nothing_named("protocol", wanted.protocol, PROTOCOLS))
    if wanted.client is not None:
        client_prefix(wanted.client)


def _nothing_named(kind: str, name: str, known: Collection[str]) -> str:
    return f"no {kind} {name!r}; there are {', '.join(sorted(known))}"


def flush_commands(indices: Indices, wanted: FlowFilter, *, reset: bool) -> list[Any]:
    """Return the COMMAND records that flush what a filter names: one for each backend it means."""
    check_filter(indices, wanted)
    backends = [ANY] if wanted.backend is None else backend_numbers(indices, wanted)
    return [_flush_command(indices, wanted, backend, reset=reset) for backend in backends]


def _flush_command(indices: Indices, wanted: FlowFilter, backend: int, *, reset: bool) -> Any:
    command = np.zeros(1, COMMAND)[0]
    command["kind"] = FLUSH
    command["reset"] = int(reset)
    command["backend"] = backend
    command["service"] = ANY if wanted.service is None else indices.services[wanted.service]
    command["state"] = ANY if wanted.state is None else state_set(wanted.state)
    command["protocol"] = ANY if wanted.protocol is None else PROTOCOLS[wanted.protocol]
    if wanted.client is not None:
        lanes, command["prefix"] = client_prefix(wanted.client)
        for lane, word in enumerate(lanes):
            command[f"client{lane}"] = word
    return command


def parse_filter(arguments: Iterable[str]) -> FlowFilter:
    """Return the filter that `key=value` words name; raises UsageError."""
    words = dict(argument.partition("=")[::2] for argument in arguments)
    unknown = words.keys() - set(FlowFilter.__dataclass_fields__)
    if unknown:
        known = ", ".join(FlowFilter.__dataclass_fields__)
        message = f"no filter {min(unknown)!r}; there are {known}"
        raise UsageError(message)
    return FlowFilter(**words)
