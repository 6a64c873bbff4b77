"""Requests and answers of HTTP, over a Unix socket or TCP, and what their failures mean.

No connection is held: each request opens its own, as the socket outlives the process that answers
on it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from natlb.client.places import denied, not_running
from natlb.errors import (
    ChangedError,
    NatlbError,
    TakenError,
    UnavailableError,
    UsageError,
    WaitTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

TCP = "tcp://"
EXAMPLE = "tcp://127.0.0.1:9000"
SAFE = ("GET", "HEAD")


class BrokenError(UnavailableError):
    """The connection ended before the answer did."""


class UnixConnection(HTTPConnection):
    """An HTTP connection whose place is a path."""

    def __init__(self, path: str, timeout: float) -> None:
        """Name the place; nothing is opened yet."""
        super().__init__("natlb", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the connection."""
        self.sock = socket(AF_UNIX, SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Transport:
    """The way to one instance."""

    def __init__(self, path: str, token: str, timeout: float) -> None:
        """Name the place; nothing is opened yet."""
        self.path = path
        self._token = token
        self._timeout = timeout

    def open(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> HTTPResponse:
        """Return an answer that is no error, yet to be read.

        Reads are asked a second time when the connection breaks: control was replaced.
        """
        try:
            answer = self._ask(method, path, body, headers or {})
        except BrokenError:
            if method not in SAFE:
                raise
            answer = self._ask(method, path, body, headers or {})
        if answer.status >= HTTPStatus.BAD_REQUEST:
            with answer:
                raise self._refused(answer)
        return answer

    def _ask(self, method: str, path: str, body: object, more: Mapping[str, str]) -> HTTPResponse:
        connection = self._connection()
        text = None if body is None else json.dumps(body)
        headers = {"Connection": "close", "Content-Type": "application/json", **more}
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
            raise self.failure(error) from None

    def _connection(self) -> HTTPConnection:
        if not self.path.startswith(TCP):
            return UnixConnection(self.path, self._timeout)
        try:
            place = urlsplit(self.path)
            return HTTPConnection(place.hostname or "", place.port, timeout=self._timeout)
        except (ValueError, HTTPException):
            raise UsageError(f"{self.path!r} is no place to connect to, like {EXAMPLE}") from None

    def read(self, answer: HTTPResponse, most: int | None = None) -> bytes:
        """Return what there is of an answer, up to `most` octets of it."""
        try:
            return answer.read(most)
        except (OSError, HTTPException) as error:
            raise self.failure(error) from None

    def read_line(self, answer: HTTPResponse) -> bytes:
        """Return the next line of an answer; nothing at its end."""
        try:
            return answer.readline()
        except (OSError, HTTPException) as error:
            raise self.failure(error) from None

    def parse(self, octets: bytes) -> Any:
        """Return what JSON says."""
        try:
            return json.loads(octets)
        except ValueError:
            raise self._not_natlb() from None

    def _refused(self, answer: HTTPResponse) -> NatlbError:
        """Return the error that an answer tells, as the exception it was on the other side."""
        document = self.parse(self.read(answer))
        try:
            error = document["error"]
            kind = _kinds().get(error["code"], NatlbError)
            return kind(error["message"], fix=error["fix"])
        except (TypeError, KeyError):
            return self._not_natlb()

    def _not_natlb(self) -> UnavailableError:
        return UnavailableError(f"what listens on {self.path} is not natlb")

    def failure(self, error: Exception) -> NatlbError:
        """Return what an error of the socket means to who uses natlb."""
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return not_running(self.path)
        if isinstance(error, PermissionError):
            return denied(self.path)
        if isinstance(error, TimeoutError):
            message = f"natlb did not answer within {self._timeout:g} s on {self.path}"
            return WaitTimeoutError(message, fix="natlb doctor")
        if isinstance(error, ConnectionError | HTTPException):
            message = f"the connection broke before natlb had answered, on {self.path}"
            return BrokenError(message, fix="natlb status")
        why = getattr(error, "strerror", None) or error
        return UnavailableError(f"cannot reach {self.path}: {why}")


@cache
def _kinds() -> dict[str, type[NatlbError]]:
    kinds: list[type[NatlbError]] = [*NatlbError.__subclasses__(), ChangedError, TakenError]
    return {kind.code: kind for kind in kinds}
