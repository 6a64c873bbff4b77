"""What is looked at before a request means anything: who asks, by which name, how, and how often.

    421   a Host that is none of ours: a page that made its own name mean our address (rebinding)
    403   an Origin that is not ourselves: another site's page in somebody's browser
    401   by TCP, no token or a wrong one
    403   a role that may not do this
    415   a body that is not `application/json`
    400   a body that is not one JSON value, or says a name twice
    429   more changes, or lists of flows, than there is time for; with `Retry-After`

In this order, so that nobody learns more than they may. Each refusal changes nothing.
"""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

from natlb.control.doors import may
from natlb.errors import BusyError, DeniedError, NatlbError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Scope

    from natlb.control.doors import Door, Doors, RoleName

NAMES = frozenset({"natlb", "localhost"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
ADMINS_PATHS = frozenset({"/v1/reload", "/v1/config/save"})
CHANGES_A_SECOND = 50.0
CHANGES_AT_ONCE = 200
LISTS_AT_ONCE = 4
LISTS_SECONDS = 1
MOST_CALLERS = 1000


class RefusedError(Exception):
    """A request goes no further: with this status, told as this error."""

    def __init__(
        self, status: int, error: NatlbError, headers: dict[str, str] | None = None
    ) -> None:
        """Say why, with a status and headers of HTTP."""
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.headers = headers or {}


class Gate:
    """Judges requests; knows the doors, and how often each caller changed something lately."""

    def __init__(self, doors: Doors, clock: Callable[[], float] = time.monotonic) -> None:
        """Judge what comes in by these doors."""
        self._doors = doors
        self._names = NAMES | {_host_of(door) for door in doors.doors if door.role is None}
        self._changes = Allowances(CHANGES_A_SECOND, CHANGES_AT_ONCE, clock)

    def check(self, scope: Scope, body: bytes) -> None:
        """Raise RefusedError for a request that goes no further."""
        headers = _headers(scope)
        self._check_names(headers)
        role = self._role(scope, headers)
        needed = needed_role(scope["method"], scope["path"])
        if not may(role, needed):
            message = f"{scope['method']} {scope['path']} needs the role {needed}, you have {role}"
            raise RefusedError(403, DeniedError(message, fix=_other_door(needed)))
        if scope["method"] not in SAFE:
            _check_body(headers, body)
            self._count(scope, role)

    def _check_names(self, headers: dict[str, str]) -> None:
        """Refuse who was led here by a page: the host it names, or where it comes from."""
        host = headers.get("host", "")
        if _without_port(host) not in self._names:
            error = UsageError("the Host is none of natlb's names", fix="Host: natlb")
            raise RefusedError(421, error)
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in {f"http://{host}", f"https://{host}"}:
            raise RefusedError(403, DeniedError("the Origin is another site"))

    def _role(self, scope: Scope, headers: dict[str, str]) -> RoleName:
        """Return the role that the door gives, or the token."""
        door: Door = scope["state"]["door"]
        if door.role is not None:
            return door.role
        scheme, _, token = headers.get("authorization", "").partition(" ")
        role = self._doors.tokens.role_of(token.strip()) if scheme.lower() == "bearer" else None
        if role is None:
            why = ', error="invalid_token"' if token else ""
            error = DeniedError("by TCP a token is needed", fix="export NATLB_TOKEN=TOKEN")
            told = {"www-authenticate": f'Bearer realm="natlb"{why}'}
            raise RefusedError(401, error, told)
        return role

    def _count(self, scope: Scope, role: RoleName) -> None:
        seconds = self._changes.take(f"{role} {scope['state'].get('caller', '')}")
        if seconds:
            message = f"more than {CHANGES_A_SECOND:g} changes a second"
            told = {"retry-after": str(math.ceil(seconds))}
            raise RefusedError(429, BusyError(message), told)


class Allowances:
    """How many changes each caller may still make: `at_once`, and so many a second come back."""

    def __init__(self, a_second: float, at_once: int, clock: Callable[[], float]) -> None:
        """Owe nobody anything."""
        self._a_second = a_second
        self._at_once = at_once
        self._clock = clock
        self._spent: dict[str, tuple[float, float]] = {}  # caller -> spent, when

    def take(self, caller: str) -> float:
        """Count a change and return 0; or count none, and return the seconds to wait."""
        now = self._clock()
        spent, when = self._spent.get(caller, (0.0, now))
        spent = max(0.0, spent - (now - when) * self._a_second)
        if spent + 1 > self._at_once:
            return (spent + 1 - self._at_once) / self._a_second
        if caller not in self._spent and len(self._spent) >= MOST_CALLERS:
            del self._spent[next(iter(self._spent))]
        self._spent[caller] = spent + 1, now
        return 0.0


class Listing:
    """How many long lists are being written; each is held in memory until its reader has it."""

    def __init__(self) -> None:
        """Write none."""
        self._writing = 0

    def __enter__(self) -> None:
        """Begin one. Raises RefusedError."""
        if self._writing >= LISTS_AT_ONCE:
            error = BusyError(f"{LISTS_AT_ONCE} lists of flows are being written already")
            raise RefusedError(429, error, {"retry-after": str(LISTS_SECONDS)})
        self._writing += 1

    def __exit__(self, *_: object) -> None:
        """End one."""
        self._writing -= 1


def needed_role(method: str, path: str) -> RoleName:
    """Return the least role that may ask this."""
    if method in SAFE:
        return "read"
    return "admin" if path in ADMINS_PATHS else "operate"


def _other_door(needed: RoleName) -> str:
    end = "" if needed == "admin" else f"-{needed}"
    return f"use the socket natlb{end}.sock, or a token of this role"


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers; one that is given more than once as what it says together."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _host_of(door: Door) -> str:
    host = str(door.listening.getsockname()[0])
    return f"[{host}]" if ":" in host else host


def _without_port(host: str) -> str:
    """Return the name in a Host header, in small letters."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


def _check_body(headers: dict[str, str], body: bytes) -> None:
    """Refuse a body that could mean something else to another reader."""
    if not body:
        return
    kind, _, parameter = headers.get("content-type", "").lower().partition(";")
    if kind.strip() != "application/json" or parameter.strip() not in {"", "charset=utf-8"}:
        error = UsageError("the body must be JSON", fix="Content-Type: application/json")
        raise RefusedError(415, error)
    try:
        json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, _NotJsonError) else "not one JSON value in UTF-8"
        raise RefusedError(400, UsageError(f"body: {why}")) from None


class _NotJsonError(ValueError):
    """What Python's reader would take, and JSON has not."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotJsonError("a name stands twice in one object")
    return found


def _no_number(word: str) -> float:
    raise _NotJsonError(f"{word} is no number")
