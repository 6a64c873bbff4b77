from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

import pytest

from natlb.control.host import tun
from natlb.control.host.probe import HostProbe
from natlb.netlink import call_inside
from tests.gateway import namespaces_of

if TYPE_CHECKING:
    from pathlib import Path


def test_files_that_may_not_be_read_say_nothing(tmp_path: Path) -> None:
    """As those that are not there."""
    (tmp_path / "value").write_text("1\n")
    probe = HostProbe()

    assert probe.text(str(tmp_path / "value")) == "1\n"
    assert probe.text(str(tmp_path / "none")) is None
    assert probe.text(str(tmp_path)) is None
    assert not probe.is_read_only(str(tmp_path / "value"))
    assert not probe.is_read_only(str(tmp_path / "none"))


def test_modules_are_looked_for_and_not_loaded() -> None:
    """A look at Numba takes half a second to load it."""
    probe = HostProbe()

    assert probe.is_installed("ipaddress")
    assert not probe.is_installed("no_such_module_of_natlb")


def test_memory_is_asked_for_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a unit or a seccomp profile forbids it, the answer is no."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - how many there are
    probe = HostProbe()

    assert probe.memfd()
    assert probe.executable_memory()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "memfd_create", refuse)
    monkeypatch.setattr(mmap, "mmap", refuse)

    assert not probe.memfd()
    assert not probe.executable_memory()


def test_a_tun_that_cannot_be_had_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By trying."""
    monkeypatch.setattr(tun, "DEVICE", tmp_path / "tun")
    reason = HostProbe().tun()

    assert reason is not None
    assert "modprobe tun" in (reason.fix or "")


@pytest.mark.netns
def test_the_host_answers_for_the_namespace_one_is_in() -> None:
    """Marks and chains of others are others'."""
    with namespaces_of("a") as [name]:
        probe = HostProbe()

        assert call_inside(name, probe.leftovers) == []
        assert not call_inside(name, probe.dropping_chains)
        assert probe.capabilities() >> 12 & 1
        assert probe.tun() is None
