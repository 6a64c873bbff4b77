"""`natlb check`: each step, then the verdict."""

from __future__ import annotations

import json

import pytest

from natlb.cli.check import check_text
from natlb.model import CheckPhase, CheckReport


def report(status: str = "up", code: str = "L7OK", reason: str = "HTTP/1.1 200 OK") -> CheckReport:
    """Return a report of a check by http."""
    return CheckReport(
        service="web",
        name="be2",
        type="http",
        target="10.77.0.12:8080",
        status=status,  # type: ignore[arg-type]
        code=code,
        reason=reason,
        latency_ms=1.25,
        at="2026-01-02T03:04:05.678Z",
        phases=[
            CheckPhase(name="connect", milliseconds=0.25, seen="10.77.0.1:40000 to …"),
            CheckPhase(name="answer", milliseconds=1.0, seen=""),
        ],
    )


def test_each_step_is_shown_and_then_the_verdict() -> None:
    """With its time, and what was seen."""
    assert check_text(report()).splitlines() == [
        "web/be2: http 10.77.0.12:8080",
        "  connect        0.250 ms  10.77.0.1:40000 to …",
        "  answer         1.000 ms",
        "up L7OK, 1.25 ms: HTTP/1.1 200 OK",
    ]


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [("up", "L4OK", 0), ("down", "L4CON", 1), ("unknown", "SOCKERR", 78)],
)
def test_the_exit_code_is_the_verdict(command, served, status, code, exit_code) -> None:
    """78: this host could not even ask."""
    served.instance.report = report(status, code)
    said = command("check", "web/be2")

    assert said.code == exit_code
    assert served.instance.calls == [("check", "web", "be2")]
    assert said.out.splitlines()[-1].startswith(f"{status} {code}, ")
    assert json.loads(command("check", "web/be2", "--json").out)["code"] == code


def test_a_backend_that_is_not_there_is_64(command) -> None:
    """With the names that are."""
    said = command("check", "web/be9")

    assert said.code == 64
    assert said.err.startswith("error: no backend 'web/be9'")
