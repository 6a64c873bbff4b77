"""Reloads ten times a second under a load of new connections: no request fails."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.netns.crowd_lab import CrowdLab

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.netns

ONE = """
services:
  many:
    listen: tcp://203.0.113.10:9000
    policy: maglev
    backends: [{name: b1, address: "10.77.0.11:8090"}, {name: b2, address: "10.77.0.12:8090"}]
"""
# another policy, another name for the same server, and a service that comes and goes
OTHER = """
services:
  many:
    listen: tcp://203.0.113.10:9000
    policy: least-connections
    backends: [{name: b1, address: "10.77.0.11:8090", weight: 3}]
  more: {listen: "udp://203.0.113.11:53", backends: ["10.77.0.12:53"]}
"""


def reload_under_load(reloads: int, seconds: float, callers: int) -> int:
    """Alternate two configurations so often in so long; return the requests that were made."""
    with CrowdLab("r") as lab:
        files = [
            _written(lab.folder / name, lab, text) for name, text in (("1", ONE), ("2", OTHER))
        ]
        lab.run()
        lab.start_servers()
        client = lab.start_client("callers", str(callers), str(seconds))
        began, generation = time.monotonic(), lab.api.status().generation
        for number in range(1, reloads + 1):
            done = lab.api.reload(str(files[(number - 1) % 2]))
            assert done.generation == generation + number
            time.sleep(max(0.0, began + seconds * number / reloads - time.monotonic()))
        assert client.stdout is not None
        found = json.loads(client.stdout.readline())

        assert found["failed"] == 0, found["failures"]
        requests: int = found["requests"]
        return requests


def _written(path: Path, lab: CrowdLab, text: str) -> Path:
    lab.configure(text)
    written = path.with_suffix(".yaml")
    written.write_text(lab.config.read_text())
    return written


def test_no_request_fails_over_reloads() -> None:
    """In short: ten a second."""
    assert reload_under_load(reloads=50, seconds=5, callers=8) > 100


@pytest.mark.soak
def test_no_request_fails_over_six_hundred_reloads() -> None:
    """Of at least 30,000."""
    assert reload_under_load(reloads=600, seconds=60, callers=16) >= 30_000
