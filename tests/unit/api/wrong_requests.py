"""Requests that are wrong, each with the status that it gets; none of them changes anything.

    Wrong(status, line, headers, body)     by the door for admin unless another is named

A body is sent as JSON unless a header says otherwise. The one for 409 finds natlb busy.
"""

from __future__ import annotations

from typing import NamedTuple

BE1 = "/v1/services/web/backends/be1"
FILE = '{"config": "/etc/natlb/natlb.yaml"}'
STALE = ('if-match: "r6"',)
TEXT = ("content-type: text/plain",)


class Wrong(NamedTuple):
    """A request, and what becomes of it."""

    status: int
    line: str
    body: bytes | str | None = None
    headers: tuple[str, ...] = ()
    door: str = "admin"
    token: str | None = None


WRONG = [
    # 400: not understood
    Wrong(400, "POST /v1/flush", b"\xff\xfe{}"),
    Wrong(400, "POST /v1/flush", "{"),
    Wrong(400, "POST /v1/flush", "[]"),
    Wrong(400, "POST /v1/flush", "{} {}"),
    Wrong(400, "POST /v1/flush", "[" * 200_000),
    Wrong(400, "POST /v1/flush", '{"a":' * 100_000),
    Wrong(400, "POST /v1/flush", '{"service": "web", "service": "dns"}'),
    Wrong(400, "POST /v1/flush", '{"reset": NaN}'),
    Wrong(400, "POST /v1/flush", '{"colour": "red"}'),
    Wrong(400, "POST /v1/flush"),
    Wrong(400, f"PATCH {BE1}", "{}"),
    Wrong(400, f"PATCH {BE1}", '{"weight": 65536}'),
    Wrong(400, f"PATCH {BE1}", '{"weight": -1}'),
    Wrong(400, f"PATCH {BE1}", '{"weight": "1"}'),
    Wrong(400, f"PATCH {BE1}", '{"weight": Infinity}'),
    Wrong(400, f"PATCH {BE1}", '{"weight": 1e999}'),
    Wrong(400, f"PATCH {BE1}", '{"state": "gone"}'),
    Wrong(400, f"PATCH {BE1}?dry_run=perhaps", '{"weight": 1}'),
    Wrong(400, f"PATCH {BE1}?dry_run=true&dry_run=false", '{"weight": 1}'),
    Wrong(400, f"PATCH {BE1}?dryrun=true", '{"weight": 1}'),
    Wrong(400, "POST /v1/services/web/backends", "{}"),
    Wrong(400, "POST /v1/services/web/backends", '{"address": 5}'),
    Wrong(400, "GET /v1/flows?state=open"),
    Wrong(400, "GET /v1/flows?limit=0"),
    Wrong(400, "GET /v1/events?since=-1"),
    Wrong(400, "GET /v1/events", None, ("last-event-id: x",)),
    # 401: by TCP, nobody in particular
    Wrong(401, "GET /v1/status", door="tcp"),
    Wrong(401, "GET /v1/status", door="tcp", token="k" * 40),
    Wrong(401, "GET /v1/status", None, ("authorization: Basic cm9vdDpyb290",), door="tcp"),
    Wrong(401, "POST /v1/flush", "{}", ("authorization: Bearer",), door="tcp"),
    # 403: somebody, who may not
    Wrong(403, "POST /v1/flush", "{}", door="read"),
    Wrong(403, f"PATCH {BE1}", '{"weight": 1}', door="read"),
    Wrong(403, f"DELETE {BE1}?dry_run=true", door="read"),
    Wrong(403, "POST /v1/reload", FILE, door="operate"),
    Wrong(403, "POST /v1/config/save", door="operate"),
    Wrong(403, "POST /v1/flush", "{}", door="tcp", token="read"),
    Wrong(403, "POST /v1/reload", FILE, door="tcp", token="operate"),
    Wrong(403, "POST /v1/flush", "{}", ("origin: http://evil.example",)),
    Wrong(403, "GET /v1/status", None, ("origin: null",)),
    Wrong(403, "GET /v1/status", None, ("origin: http://localhost:3000",)),
    # 404: not there
    Wrong(404, "GET /"),
    Wrong(404, "GET /docs"),
    Wrong(404, "GET /v1/status/"),
    Wrong(404, "GET /v2/status"),
    Wrong(404, "GET /v1/services/dns/backends"),
    Wrong(404, "GET /v1/services/..%2f..%2fetc%2fpasswd"),
    Wrong(404, "PATCH /v1/services/web/backends/be9", '{"weight": 1}'),
    Wrong(404, "DELETE /v1/services/web/backends/be9"),
    # 405: not so
    Wrong(405, "GET /v1/reload"),
    Wrong(405, "POST /v1/status", "{}"),
    Wrong(405, f"PUT {BE1}", "{}"),
    Wrong(405, "DELETE /v1/flows"),
    # 409, 412: not now
    Wrong(409, "POST /v1/flush", "{}"),
    Wrong(412, f"PATCH {BE1}", '{"weight": 5}', STALE),
    Wrong(412, f"DELETE {BE1}", None, STALE),
    Wrong(412, "POST /v1/reload", FILE, STALE),
    # 413, 415: not this
    Wrong(413, "POST /v1/flush", " " * (1 << 20) + "{}"),
    Wrong(415, "POST /v1/flush", "{}", TEXT),
    Wrong(415, "POST /v1/reload", FILE, ("content-type: application/x-www-form-urlencoded",)),
    Wrong(415, f"PATCH {BE1}", '{"weight": 1}', ("content-type: application/json; charset=utf-7",)),
    # 421: not here
    Wrong(421, "GET /v1/status", None, ("host: evil.example",)),
    Wrong(421, "POST /v1/flush", "{}", ("host: natlb.evil.example:80",)),
    Wrong(421, "POST /v1/flush", "{}", ("host: [::1",)),
    # 422: no configuration
    Wrong(422, "POST /v1/reload", '{"config": "natlb.yaml"}'),
    Wrong(422, "POST /v1/reload", '{"config": "/etc/\\u0000"}'),
]
