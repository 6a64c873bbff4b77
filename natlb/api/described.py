"""What `/openapi.json` says of answers: every status of a path, and what comes with it."""

from __future__ import annotations

from typing import Any

Responses = dict[int | str, dict[str, Any]]

MEANINGS = {
    400: "Not understood: a parameter, a body, a value; nothing was changed.",
    401: "By TCP: no token, or a wrong one.",
    403: "The role is too small, or the Origin is another site.",
    404: "There is no such service or backend.",
    408: "The request, or the taking of its answer, took too long.",
    409: "Somebody is at it, or it is there already; nothing was changed.",
    412: "If-Match: somebody changed something meanwhile; nothing was changed.",
    413: "The body is over 1 MiB.",
    415: "The body is not `application/json`.",
    421: "The Host is none of natlb's names.",
    422: "A configuration, or the host, does not allow it; nothing was changed.",
    429: "More than there is time for; nothing was changed.",
    500: "A bug in natlb, which goes on.",
    503: "Too many connections, or a part of natlb is not there at the moment.",
    504: "What was waited for did not come in time.",
}
ETAG = {"description": 'The revision, `"r12"`.', "schema": {"type": "string"}}
ERROR = {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}
RETRY = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
CHALLENGE = {"description": "Which token is wanted.", "schema": {"type": "string"}}
HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": CHALLENGE},
    429: {"Retry-After": RETRY},
}


def refusals(*statuses: int) -> Responses:
    """Return what is said of these refusals."""
    return {
        status: {"description": MEANINGS[status], "content": {"application/json": ERROR}}
        | ({"headers": HEADERS[status]} if status in HEADERS else {})
        for status in statuses
    }


READ = refusals(400, 401, 403, 408, 413, 421, 500, 503)
TAGGED: Responses = READ | {
    200: {"description": "What there is.", "headers": {"ETag": ETAG}},
    304: {
        "description": "If-None-Match: nobody has changed anything; counters may have.",
        "headers": {"ETag": ETAG},
    },
}
NAMED = refusals(404)
LISTED = refusals(429)
STREAM: Responses = {
    200: {
        "description": "Events as they happen, or as a list.",
        "content": {
            "text/event-stream": {"schema": {"type": "string"}},
            "application/json": {
                "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}}
            },
        },
    }
}
TRIED: Responses = {
    200: {
        "description": "What there would be, with `dry_run=true`.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Backend"}}},
    }
}
CHANGE = READ | refusals(409, 412, 415, 422, 429, 504)
FOREIGN = ("HTTPValidationError", "ValidationError")
CONDITIONS = {
    "get": ("If-None-Match", "The revision that is known already."),
    "change": ("If-Match", 'The revision to start from, `"r12"`, or `*` for any.'),
}


def complete(document: dict[str, Any], models: dict[str, Any]) -> dict[str, Any]:
    """Return the description with what the framework does not say by itself.

    How one is let in, conditional headers, HEAD, and the models that only a stream has.
    """
    parts = document.setdefault("components", {})
    parts["schemas"] = parts.get("schemas", {}) | models
    for name in FOREIGN:
        parts["schemas"].pop(name, None)
    parts["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "By TCP. By a Unix socket its file says who may what: natlb.sock is for"
            " admin, natlb-operate.sock for operate, natlb-read.sock for read.",
        }
    }
    document["security"] = [{}, {"token": []}]
    document["servers"] = [{"url": "http://localhost"}]
    for path in document["paths"].values():
        for method, operation in path.items():
            _drop_foreign(operation["responses"])
            _add_condition(method, operation)
    return document


def _drop_foreign(responses: dict[str, Any]) -> None:
    """Leave out the framework's own form of an error, which natlb never answers with."""
    if FOREIGN[0] in str(responses.get("422")):
        del responses["422"]


def _add_condition(method: str, operation: dict[str, Any]) -> None:
    """Describe the header that makes a request conditional, where one does."""
    if method == "get" and "304" not in operation["responses"]:
        return
    name, words = CONDITIONS["get" if method == "get" else "change"]
    parameter = {
        "name": name,
        "in": "header",
        "required": False,
        "description": words,
        "schema": {"type": "string"},
    }
    operation.setdefault("parameters", []).append(parameter)
