"""Backends that die and come back under real clients: found by checks, and by traffic alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.netns.process_lab import BACKENDS, Echo, ProcessLab, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

CHECKED = """
services:
  web:
    listen: tcp://203.0.113.10:80
    check: {interval: 0.3, timeout: 0.3, rise: 1, fall: 2}
    passive: false
    backends: [{name: b1, address: "10.77.0.11:8080"}, {name: b2, address: "10.77.0.12:8080"}]
"""
UNCHECKED = CHECKED.replace("check: {interval: 0.3, timeout: 0.3, rise: 1, fall: 2}", "check: none")


@pytest.fixture(scope="module")
def lab() -> Iterator[ProcessLab]:
    """Return a running natlb with its network."""
    with ProcessLab("h") as made:
        made.configure(CHECKED)
        made.run()
        yield made


def health(lab: ProcessLab) -> dict[str, str]:
    """Return what is known of the backends."""
    return {backend.name: backend.health for backend in lab.api.backends()}


def answered_by(lab: ProcessLab, count: int) -> set[str]:
    """Return who answers so many calls; one that is refused is nobody's."""
    found = set()
    for _ in range(count):
        with contextlib.suppress(ConnectionError):
            found.add(lab.call().backend)
    return found


def revive(lab: ProcessLab, at: int) -> None:
    """Have a backend's server listen again."""
    name = lab.echoes[at].name
    lab.echoes[at] = Echo(lab.hosts[name], name, BACKENDS[name])


def test_a_dead_backend_gets_nothing_until_it_is_back(lab: ProcessLab) -> None:
    """By its checks; and whoever talks to the other one does not notice."""
    eventually(lambda: health(lab) == {"b1": "up", "b2": "up"}, 20)
    kept = next(call for call in (lab.call() for _ in range(4)) if call.backend == "b2")
    lab.echoes[0].close()
    eventually(lambda: health(lab) == {"b1": "down", "b2": "up"}, 20)
    alone = answered_by(lab, 6)
    revive(lab, 0)
    eventually(lambda: health(lab) == {"b1": "up", "b2": "up"}, 20)

    assert alone == {"b2"}
    assert answered_by(lab, 4) == {"b1", "b2"}
    assert kept.echo() == b"hello\n"
    assert lab.api.checks("web", "b1").results[0].code == "L4OK"


def test_traffic_alone_finds_who_refuses(lab: ProcessLab) -> None:
    """Clients that are refused are few, and after the inhibit the backend is tried again."""
    lab.configure(UNCHECKED.replace("passive: false", "passive: true"))
    lab.api.reload()
    lab.echoes[0].close()

    def is_found() -> bool:
        answered_by(lab, 4)
        return health(lab)["b1"] == "down"

    eventually(is_found, 20)
    alone = answered_by(lab, 6)
    revive(lab, 0)

    assert alone == {"b2"}
    assert eventually(lambda: answered_by(lab, 4) == {"b1", "b2"}, 60)
