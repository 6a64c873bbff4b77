"""A check as a whole: it ends, it raises nothing, and it tells natlb's faults from a backend's."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from ipaddress import ip_address

import pytest

from natlb.control.config import parse_config
from natlb.control.config.values import CheckConfig
from natlb.control.health import probe as probe_module
from natlb.control.health.codes import Code
from natlb.control.health.probe import Result, Target, probe, report
from natlb.control.health.sockets import open_here
from natlb.errors import UnavailableError
from natlb.model import to_json
from tests.unit.control.health.servers import (
    CLOSED,
    LONG,
    SHORT,
    ask,
    listening,
    never_late,
    silent,
    target,
)


def refused_by(error: Exception) -> Result:
    """Return what a check comes to whose socket cannot be opened."""

    async def fail(_family: int, _kind: int) -> socket.socket:
        raise error

    return asyncio.run(probe(CheckConfig(timeout=LONG), target(CLOSED), fail))


@pytest.mark.parametrize(
    "number",
    [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EPERM],
)
def test_what_natlb_lacks_says_nothing_of_the_backend(number: int) -> None:
    """Else the first lack of fds would take down every backend."""
    result = refused_by(OSError(number, os.strerror(number)))

    assert result.is_ours
    assert result.code is Code.SOCKERR
    assert os.strerror(number).lower() in result.reason


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UnavailableError("the supervisor is gone"), "the supervisor is gone"),
        (ZeroDivisionError("oh"), "internal error: ZeroDivisionError: oh"),
    ],
)
def test_a_bug_and_a_supervisor_that_is_gone_take_no_backend_down(error, words) -> None:
    """They are told, and count for nobody."""
    result = refused_by(error)

    assert (result.status, result.code, result.reason) == (None, Code.SOCKERR, words)


def test_a_source_that_is_not_the_hosts_is_natlbs_fault() -> None:
    """A configuration of another host, most often."""
    place = target(CLOSED, source=ip_address("192.0.2.1"))
    result = asyncio.run(probe(CheckConfig(timeout=LONG), place))

    assert (result.status, result.code) == (None, Code.SOCKERR)


def test_no_route_is_something_learned() -> None:
    """What natlb would forward goes nowhere either."""
    for number in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNRESET):

        class Unreachable(socket.socket):
            def connect(self, _: object, number: int = number) -> None:
                raise OSError(number, os.strerror(number))

        async def opened(family: int, kind: int) -> socket.socket:
            return Unreachable(family, kind)

        result = asyncio.run(probe(CheckConfig(timeout=LONG), target(CLOSED), opened))

        assert (result.status, result.code) == ("down", Code.L4CON)


def test_a_kernel_that_gives_up_is_a_timeout() -> None:
    """ETIMEDOUT comes before natlb's own patience ends."""

    class Patient(socket.socket):
        def connect(self, _: object) -> None:
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    async def opened(family: int, kind: int) -> socket.socket:
        return Patient(family, kind)

    result = asyncio.run(probe(CheckConfig(timeout=LONG), target(CLOSED), opened))

    assert (result.status, result.code) == ("down", Code.L4TOUT)


def test_no_connection_in_time_is_l4tout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener whose queue is full drops the next SYN, as a host that is gone does."""
    never_late(monkeypatch)

    async def run() -> Result:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
            port = server.getsockname()[1]
            waiting = []
            for _ in range(3):  # the queue takes one more than it says; the rest are not answered
                waiting.append(socket.socket())
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex(("127.0.0.1", port))
                await asyncio.sleep(0)
            try:
                return await ask(port, timeout=SHORT)
            finally:
                for each in waiting:
                    each.close()

    result = asyncio.run(run())

    assert (result.status, result.code) == ("down", Code.L4TOUT)
    assert result.reason == f"no connection within {SHORT:g} s"


def test_a_timeout_that_natlb_slept_through_is_not_the_backends(monkeypatch) -> None:
    """Stopped and let go on, natlb would find every check overdue, and every backend down."""
    monkeypatch.setattr(probe_module, "LATE_SECONDS", 0.0)

    async def run() -> Result:
        async with listening(silent) as port:
            return await ask(port, type="http", timeout=SHORT)

    result = asyncio.run(run())

    assert (result.status, result.code) == (None, Code.SOCKERR)
    assert "held up" in result.reason


def test_a_check_that_is_cancelled_closes_what_it_opened() -> None:
    """A reload stops checks in the middle."""

    async def run() -> None:
        opened: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()

        async def open_noted(family: int, kind: int) -> socket.socket:
            opened.set_result(await open_here(family, kind))
            return opened.result()

        async with listening(silent) as port:
            config = CheckConfig(type="http", timeout=LONG)
            task = asyncio.create_task(probe(config, target(port), open_noted))
            made = await opened
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert made.fileno() == -1

    asyncio.run(run())


def test_a_type_whose_module_cannot_be_loaded_takes_nobody_down(monkeypatch) -> None:
    """A disk that is full of errors, or a package taken away while natlb runs."""

    def fail(_: str) -> None:
        raise ImportError("no h2")

    monkeypatch.setattr(probe_module, "import_module", fail)
    result = asyncio.run(ask(CLOSED, type="grpc"))

    assert (result.status, result.reason) == (None, "natlb cannot check by grpc: no h2")


@pytest.mark.parametrize(
    ("listen", "backend", "check", "expected"),
    [
        ("tcp://203.0.113.10:80", "10.77.0.11:8080", "{}", "10.77.0.11:8080"),
        ("tcp://203.0.113.10:80", "10.77.0.11", "{}", "10.77.0.11:80"),
        ("tcp://203.0.113.10:8000-8009", "10.77.0.11", "{}", "10.77.0.11:8000"),
        ("tcp://203.0.113.10:80", "10.77.0.11", "{port: 9}", "10.77.0.11:9"),
        ("tcp://203.0.113.10:80", "10.77.0.11", "{address: 10.0.0.1}", "10.0.0.1:80"),
        ("tcp://[2001:db8::1]:80", '"[fd00::1]:81"', "{}", "[fd00::1]:81"),
    ],
)
def test_a_backend_is_asked_where_it_serves_unless_told_otherwise(
    listen: str, backend: str, check: str, expected: str
) -> None:
    """Addresses and ports are the configuration's, and no other."""
    text = f"services: {{web: {{listen: '{listen}', backends: [{backend}], check: {check}}}}}\n"
    service = parse_config(text, "natlb.yaml").services["web"]
    made = Target.of(service, service.backends[0], service.backends[0].check or CheckConfig())

    assert str(made) == expected
    assert (made.service, made.backend) == ("web", backend.strip('"'))


def test_a_report_is_the_result_with_its_steps() -> None:
    """As the API answers and `natlb check` prints it."""
    config = CheckConfig(timeout=LONG)
    result = asyncio.run(probe(config, target(CLOSED)))
    document = to_json(report("web", "b1", config, target(CLOSED), result))

    assert [each["name"] for each in document["phases"]] == ["open", "connect"]
    assert document["at"].endswith("Z")
    assert {name: document[name] for name in ("service", "name", "type", "target", "status")} == {
        "service": "web",
        "name": "b1",
        "type": "tcp",
        "target": "127.0.0.1:1",
        "status": "down",
    }
    assert (document["code"], document["reason"]) == ("L4CON", "connection refused")


def test_a_report_of_nothing_learned_is_unknown_and_names_the_program() -> None:
    """A status that is neither up nor down."""
    config = CheckConfig(type="exec", command=("/no/such", "x"), timeout=LONG)
    result = asyncio.run(probe(config, target(CLOSED)))
    made = report("web", "b1", config, target(CLOSED), result)

    assert (made.status, made.target) == ("unknown", "/no/such x")
