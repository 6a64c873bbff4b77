"""Typed client of the API: a method a request, values of `natlb.model`, errors of `natlb.errors`.

Made of the standard library alone, so that a command starts at once. A client holds no
connection: each request opens its own, as the socket outlives the process that answers on it.
"""

from __future__ import annotations

import grp
import json
import os
from contextlib import suppress
from dataclasses import is_dataclass
from functools import cache
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import quote, urlencode, urlsplit

from natlb.errors import (
    ChangedError,
    DeniedError,
    NatlbError,
    UnavailableError,
    UsageError,
    WaitTimeoutError,
)
from natlb.model import (
    WHERE_CONFIGURED,
    Backend,
    BackendStateName,
    CheckReport,
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
    from typing import BinaryIO

T = TypeVar("T")
RUN = Path("/run/natlb")
TIMEOUT_SECONDS = 30.0  # a reload compiles tables, and control may just be being replaced
TCP = "tcp://"
EXAMPLE = "tcp://127.0.0.1:9000"
PIECE_BYTES = 1 << 16


def default_socket() -> str:
    """Return where the instance of this network namespace listens."""
    namespace = os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116 - a Path would say no more
    return str(RUN / str(namespace) / "natlb.sock")


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
        self._token = token or os.environ.get("NATLB_TOKEN", "")
        self._timeout = timeout

    def status(self) -> Status:
        """Return whether packets are forwarded, and by what."""
        return _value(Status, self._get("/v1/status"))

    def services(self) -> list[Service]:
        """Return the services."""
        return _values(Service, self._get("/v1/services"))

    def backends(self, service: str | None = None) -> list[Backend]:
        """Return the backends of one service or of all."""
        return _values(Backend, self._get(_backends_path(service)))

    def handshakes(self) -> list[HandshakeTimes]:
        """Return how long backends' first answers took so far."""
        return _values(HandshakeTimes, self._get("/v1/handshakes"))

    def flows(self, wanted: FlowFilter | None = None, limit: int | None = None) -> list[Flow]:
        """Return the flows that `wanted` describes."""
        return _values(Flow, self._get(_flows_path(wanted, limit)))

    def copy_flows(self, to: BinaryIO, wanted: FlowFilter | None = None) -> None:
        """Write the JSON document of the flows to `to` as it comes: a million are never held."""
        with self._open("GET", _flows_path(wanted, None)) as answer:
            while piece := self._read(answer, PIECE_BYTES):
                to.write(piece)

    def stats(self) -> Statistics:
        """Return the counters."""
        return _value(Statistics, self._get("/v1/stats"))

    def reload(self, config: str | None = None) -> Reload:
        """Put a configuration in force; `config` is an absolute path, None the present file."""
        return _value(Reload, self._send("POST", "/v1/reload", {"config": config}))

    def set_backend(
        self,
        service: str,
        name: str,
        *,
        state: BackendStateName | None = None,
        weight: int | None = None,
    ) -> Backend:
        """Return the backend once it has this state and weight."""
        path = f"{_backends_path(service)}/{quote(name, safe='')}"
        change = _given({"state": state, "weight": weight})
        return _value(Backend, self._send("PATCH", path, change))

    def add_backend(
        self,
        service: str,
        address: str,
        *,
        name: str | None = None,
        weight: int | None = None,
        dry_run: bool = False,
    ) -> Backend:
        """Return a backend once it is in the pool; with `dry_run`, as it would be."""
        new = _given({"address": address, "name": name, "weight": weight})
        path = _tried(_backends_path(service), dry_run=dry_run)
        return _value(Backend, self._send("POST", path, new))

    def remove_backend(self, service: str, name: str, *, dry_run: bool = False) -> Backend:
        """Return a backend as it was before it left the pool; with `dry_run` it stays."""
        path = _tried(f"{_backends_path(service)}/{quote(name, safe='')}", dry_run=dry_run)
        return _value(Backend, self._send("DELETE", path, None))

    def save_config(self, *, dry_run: bool = False) -> Saved:
        """Write what was changed at run time into the file; with `dry_run`, say what would be."""
        path = _tried("/v1/config/save", dry_run=dry_run)
        return _value(Saved, self._send("POST", path, None))

    def check(self, service: str, name: str) -> CheckReport:
        """Return what a check of a backend, made now, finds; it counts for nothing."""
        path = f"{_backends_path(service)}/{quote(name, safe='')}/check"
        return _value(CheckReport, self._send("POST", path, None))

    def flush(
        self, wanted: FlowFilter | None = None, *, reset: bool = False, dry_run: bool = False
    ) -> Flush:
        """Drop the flows that `wanted` describes, all by default; `dry_run`: only count them."""
        body = {**_words(wanted), "reset": reset}
        path = "/v1/flush?dry_run=true" if dry_run else "/v1/flush"
        return _value(Flush, self._send("POST", path, body))

    def _get(self, path: str) -> Any:
        return self._send("GET", path, None)

    def _send(self, method: str, path: str, body: object) -> Any:
        with self._open(method, path, body) as answer:
            return self._parse(self._read(answer))

    def _open(self, method: str, path: str, body: object = None) -> HTTPResponse:
        """Return an answer that is no error, yet to be read.

        Reads are asked a second time when the connection breaks: control was replaced.
        """
        try:
            answer = self._ask(method, path, body)
        except _BrokenError:
            if method != "GET":
                raise
            answer = self._ask(method, path, body)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            with answer:
                raise self._refused(answer)
        return answer

    def _ask(self, method: str, path: str, body: object) -> HTTPResponse:
        connection = self._connection()
        text = None if body is None else json.dumps(body)
        headers = {"Connection": "close", "Content-Type": "application/json"}
        if self.path.startswith(TCP):
            headers["Authorization"] = f"Bearer {self._token}"
            if not self._token.isascii() or not self._token.isprintable():
                raise UsageError("a token has letters, digits and signs of ASCII alone")
        try:
            # One connection too many is refused unread: the answer is there all the same.
            with suppress(BrokenPipeError):
                connection.request(method, path, text, headers)
            return connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            raise self._failure(error) from None

    def _connection(self) -> HTTPConnection:
        if not self.path.startswith(TCP):
            return _UnixConnection(self.path, self._timeout)
        try:
            place = urlsplit(self.path)
            return HTTPConnection(place.hostname or "", place.port, timeout=self._timeout)
        except (ValueError, HTTPException):
            raise UsageError(f"{self.path!r} is no place to connect to, like {EXAMPLE}") from None

    def _read(self, answer: HTTPResponse, most: int | None = None) -> bytes:
        try:
            return answer.read(most)
        except (OSError, HTTPException) as error:
            raise self._failure(error) from None

    def _parse(self, octets: bytes) -> Any:
        try:
            return json.loads(octets)
        except ValueError:
            raise UnavailableError(f"what listens on {self.path} is not natlb") from None

    def _refused(self, answer: HTTPResponse) -> NatlbError:
        """Return the error that an answer tells, as the exception it was on the other side."""
        document = self._parse(self._read(answer))
        try:
            error = document["error"]
            kind = _kinds().get(error["code"], NatlbError)
            return kind(error["message"], fix=error["fix"])
        except (TypeError, KeyError):
            return UnavailableError(f"what listens on {self.path} is not natlb")

    def _failure(self, error: OSError | HTTPException) -> NatlbError:
        """Return what an error of the socket means to who uses natlb."""
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return self._not_running()
        if isinstance(error, PermissionError):
            return self._denied()
        if isinstance(error, TimeoutError):
            message = f"natlb did not answer within {self._timeout:g} s on {self.path}"
            return WaitTimeoutError(message, fix="natlb doctor")
        if isinstance(error, ConnectionError | HTTPException):
            message = f"the connection broke before natlb had answered, on {self.path}"
            return _BrokenError(message, fix="natlb status")
        return UnavailableError(f"cannot reach {self.path}: {error.strerror or error}")

    def _not_running(self) -> UnavailableError:
        others = [str(path) for path in sorted(RUN.glob("*/natlb.sock")) if str(path) != self.path]
        message = f"natlb is not running, nothing listens on {self.path}"
        if not others:
            return UnavailableError(message, fix="natlb run -c FILE")
        message += f"; other sockets: {', '.join(others)}"
        return UnavailableError(message, fix=f"natlb --socket {others[0]} status")

    def _denied(self) -> DeniedError:
        message = f"no permission to use {self.path}"
        try:
            number = Path(self.path).stat().st_gid
        except OSError:  # a folder on the way is closed to us: it hides the group too
            return DeniedError(message, fix="sudo natlb ...")
        return DeniedError(
            f"{message}, it belongs to group '{_group_name(number)}'", fix=_way_in(number)
        )


class _BrokenError(UnavailableError):
    """The connection ended before the answer did."""


class _UnixConnection(HTTPConnection):
    """An HTTP connection whose place is a path."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("natlb", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket(AF_UNIX, SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _backends_path(service: str | None) -> str:
    return "/v1/backends" if service is None else f"/v1/services/{quote(service, safe='')}/backends"


def _tried(path: str, *, dry_run: bool) -> str:
    return f"{path}?dry_run=true" if dry_run else path


def _flows_path(wanted: FlowFilter | None, limit: int | None) -> str:
    words = _given({**_words(wanted), "limit": limit})
    return f"/v1/flows?{urlencode(words)}" if words else "/v1/flows"


def _words(wanted: FlowFilter | None) -> dict[str, Any]:
    return _given(to_json(wanted or FlowFilter()))


def _given(words: dict[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in words.items() if value is not None}


@cache
def _kinds() -> dict[str, type[NatlbError]]:
    kinds: list[type[NatlbError]] = [*NatlbError.__subclasses__(), ChangedError]
    return {kind.code: kind for kind in kinds}


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _way_in(group: int) -> str:
    """Return how to be let in; nobody is told to join the group of root."""
    join = f", or join the group: sudo usermod -aG {_group_name(group)} $USER"
    return f"sudo natlb ...{join if group else ''}"


def _values(kind: type[T], document: object) -> list[T]:
    if not isinstance(document, list):
        raise _other_version(kind)
    return [_value(kind, item) for item in document]


def _value(kind: type[T], document: object) -> T:
    """Return a value of the model from its JSON; fields that a later natlb added are left out."""
    plain, nested = _shape(kind)  # type: ignore[arg-type] # every class is hashable
    needed = {*plain, *nested}.difference(WHERE_CONFIGURED)
    if not isinstance(document, dict) or not document.keys() >= needed:
        raise _other_version(kind)
    fields = {name: document[name] for name in plain if name in document}
    for name, (inner, is_by_name) in nested.items():
        if name in document:
            fields[name] = _part(inner, document[name], is_by_name=is_by_name)
    return kind(**fields)


def _part(kind: type[T], part: object, *, is_by_name: bool) -> object:
    """Return the values of the model that a member of a document holds; null is None."""
    if part is None:
        return None
    if isinstance(part, list):
        return _values(kind, part)
    if is_by_name and isinstance(part, dict):
        return {name: _value(kind, each) for name, each in part.items()}
    return _value(kind, part)


@cache
def _shape(kind: type) -> tuple[list[str], dict[str, tuple[type, bool]]]:
    """Return the fields of a kind of value: those JSON has as they are, those of a kind again.

    Of the latter also whether it has many of them, by name.
    """
    nested = {
        name: (each, dict in [get_origin(part) for part in hints])
        for name, hint in get_type_hints(kind).items()
        for hints in [_within(hint)]
        for each in hints
        if _is_kind(each)
    }
    return [name for name in get_type_hints(kind) if name not in nested], nested


def _within(hint: Any) -> list[Any]:
    """Return a type and all that it is put together of."""
    return [hint, *(each for argument in get_args(hint) for each in _within(argument))]


def _is_kind(hint: object) -> bool:
    return isinstance(hint, type) and is_dataclass(hint)


def _other_version(kind: type) -> UnavailableError:
    message = f"natlb's answer is no {kind.__name__.lower()}: another version is running"
    return UnavailableError(message, fix="natlb --version")
