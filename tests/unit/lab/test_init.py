from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from natlb import lab as commands
from natlb.errors import DeniedError, HostError, UnknownNameError
from natlb.lab import rights

if TYPE_CHECKING:
    from pathlib import Path

    from natlb.lab.record import Lab


@pytest.fixture
def nowhere(labs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a user without rights, who has no labs."""
    monkeypatch.setattr(rights, "enter", lambda *, make: make)


def test_a_backend_starts_without_netlink() -> None:
    """A lab starts three interpreters: none loads what it does not use."""
    code = "import natlb.lab.backend, natlb.lab.loader, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"pyroute2", "ruamel.yaml", "numpy", "rich", "click"} & set(done.stdout.split())


def test_a_user_without_labs_has_none(nowhere: None) -> None:
    """Nothing is made only to look into it."""
    heard: list[str] = []

    assert commands.ls() == []
    assert commands.down(all_=True, say=heard.append) == []
    with pytest.raises(UnknownNameError):
        commands.down(name="x")
    with pytest.raises(UnknownNameError):
        commands.run_in(name="x", host="b1", command=["true"])


def test_a_lab_of_roots_is_not_an_ordinary_users(nowhere: None, lab: Lab) -> None:
    """It is seen, and cannot be entered or removed."""
    for call in (
        partial(commands.down, name="paper"),
        partial(commands.run_in, name="paper", host="b1", command=["true"]),
    ):
        with pytest.raises(DeniedError, match="lab 'paper' is root's"):
            call()


def test_a_host_without_tun_is_refused_before_anything_is_made(
    nowhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when half of the lab stands."""

    def refused() -> None:
        raise HostError("no TUN")

    monkeypatch.setattr(rights, "check_tun", refused)
    monkeypatch.setattr(rights, "enter", None)

    with pytest.raises(HostError, match="no TUN"):
        commands.up(name="x", driver="tun")


def test_the_topologies_are_named() -> None:
    """For whoever completes words on a command line."""
    assert {"basic", "routed", "two-sides"} <= set(commands.topologies())


def test_every_public_name_is_there() -> None:
    """What the commands call."""
    assert all(callable(getattr(commands, name)) for name in commands.__all__)
