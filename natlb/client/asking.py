"""A method for each request of the API.

A change takes `dry_run`: it is judged and answered as if it had been made, and is not. And
`if_match`: it is made only if the revision is still this one. To change what one has looked at, ask
for `revision()` first and look then.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, urlencode

from natlb.client.following import events_path
from natlb.client.following import follow as follow_events
from natlb.client.places import default_socket
from natlb.client.transport import Transport
from natlb.client.values import value_of, values_of
from natlb.errors import UnavailableError
from natlb.model import (
    Backend,
    BackendStateName,
    CheckHistory,
    CheckReport,
    Event,
    Flow,
    FlowFilter,
    Flush,
    HandshakeTimes,
    Reload,
    Saved,
    Service,
    Statistics,
    Status,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SECONDS = 30.0  # a reload compiles tables, and control may just be being replaced
PIECE_BYTES = 1 << 16


class Client:
    """The instance that listens on a socket."""

    def __init__(
        self,
        path: str | None = None,
        *,
        token: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        """Name the socket, by default that of this network namespace; nothing is opened yet.

        `tcp://127.0.0.1:9000` in the place of a path needs a token, by default `NATLB_TOKEN`.
        """
        self.path = path or default_socket()
        known = token or os.environ.get("NATLB_TOKEN", "")
        self._transport = Transport(self.path, known, timeout)

    def status(self) -> Status:
        """Return whether packets are forwarded, and by what."""
        return value_of(Status, self._get("/v1/status"))

    def services(self) -> list[Service]:
        """Return the services."""
        return values_of(Service, self._get("/v1/services"))

    def backends(self, service: str | None = None) -> list[Backend]:
        """Return the backends of one service or of all."""
        return values_of(Backend, self._get(_backends_path(service)))

    def handshakes(self) -> list[HandshakeTimes]:
        """Return how long backends' first answers took so far."""
        return values_of(HandshakeTimes, self._get("/v1/handshakes"))

    def flows(self, wanted: FlowFilter | None = None, limit: int | None = None) -> list[Flow]:
        """Return the flows that `wanted` describes."""
        return values_of(Flow, self._get(_flows_path(wanted, limit)))

    def copy_flows(self, to: BinaryIO, wanted: FlowFilter | None = None) -> None:
        """Write the JSON document of the flows to `to` as it comes: a million are never held."""
        with self._transport.open("GET", _flows_path(wanted, None)) as answer:
            while piece := self._transport.read(answer, PIECE_BYTES):
                to.write(piece)

    def stats(self) -> Statistics:
        """Return the counters."""
        return value_of(Statistics, self._get("/v1/stats"))

    def revision(self) -> int:
        """Return how often somebody changed what is wanted; health and counters do not count."""
        with self._transport.open("HEAD", "/v1/status") as answer:
            tag = answer.headers.get("etag", "")
        number = tag.strip('"').removeprefix("r")
        if not number.isdecimal():
            raise UnavailableError(f"what listens on {self.path} has no revision")
        return int(number)

    def events(self, since: int | None = None, *, follow: bool = False) -> Iterator[Event]:
        """Yield the events that are kept, of those after number `since`; then, to follow, the next.

        Who follows goes on over control's death; an event `gap` says that some were missed.
        """
        if follow:
            return follow_events(self._transport, since)
        return iter(values_of(Event, self._get(events_path(since, follow=False))))

    def check(self, service: str, name: str) -> CheckReport:
        """Return what a check of a backend, made now, finds; it counts for nothing."""
        path = f"{_backend_path(service, name)}/check"
        return value_of(CheckReport, self._send("POST", path, None))

    def checks(self, service: str, name: str) -> CheckHistory:
        """Return a backend's health and the last results of its checks."""
        return value_of(CheckHistory, self._get(f"{_backend_path(service, name)}/checks"))

    def set_backend(
        self,
        service: str,
        name: str,
        *,
        state: BackendStateName | None = None,
        weight: int | None = None,
        dry_run: bool = False,
        if_match: int | None = None,
    ) -> Backend:
        """Return the backend once it has this state and weight."""
        path = _tried(_backend_path(service, name), dry_run=dry_run)
        change = _given({"state": state, "weight": weight})
        return value_of(Backend, self._send("PATCH", path, change, if_match))

    def add_backend(
        self,
        service: str,
        address: str,
        *,
        name: str | None = None,
        weight: int | None = None,
        dry_run: bool = False,
        if_match: int | None = None,
    ) -> Backend:
        """Return a backend once it is in the pool; with `dry_run`, as it would be."""
        new = _given({"address": address, "name": name, "weight": weight})
        path = _tried(_backends_path(service), dry_run=dry_run)
        return value_of(Backend, self._send("POST", path, new, if_match))

    def remove_backend(
        self, service: str, name: str, *, dry_run: bool = False, if_match: int | None = None
    ) -> Backend:
        """Return a backend as it was before it left the pool; with `dry_run` it stays."""
        path = _tried(_backend_path(service, name), dry_run=dry_run)
        return value_of(Backend, self._send("DELETE", path, None, if_match))

    def flush(
        self,
        wanted: FlowFilter | None = None,
        *,
        reset: bool = False,
        dry_run: bool = False,
        if_match: int | None = None,
    ) -> Flush:
        """Drop the flows that `wanted` describes, all by default."""
        path, body = _tried("/v1/flush", dry_run=dry_run), {**_words(wanted), "reset": reset}
        return value_of(Flush, self._send("POST", path, body, if_match))

    def reload(
        self, config: str | None = None, *, dry_run: bool = False, if_match: int | None = None
    ) -> Reload:
        """Put a configuration in force; `config` is an absolute path, None the present file."""
        path = _tried("/v1/reload", dry_run=dry_run)
        return value_of(Reload, self._send("POST", path, {"config": config}, if_match))

    def save_config(self, *, dry_run: bool = False, if_match: int | None = None) -> Saved:
        """Write what was changed at run time into the file; with `dry_run`, say what would be."""
        path = _tried("/v1/config/save", dry_run=dry_run)
        return value_of(Saved, self._send("POST", path, None, if_match))

    def _get(self, path: str) -> Any:
        return self._send("GET", path, None)

    def _send(self, method: str, path: str, body: object, if_match: int | None = None) -> Any:
        headers = {} if if_match is None else {"If-Match": f'"r{if_match}"'}
        with self._transport.open(method, path, body, headers) as answer:
            return self._transport.parse(self._transport.read(answer))


def _backends_path(service: str | None) -> str:
    return "/v1/backends" if service is None else f"/v1/services/{_escaped(service)}/backends"


def _escaped(name: str) -> str:
    """Return a name as a part of a path; what no text can be is nobody's name as it is."""
    return quote(name, safe="", errors="backslashreplace")


def _backend_path(service: str, name: str) -> str:
    return f"{_backends_path(service)}/{_escaped(name)}"


def _tried(path: str, *, dry_run: bool) -> str:
    return f"{path}?dry_run=true" if dry_run else path


def _flows_path(wanted: FlowFilter | None, limit: int | None) -> str:
    words = _given({**_words(wanted), "limit": limit})
    return f"/v1/flows?{urlencode(words, errors='backslashreplace')}" if words else "/v1/flows"


def _words(wanted: FlowFilter | None) -> dict[str, Any]:
    return _given(to_json(wanted or FlowFilter()))


def _given(words: dict[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in words.items() if value is not None}
