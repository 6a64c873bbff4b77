"""Programs for the queues of TUN devices, with the kernel's part taken away."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.host import steering
from natlb.control.host.plan import PRIVATE_TUN, PUBLIC_TUN
from natlb.control.host.steering import Steering, is_steered, programs_of
from natlb.control.messages import Hold
from natlb.control.queues import SIDES
from natlb.control.roles import Role
from natlb.errors import HostError
from tests.paper_host import host_plan

if TYPE_CHECKING:
    from natlb.control.queues import Way

TWO = replace(host_plan(), workers=2)
HELD: list[Way] = [(Hold(role=role, index=at), 100 + at) for role in SIDES for at in (0, 1)]


class Kernel:
    """Takes programs, unless it refuses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand in the place of what loads and attaches."""
        self.loaded: list[tuple[int, int]] = []
        self.attached: list[int] = []
        self.refuses = False
        monkeypatch.setattr(steering, "tun_program", self._load)
        monkeypatch.setattr(steering, "attach_tun_steering", self._attach)

    def _load(self, side: int, workers: int, vips: Any, _sources: Any) -> int:
        if self.refuses and side:
            raise HostError("too many addresses")
        self.loaded.append((side, len(vips)))
        assert workers == 2
        return os.memfd_create("program")

    def _attach(self, queue: int, program: int) -> None:
        os.fstat(program)
        self.attached.append(queue)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Return a kernel on paper."""
    return Kernel(monkeypatch)


def test_each_device_has_a_program_and_none_is_left_open(kernel: Kernel) -> None:
    """A device keeps its own."""
    with programs_of(TWO) as programs:
        fds = list(programs.values())
        assert list(programs) == [PUBLIC_TUN, PRIVATE_TUN]
    for fd in fds:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)

    assert kernel.loaded == [(0, 1), (1, 1)]


@pytest.mark.parametrize("plan", [host_plan(), replace(TWO, driver="packet")])
def test_where_one_worker_gets_everything_there_is_none(kernel: Kernel, plan: Any) -> None:
    """Sockets are steered by their group."""
    with programs_of(plan) as programs:
        assert not programs
    Steering().renew(plan, HELD)

    assert not is_steered(plan)
    assert kernel.loaded == []


def test_a_refusal_leaves_nothing_open(kernel: Kernel) -> None:
    """One of two was loaded by then."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    kernel.refuses = True
    with pytest.raises(HostError, match="too many"), programs_of(TWO):
        pytest.fail("there are none")

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_stands_is_steered_anew_only_where_addresses_changed(kernel: Kernel) -> None:
    """By the first queue of each device, of whichever driver's ways are held beside."""
    steered = Steering()
    steered.renew(TWO, [*HELD, (Hold(role=Role.HOST), 7)])
    steered.renew(TWO, HELD)
    assert kernel.attached == [100, 100]
    steered.renew(replace(TWO, vips=TWO.vips + TWO.backends), HELD)

    assert kernel.attached == [100] * 4
    assert kernel.loaded[2:] == [(0, 3), (1, 3)]


def test_without_queues_nothing_is_known_yet(kernel: Kernel) -> None:
    """They come with the first plan."""
    steered = Steering()
    steered.renew(TWO, [])
    steered.renew(TWO, HELD)

    assert len(kernel.attached) == 2
