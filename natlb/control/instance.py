"""What the API may ask of a running instance: the border between `api` and `control`.

`api` knows nothing of tables, workers or files. It holds one object that keeps this protocol,
turns requests into calls and values into JSON, and decides nothing. The names of the methods are
those of the commands; the values are those of `natlb.model`.

Laws
    `status services backends flows stats` change nothing, so a GET never does.
    Every method may raise what `natlb.errors` lists; anything else that escapes is a bug.
    `dry_run` returns or raises what would be, and changes nothing; the host is not asked.
    `revisions` has a change made at one of these revisions alone, judged when it is its turn, so
    that of two at one time one is made; else it is `ChangedError`. None: whatever the revision.
    A service or backend that does not exist is `UnknownNameError`, in a filter too.
    The loop is shared with health checks and hand-over: a method that walks a large table walks
    it in a thread or in pieces.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Protocol, get_args

from natlb.errors import UsageError
from natlb.model import FlowFilter, FlowStateName, ProtocolName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from natlb.control.desired import Revisions
    from natlb.control.events import EventLog
    from natlb.control.measures import Measures
    from natlb.model import (
        Backend,
        BackendStateName,
        CheckHistory,
        CheckReport,
        Flow,
        Flush,
        Reload,
        Saved,
        Service,
        Statistics,
    )
    from natlb.model import Status as InstanceStatus

FILTER_WORDS = ("service", "backend", "client", "state", "protocol")
EXAMPLE = "natlb flows service=web client=198.51.100.0/24 state=established"


class Instance(Protocol):
    """A running natlb as seen by whoever may read it and send it intents."""

    @property
    def events(self) -> EventLog:
        """What it changed and noticed lately."""

    async def status(self) -> InstanceStatus:
        """Return whether packets are forwarded, and by what."""

    async def services(self) -> list[Service]:
        """Return the services in the order of the configuration."""

    async def backends(self, service: str | None, /) -> list[Backend]:
        """Return the backends of `service`, or of all services, in the order of the file."""

    async def flows(self, wanted: FlowFilter, limit: int | None, /) -> list[Flow]:
        """Return the flows that `wanted` describes, at most `limit` of them."""

    async def stats(self) -> Statistics:
        """Return the counters, which outlive every process of the instance."""

    async def measures(self) -> Measures:
        """Return all that metrics tell, read at one moment."""

    @property
    def revision(self) -> int:
        """How often an operator changed what is wanted; health does not count."""

    async def reload(
        self, config: str | None, /, *, dry_run: bool = False, revisions: Revisions = None
    ) -> Reload:
        """Put a configuration in force whole, or raise and change nothing.

        `config` is the absolute path of the file to read and to stay with; None reads the
        present one again.
        """

    async def set_backend(
        self,
        service: str,
        name: str,
        /,
        *,
        state: BackendStateName | None = None,
        weight: int | None = None,
        dry_run: bool = False,
        revisions: Revisions = None,
    ) -> Backend:
        """Return the backend once it has this state and weight; None leaves one as it is.

        The state `maint` also resets the flows that the backend has.
        """

    async def add_backend(
        self,
        service: str,
        address: str,
        /,
        *,
        name: str | None = None,
        weight: int | None = None,
        dry_run: bool = False,
        revisions: Revisions = None,
    ) -> Backend:
        """Return a backend once it is in the pool; its address is its name unless it has one.

        It is checked as a configuration is: what a file may not say raises ConfigError, a name
        that is there already TakenError.
        """

    async def remove_backend(
        self, service: str, name: str, /, *, dry_run: bool = False, revisions: Revisions = None
    ) -> Backend:
        """Return a backend as it was before it left the pool; its flows end by `on_remove`."""

    async def save_config(self, /, *, dry_run: bool = False, revisions: Revisions = None) -> Saved:
        """Write what was changed at run time into the configuration file, or raise."""

    async def check(self, service: str, name: str, /) -> CheckReport:
        """Return what a health check of a backend finds now, step by step; it counts for nothing.

        Raises UsageError where the backend has no check.
        """

    async def checks(self, service: str, name: str, /) -> CheckHistory:
        """Return a backend's health and how it came about."""

    async def flush(
        self,
        wanted: FlowFilter,
        /,
        *,
        reset: bool,
        dry_run: bool = False,
        revisions: Revisions = None,
    ) -> Flush:
        """Drop the flows that `wanted` describes; with `reset`, TCP is told at both ends."""


def flow_filter(words: Mapping[str, str]) -> FlowFilter:
    """Return the filter that `words` (`service` to `web`, …) spell, each value checked.

    A backend may be given as `service/name`, its address everywhere else; names themselves are
    not looked up here. Raises UsageError, which lists what would have been understood.
    """
    for word in words:
        if word not in FILTER_WORDS:
            raise _refusal(f"unknown filter '{word}'; there are {', '.join(FILTER_WORDS)}")
    fields = dict(words)
    for word, value in fields.items():
        if not value or not value.isprintable():
            raise _refusal(f"filter '{word}' has no value that can be read")
    _split_backend(fields)
    _require_one_of(fields, "state", get_args(FlowStateName))
    _require_one_of(fields, "protocol", get_args(ProtocolName))
    if "client" in fields:
        fields["client"] = _client(fields["client"])
    return FlowFilter(**fields)


def _refusal(message: str) -> UsageError:
    return UsageError(message, fix=EXAMPLE)


def _split_backend(fields: dict[str, str]) -> None:
    """Take `backend=web/b2` apart into its service and its name."""
    service, slash, name = fields.get("backend", "").partition("/")
    if not slash:
        return
    if not service or not name or fields.get("service", service) != service:
        raise _refusal(f"backend '{fields['backend']}' is not a backend of one service")
    fields["service"], fields["backend"] = service, name


def _require_one_of(fields: Mapping[str, str], word: str, known: tuple[str, ...]) -> None:
    if word in fields and fields[word] not in known:
        raise _refusal(f"unknown {word} '{fields[word]}'; there are {', '.join(known)}")


def _client(text: str) -> str:
    """Return an address or prefix in its usual spelling; bits below the prefix are dropped."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise _refusal(f"client '{text}' is not an address or a prefix") from None
    if network.num_addresses == 1:
        return str(network.network_address)
    return str(network)
