"""When next hops are made, how often at most, and who is given them; time is by hand."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.holdings import Holdings
from natlb.control.memory import read_sealed
from natlb.control.roles import Role
from natlb.control.supervisor_hops import LONGEST_PAUSE, SECONDS_TO_RETRY, HopKeeper
from natlb.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from natlb.control.messages import Hold


class World:
    """A supervisor around the keeper: loop, host, workers and watch in one."""

    def __init__(self) -> None:
        """Have one worker, and a host of one namespace."""
        self.time = 0.0
        self.stopping = False
        self.loop = self.host = self.workers = self
        self.fds: dict[int, Callable[[], object]] = {}
        self.times: list[tuple[float, Callable[[], object]]] = []
        self.holdings = Holdings()
        self.content: bytes | None = b"first"
        self.changed = True
        self.takes = 0.0
        self.broken = self.deaf = self.lost = self.reason = ""
        self.doubted = 0
        self.made: list[float] = []
        self.given: list[tuple[int, bytes]] = []
        self.told: list[tuple[str, str, dict[str, str]]] = []
        self.living = [self]
        teller: Any = lambda *words: self.told.append(words)  # noqa: E731 - a watch's one method
        self.hear_of = SimpleNamespace(tell=teller)
        self.keeper = HopKeeper(
            SimpleNamespace(  # type: ignore[arg-type]
                loop=self,
                host=self,
                workers=self,
                holdings=self.holdings,
                watch=self.hear_of,
                stopping=False,
            )
        )

    # The loop

    def now(self) -> float:
        """Return the time."""
        return self.time

    def watch(self, fd: int, action: Callable[[], object]) -> None:
        """Watch."""
        self.fds[fd] = action

    def ignore(self, fd: int) -> None:
        """Watch no longer."""
        self.fds.pop(fd, None)

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Have it called then."""
        self.times.append((self.time + seconds, action))

    def go_on(self, seconds: float) -> None:
        """Let so much time pass, and do what is due meanwhile."""
        end = self.time + seconds
        while due := sorted((each for each in self.times if each[0] <= end), key=lambda e: e[0]):
            self.times.remove(due[0])
            self.time = max(self.time, due[0][0])
            due[0][1]()
        self.time = max(self.time, end)

    # The host

    def watched_hops(self) -> list[int]:
        """Return the fd."""
        if self.lost:
            raise HostError(self.lost)
        return [5]

    def heard_hops(self) -> bool:
        """Return whether anything changed."""
        if self.deaf:
            raise HostError(self.deaf)
        return self.changed

    def make_hops(self, generation: int) -> bytes | None:
        """Make what there is to make, which takes its time."""
        assert generation > 0
        self.made.append(round(self.time, 3))
        self.time += self.takes
        if self.broken:
            raise HostError(self.broken)
        content, self.content = self.content, None
        return content

    def why_no_hops(self) -> str:
        """Return the reason."""
        return self.reason

    def doubt_hops(self) -> None:
        """Count it."""
        self.doubted += 1

    # A worker

    def send(self, said: Hold, fd: int) -> None:
        """Take a generation."""
        assert said.role is Role.NEXT_HOPS
        self.given.append((said.value, read_sealed(fd)))

    def given_contents(self) -> list[bytes]:
        """Return what the worker was given."""
        return [content for _, content in self.given]


@pytest.fixture
def world() -> Iterator[World]:
    """Return a world whose memory is let go of at the end."""
    made = World()
    yield made
    made.holdings.close()


def test_the_newest_is_held_and_given_to_the_living(world: World) -> None:
    """What says the same as the last is no generation."""
    world.keeper.follow()
    world.go_on(1)
    world.keeper.follow()

    assert world.given_contents() == [b"first"]
    held = world.holdings.get(Role.NEXT_HOPS)
    assert held is not None
    assert (held.value, os.pread(held.fd, 9, 0)) == (world.given[0][0], b"first")


def test_a_change_is_followed_when_the_kernel_has_said_all(world: World) -> None:
    """It is not listened to meanwhile; and news of nothing are none."""
    world.keeper.follow()
    world.go_on(1)
    world.content = b"second"
    world.fds[5]()
    assert world.fds == {}
    world.keeper.follow()  # somebody else asks: the kernel is still speaking
    assert world.fds == {}
    world.go_on(0.2)
    assert list(world.fds) == [5]
    assert world.given_contents() == [b"first", b"second"]
    world.changed, seen = False, len(world.made)
    world.fds[5]()
    world.go_on(2)

    assert len(world.made) == seen


def test_what_is_dear_is_made_less_often_but_within_a_second(world: World) -> None:
    """A flood of news costs a part of a core at the most."""
    world.takes = 0.15
    world.keeper.follow()
    for _ in range(20):
        for wake in list(world.fds.values()):
            wake()
        world.go_on(0.11)
    pauses = [later - now for now, later in zip(world.made, world.made[1:], strict=False)]

    assert pauses
    assert min(pauses) >= 0.15 + 4 * 0.15 - 0.01
    assert max(pauses) <= 0.15 + LONGEST_PAUSE + 0.1


@pytest.mark.parametrize("what", ["broken", "deaf", "lost"])
def test_after_trouble_all_is_read_again_and_it_is_said_once(world: World, what: str) -> None:
    """Workers go on by what they have."""
    world.keeper.follow()
    world.go_on(1)
    world.content = b"second"
    setattr(world, what, "no buffer space")
    world.fds[5]()
    world.go_on(3 * SECONDS_TO_RETRY)
    assert world.given_contents() == [b"first"] or what != "broken"
    assert world.doubted >= 1
    setattr(world, what, "")
    world.go_on(2 * SECONDS_TO_RETRY)

    assert world.given_contents() == [b"first", b"second"]
    assert world.fds
    reasons = [words["reason"] for kind, _, words in world.told if kind == "next_hops_unknown"]
    assert reasons[0] == "no buffer space"


def test_why_the_host_routes_is_said_when_it_changes(world: World) -> None:
    """A policy rule, for example."""
    world.reason = "a policy rule of IPv4 may lead any packet elsewhere"
    world.keeper.follow()
    world.go_on(1)
    world.keeper.follow()
    world.go_on(1)

    assert world.told == [("next_hops_unknown", "warning", {"reason": world.reason})]
