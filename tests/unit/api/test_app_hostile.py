"""Names and values of whoever means harm: by API, client and command, each is refused or harmless.

A table of `HOSTILE` texts times the places where a text goes. What is refused has a proper status
or exit code and changes nothing; what is quoted in a log or an error is one line.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from natlb.api.gate import Allowances
from natlb.client import Client
from natlb.errors import NatlbError
from natlb.model import FlowFilter
from tests.unit.api.test_app_live import served
from tests.unit.control.instances import World, in_world

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 10**5
HOSTILE = (
    "; rm -rf /",
    "$(reboot)",
    "`reboot`",
    "b1\nadmin",
    "b1\r\nhost: evil",
    "../../etc/passwd",
    "..",
    ".",
    "-rf",
    "--help",
    "b1\0",
    "%00",
    "%2e%2e%2f",
    "b" * LONG,
    "\u202eb1",
    "\u200bb1",
    "\x1b[2J",
    '"b1"',
    "'b1'",
    '{"a": 1}',
    "\\",
    "\u2028",
    "b1|sh",
    "b1&",
    "b1>x",
    "*",
    "?",
    "~",
    "b1 ",
    " ",
    "é" * 65,
    "null",
    "\ud800",
    "\x7f",
    "\ufeff",
    "${IFS}",
    "a/b",
    "//",
    "<script>",
    "b1#x",
)
MEMBERS: dict[str, Callable[[str], tuple[str, object]]] = {
    "service": lambda text: (f"GET /v1/services/{escaped(text)}/backends", None),
    "backend": lambda text: (f"DELETE /v1/services/web/backends/{escaped(text)}", None),
    "pool": lambda text: (f"POST /v1/services/{escaped(text)}/backends", {"address": "10.77.0.14"}),
    "address": lambda text: ("POST /v1/services/web/backends", {"address": text}),
    "name": lambda text: (
        "POST /v1/services/web/backends",
        {"address": "10.77.0.11:8080", "name": text},
    ),
    "config": lambda text: ("POST /v1/reload", {"config": text}),
    "flushed": lambda text: ("POST /v1/flush", {"service": text}),
    "state": lambda text: ("PATCH /v1/services/web/backends/b1", {"state": text}),
    "client": lambda text: (f"GET /v1/flows?client={escaped(text)}", None),
    "parameter": lambda text: (f"GET /v1/status?{escaped(text)}=1", None),
    "member": lambda text: ("POST /v1/flush", {text: "web"}),
    "weight": lambda text: ("PATCH /v1/services/web/backends/b1", {"weight": text}),
}
REFUSED = {400, 404, 405, 422}


@pytest.fixture(autouse=True)
def without_haste(monkeypatch: Any) -> None:
    """Have none of them refused for coming too fast."""
    monkeypatch.setattr(Allowances, "take", lambda *_: 0.0)


def escaped(text: str) -> str:
    """Return a text as part of a path or a query."""
    return quote(text, safe="", errors="surrogatepass")


def test_there_are_hundreds() -> None:
    """Texts times places."""
    assert len(set(HOSTILE)) == len(HOSTILE)
    assert len(HOSTILE) * len(MEMBERS) >= 200


@in_world
async def test_a_running_instance_refuses_all_of_them(world: World) -> None:
    """By each path and each member of a body; nothing is changed, or noted as if it were."""
    async with served(world) as (instance, ask):
        before = await instance.status(), await instance.backends(None), instance.revision
        for place, request in MEMBERS.items():
            for text in HOSTILE:
                line, body = request(text)
                status, _, document = await ask(line, body)
                assert status in REFUSED, (place, text[:20], status)
                assert list(document["error"]) == ["code", "message", "fix"]
                json.dumps(document).encode("ascii")
        assert (await instance.status(), await instance.backends(None), instance.revision) == before
        kinds = {event.kind for event in instance.events.since(0).events}
    assert not kinds & {"backend_added", "backend_removed", "backend_changed", "flows_flushed"}


def test_a_log_line_cannot_be_forged(capfd: Any) -> None:
    """Whatever a name is, a fact is one line of printable characters."""
    from natlb.control import log
    from natlb.control.events import EventLog

    log.configure()
    for text in HOSTILE:
        EventLog().note("reload_refused", "error", reason=text, fix=text)
    lines = capfd.readouterr().err.split("\n")

    assert len(lines) == len(HOSTILE) + 1
    assert all(line.isprintable() and " error reload_refused " in line for line in lines[:-1])


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_the_client_says_an_error_of_natlbs_own(served: Any, text: str) -> None:
    """Never one of the library below, and nothing is changed."""
    client, pool = Client(served.path), list(served.instance.pool)
    for ask in (
        lambda: client.set_backend("web", text, weight=1),
        lambda: client.remove_backend(text, "be1"),
        lambda: client.check("web", text),
        lambda: client.backends(text),
        lambda: client.flush(FlowFilter(client=text)),
    ):
        with pytest.raises(NatlbError) as caught:
            ask()
        assert caught.value.exit_code != NatlbError.exit_code, caught.value
    assert served.instance.pool == pool


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_a_command_refuses_it_with_its_exit_code(command: Any, served: Any, text: str) -> None:
    """2, 64 or 65, and words that a terminal survives."""
    pool = list(served.instance.pool)
    for words in (
        ("maint", f"web/{text}"),
        ("remove", f"{text}/be1"),
        ("weight", "web/be1", text),
        ("flush", f"client={text}"),
        ("backends", text),
    ):
        said = command(*words)
        assert said.code in ({0} if words[-1] == "--help" else {2, 64, 65}), (words, said)
    assert served.instance.pool == pool
