"""The paths of the API, over a real socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from natlb.client import Client
from natlb.client.transport import UnixConnection
from natlb.control.config import InvalidConfigError
from natlb.control.config.problems import placeless
from natlb.control.config.tree import Fault
from natlb.errors import (
    BusyError,
    ConfigError,
    DeniedError,
    HostError,
    UnavailableError,
    UnknownNameError,
    UsageError,
    WaitTimeoutError,
)
from natlb.model import FlowFilter, to_json

FLOW = (
    "service backend protocol client vip server source state worker age_seconds idle_seconds "
    "expires_seconds packets{original reply} bytes{original reply}"
)
BACKEND = (
    "service name address weight effective_weight backup state health "
    "flows{current opening total} packets{original reply} bytes{original reply} check"
)
SERVICE = "name listen[] policy nat backends{total up} flows{current total} new_flows_per_second"
SHAPES = {
    "/v1/flows": [FLOW],
    "/v1/backends": [BACKEND],
    "/v1/services": [SERVICE],
    "/v1/stats": "generation uptime_seconds workers[index pid restarts] "
    "packets{received forwarded passed replied dropped held sent} bytes{received forwarded} "
    "flows{current peak opened closed expired evicted} drops{malformed} replies{no-service}",
    "/v1/status": "ready version engine driver generation config pid{supervisor control workers[]} "
    "services[name up total] changes[backend field file now]",
}


def shape(value: Any) -> Any:
    """Return the names in a document, in their order, nested as they are."""
    if isinstance(value, list):
        return [shape(value[0])]
    if isinstance(value, dict):
        return " ".join(name + _inside(member) for name, member in value.items())
    return ""


def _inside(member: Any) -> str:
    if isinstance(member, list):
        return f"[{shape(member)[0]}]"
    return "{" + shape(member) + "}" if isinstance(member, dict) else ""


def ask(served: Any, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Return status and document of a request."""
    connection = UnixConnection(served.path, 10)
    text = body if isinstance(body, str | bytes | None) else json.dumps(body)
    connection.request(method, path, text, {"Connection": "close"} | _json(body))
    with connection.getresponse() as answer:
        return answer.status, json.loads(answer.read())


def _json(body: Any) -> dict[str, str]:
    return {} if body is None else {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", SHAPES)
def test_documents_have_the_names_and_the_order_of_the_contract(served, path) -> None:
    """Programs read these: a renamed or moved field is a broken promise."""
    status, document = ask(served, "GET", path)

    assert status == 200
    assert shape(document) == SHAPES[path]


@pytest.mark.parametrize("path", SHAPES)
def test_a_get_asks_the_instance_for_nothing_but_to_read(served, path) -> None:
    """Whoever may only look must be harmless."""
    ask(served, "GET", path)

    assert {call[0] for call in served.instance.calls} == {path.removeprefix("/v1/")}


def test_filters_and_limit_reach_the_instance(served) -> None:
    """The API decides nothing: what was asked is passed on, in its usual spelling."""
    ask(served, "GET", "/v1/flows?backend=web/be2&client=198.51.100.7/24&limit=5")

    wanted = FlowFilter(service="web", backend="be2", client="198.51.100.0/24")
    assert served.instance.calls == [("flows", wanted, 5)]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/flows?color=red", ("'color'", "service, backend, client, state, protocol, limit")),
        ("/v1/flows?state=closing&state=opening", ("'state'", "2 times")),
        ("/v1/flows?state=open", ("'open'", "opening, established, closing")),
        ("/v1/flows?client=nobody", ("'nobody'",)),
        ("/v1/flows?limit=0", ("query.limit",)),
        ("/v1/flows?limit=many", ("query.limit",)),
        ("/v1/status?json", ("'json'", "none here")),
        ("/v1/status?a=%00%ff", ("none here",)),
    ],
)
def test_a_parameter_not_understood_is_named(served, path, words) -> None:
    """A misspelt filter that was ignored would match every flow, and flush them all."""
    status, document = ask(served, "GET", path)

    assert status == 400
    assert document["error"]["code"] == "usage"
    assert all(word in document["error"]["message"] for word in words)
    assert not served.instance.calls


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", None, 404),
        ("GET", "/docs", None, 404),
        ("GET", "/redoc", None, 404),
        ("GET", "/v1/status/", None, 404),
        ("GET", "/v1/reload", None, 405),
        ("POST", "/v1/status", {}, 405),
        ("DELETE", "/v1/flows", None, 405),
        ("OPTIONS", "*", None, 404),
        ("POST", "/v1/flush", None, 400),
        ("POST", "/v1/flush", "{", 400),
        ("POST", "/v1/flush", b"\xff\xfe", 400),
        ("POST", "/v1/flush", "[" * 200_000, 400),
        ("POST", "/v1/flush", '{"service": "\\ud800"}', 400),
        ("POST", "/v1/flush", {"colour": "red"}, 400),
        ("POST", "/v1/flush", {"reset": "yes"}, 400),
        ("POST", "/v1/flush", {"state": "open"}, 400),
        ("POST", "/v1/reload", {"config": "relative.yaml"}, 422),
        ("POST", "/v1/reload", {"config": "/etc/\0"}, 422),
        ("PATCH", "/v1/services/web/backends/be1", {}, 400),
        ("PATCH", "/v1/services/web/backends/be1", {"state": "gone"}, 400),
        ("PATCH", "/v1/services/web/backends/be1", {"weight": 65536}, 400),
        ("PATCH", "/v1/services/web/backends/be1", {"weight": True}, 400),
        ("PATCH", "/v1/services/web/backends/be1", '{"weight": 1e999}', 400),
        ("PATCH", "/v1/services/web/backends/be1", '{"weight": ' + "9" * 9999 + "}", 400),
        ("PATCH", "/v1/services/web/backends/be9", {"weight": 1}, 404),
    ],
)
def test_what_is_wrong_is_answered_in_the_one_form_and_changes_nothing(
    served, method, path, body, status
) -> None:
    """A program can rely on one form of error, whichever layer refused."""
    before = list(served.instance.pool)
    answered, document = ask(served, method, path, body)

    assert answered == status
    assert set(document) == {"error"}
    assert list(document["error"]) == ["code", "message", "fix"]
    assert served.instance.pool == before


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("a"), 400),
        (DeniedError("b"), 403),
        (UnknownNameError("c", fix="d"), 404),
        (BusyError("e"), 409),
        (ConfigError("\ud800"), 422),
        (InvalidConfigError([placeless(Fault("i"))]), 422),
        (HostError("f"), 422),
        (UnavailableError("g"), 503),
        (WaitTimeoutError("h"), 504),
    ],
)
def test_what_the_instance_refuses_keeps_its_code_and_words(served, error, status) -> None:
    """The command line makes its exit code of them."""
    served.instance.failure = error
    answered, document = ask(served, "POST", "/v1/reload", {})

    assert answered == status
    told = {"code": error.code, "message": error.message, "fix": error.fix}
    assert document == {"error": told}


def test_a_bug_costs_one_request_an_answer_and_no_more(served) -> None:
    """Control goes on; the traceback is for the log, not for the client."""
    served.instance.failure = ZeroDivisionError("secret")
    status, document = ask(served, "GET", "/v1/status")
    served.instance.failure = None

    assert status == 500
    assert document["error"]["code"] == "internal"
    assert "secret" not in document["error"]["message"]
    assert ask(served, "GET", "/v1/status")[0] == 200


def test_a_reload_needs_no_body(served) -> None:
    """`curl -X POST` is enough to read the file again."""
    assert ask(served, "POST", "/v1/reload")[0] == 200
    assert served.instance.calls == [("reload", None)]


def test_a_backend_name_may_hold_what_addresses_hold(served) -> None:
    """Names default to addresses as written, brackets and colons included."""
    ask(served, "PATCH", "/v1/services/web/backends/%5Bfd00::1%5D:80", {"state": "draining"})

    assert served.instance.calls == [("set_backend", "web", "[fd00::1]:80", "draining", None)]


def test_the_description_of_the_api_is_served_and_names_what_it_takes(served) -> None:
    """A client can be generated from it."""
    _, document = ask(served, "GET", "/openapi.json")
    parameters = {field["name"] for field in document["paths"]["/v1/flows"]["get"]["parameters"]}

    assert parameters == {"service", "backend", "client", "state", "protocol", "limit"}
    assert {"Statistics", "ErrorAnswer"} <= set(document["components"]["schemas"])
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_other_requests_are_answered_while_one_waits(served) -> None:
    """A reload takes its time; `natlb status` must not."""
    import threading

    served.instance.gate = threading.Event()
    waiting = threading.Thread(target=Client(served.path).reload)
    waiting.start()
    while not served.instance.calls:
        pass
    served.instance.gate, gate = None, served.instance.gate
    value = Client(served.path).status()
    gate.set()
    waiting.join(10)

    assert to_json(value)["ready"]


@pytest.mark.parametrize(
    ("method", "path", "body", "call"),
    [
        ("POST", "/v1/reload", {}, ("reload", None)),
        ("POST", "/v1/flush", {}, ("flush", FlowFilter(), False)),
        ("POST", "/v1/config/save", None, ("save_config",)),
        (
            "PATCH",
            "/v1/services/web/backends/be1",
            {"weight": 2},
            ("set_backend", "web", "be1", None, 2),
        ),
        (
            "POST",
            "/v1/services/web/backends",
            {"address": "10.77.0.14", "weight": 2},
            ("add_backend", "web", "10.77.0.14", None, 2),
        ),
        (
            "DELETE",
            "/v1/services/web/backends/be1",
            None,
            ("remove_backend", "web", "be1"),
        ),
    ],
)
def test_every_change_can_be_tried(served, method, path, body, call) -> None:
    """It says what it would, and the instance is told not to do it."""
    tried, document = ask(served, method, f"{path}?dry_run=true", body)
    before = list(served.instance.pool)
    done, _ = ask(served, method, path, body)

    assert (tried, done) == (200, 201 if path.endswith("backends") else 200)
    assert "error" not in document
    assert served.instance.calls == [(*call, "dry run"), call]
    assert (served.instance.pool == before) == (
        path in {"/v1/reload", "/v1/flush", "/v1/config/save"}
    )
