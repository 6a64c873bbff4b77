"""What is said to a service manager, word for word."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from natlb.control import notify
from natlb.control.notify import LONGEST_STATUS, Notifier
from tests.service_manager import ServiceManager

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_manager_nothing_is_said() -> None:
    """No variable, no socket, and no complaint."""
    notifier = Notifier.take_from({})
    notifier.ready()
    notifier.status("well")

    assert not notifier.is_heard
    assert notifier.watchdog_seconds == 0
    assert not notifier.say("READY=1")


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_each_word_arrives(folder: Path, kind: str) -> None:
    """At a socket file, and at one of Linux's names without a file."""
    address = str(folder / "notify") if kind == "path" else f"@natlb-test-{os.getpid()}"
    with ServiceManager(address) as manager:
        notifier = Notifier.take_from(manager.environment())
        notifier.ready()
        notifier.reloading()
        notifier.reloaded()
        notifier.reloaded()
        notifier.alive()
        notifier.stopping()
        notifier.close()
        said = manager.hear().said
    ready = ["READY=1", f"MAINPID={os.getpid()}"]
    assert said[3].startswith("MONOTONIC_USEC=")
    del said[3]
    assert said == [*ready, "RELOADING=1", *ready, "WATCHDOG=1", "STOPPING=1"]


def test_a_status_is_one_short_line_said_once(folder: Path) -> None:
    """What comes from others cannot say anything else with it."""
    with ServiceManager(folder / "notify") as manager:
        notifier = Notifier(manager.address)
        notifier.status("3 services\nREADY=1")
        notifier.status("3 services\nREADY=1")
        notifier.status("x" * 1000)
        notifier.close()
        assert manager.hear().said == [
            "STATUS=3 services READY=1",
            f"STATUS={'x' * LONGEST_STATUS}",
        ]


def test_children_find_none_of_it() -> None:
    """A worker has nothing to say to the manager."""
    environment = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "A": "b"}
    Notifier.take_from(environment).close()

    assert environment == {"A": "b"}


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [("20000000", None, 20.0), ("20000000", "1", 0.0), ("soon", None, 0.0), (None, None, 0.0)],
    ids=["ours", "another's", "no number", "none"],
)
def test_the_watchdog_is_fed_by_whom_it_watches(
    microseconds: str | None, pid: str | None, seconds: float
) -> None:
    """And only if there is one."""
    environment = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_PID": pid or str(os.getpid())}
    if microseconds is not None:
        environment["WATCHDOG_USEC"] = microseconds
    notifier = Notifier.take_from(environment)
    notifier.close()

    assert notifier.watchdog_seconds == seconds


def test_a_manager_that_is_away_hears_later_what_matters(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not tried again at once: that would hold up the supervisor."""
    monkeypatch.setattr(notify, "SECONDS_DEAF", 1000.0)
    notifier = Notifier(str(folder / "notify"))
    notifier.ready()
    with ServiceManager(folder / "notify") as manager:
        notifier.repeat()
        assert manager.hear().said == []
        later = time.monotonic() + 1001
        monkeypatch.setattr(time, "monotonic", lambda: later)
        notifier.repeat()
        notifier.repeat()
        assert manager.hear().said == ["READY=1", f"MAINPID={os.getpid()}"]
    notifier.close()
