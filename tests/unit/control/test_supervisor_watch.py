"""When the supervisor looks at its host, how often at most, and who is told; time is by hand."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.messages import (
    Hold,
    Message,
    Told,
)
from natlb.control.roles import Role
from natlb.control.supervisor_network import Found
from natlb.control.supervisor_watch import HostWatch
from natlb.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable


class World:
    """A supervisor around the watch: loop, host, workers and control in one."""

    def __init__(self) -> None:
        """Have a host of one fd where all is well."""
        self.time = 0.0
        self.stopping = False
        self.loop = self.host = self.workers = self.control = self
        self.fds: dict[int, Callable[[], object]] = {}
        self.times: list[tuple[float, Callable[[], object]]] = []
        self.news = (False, False)
        self.looks: list[tuple[float, bool]] = []
        self.takes = 0.0
        self.found = Found(facts=[], lost=[], plan=None, is_whole=True)
        self.broken = ""
        self.deaf = ""
        self.faulty = ""
        self.renewed: list[list[Role]] = []
        self.holdings = [
            (Hold(role=role), 3) for role in (Role.FLOWS, Role.LINK, Role.HOST, Role.QUEUE_PUBLIC)
        ]
        self.did: list[object] = []
        self.hops = SimpleNamespace(follow=lambda: None)
        self.watch_ = HostWatch(self)  # type: ignore[arg-type]
        self.watch_.follow()

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

    # The host

    def watched(self) -> list[int]:
        """Return the fd."""
        if self.deaf:
            raise HostError(self.deaf)
        return [5]

    def heard(self) -> tuple[bool, bool]:
        """Return the news."""
        if self.deaf:
            raise HostError(self.deaf)
        return self.news

    def look(self, now: float, *, everything: bool) -> Found:
        """Look, which takes its time."""
        self.looks.append((round(now, 3), everything))
        self.time += self.takes
        if self.broken:
            raise HostError(self.broken)
        return self.found

    def renew(self, held: list[Any]) -> list[Any]:
        """Renew nothing, or say what the last look led to."""
        if self.faulty:
            raise HostError(self.faulty)
        self.renewed.append([said.role for said, _ in held])
        return []

    # Workers and control

    def take_ways(self, ways: list[Any]) -> None:
        """Take none."""
        assert ways == []

    def check_queues(self) -> None:
        """Say so."""
        self.did.append("check queues")

    def rebuild(self, role: Role) -> None:
        """Say so."""
        self.did.append(f"rebuild {role.name}")

    def announce(self) -> None:
        """Say so."""
        self.did.append(f"announce {self.watch_.is_whole}")

    def hold(self, said: Hold, _fd: int) -> None:
        """Say so."""
        self.did.append(f"hold {said.role.name}")

    def tell(self, message: Message) -> None:
        """Keep it."""
        self.did.append(message)

    def speak(self, *, standing: bool = True, everything: bool = False) -> None:
        """Have the kernel say something."""
        self.news = (standing, everything)
        if 5 in self.fds:
            self.fds[5]()

    def run(self, until: float) -> None:
        """Let time pass."""
        while due := [each for each in self.times if each[0] <= until]:
            first = min(due, key=lambda each: each[0])
            self.times.remove(first)
            self.time = max(self.time, first[0])
            first[1]()
        self.time = max(self.time, until)


@pytest.fixture
def world() -> World:
    """Return a supervisor that watches."""
    return World()


def test_news_are_followed_by_a_look_once_the_kernel_has_finished(world: World) -> None:
    """A flush of routes is one look, not one for each; and queues are asked at once."""
    world.speak()
    assert 5 not in world.fds  # let it say all first
    world.run(0.2)

    assert world.looks == [(0.1, False)]
    assert world.did == ["check queues"]
    assert 5 in world.fds


def test_news_of_others_are_followed_by_nothing(world: World) -> None:
    """A router's routes change all day."""
    for tenth in range(20):
        world.speak(standing=False)
        world.run(tenth / 10)

    assert world.looks == []


def test_in_silence_natlbs_own_is_looked_at_often_and_all_seldom(world: World) -> None:
    """Not all that changes is told: a proxy entry, a sysctl."""
    world.run(61)

    times = [at for at, everything in world.looks if not everything]
    assert times[:3] == [4, 8, 12]
    assert [at for at, everything in world.looks if everything] == [30, 60]


@pytest.mark.parametrize(("takes", "most"), [(0.001, 60), (0.5, 15)])
def test_a_storm_costs_a_part_of_a_core(world: World, takes: float, most: int) -> None:
    """However long a look takes, what follows is seen within five seconds."""
    world.takes = takes
    for tenth in range(100):
        world.speak(everything=True)
        world.run(tenth / 10)

    assert 3 <= len(world.looks) < most
    full = [at for at, everything in world.looks if everything]
    assert all(0.99 <= after - before < 4.5 for before, after in pairwise(full))


def test_what_was_to_be_looked_at_is_not_forgotten(world: World) -> None:
    """While everything may not be looked at again yet, natlb's own may."""
    world.speak(everything=True)
    world.run(0.15)
    world.speak(everything=True)
    world.run(3)

    assert [everything for _, everything in world.looks] == [True, False, True]
    assert world.looks[-1][0] < 1.5


def test_what_is_found_is_passed_on(world: World) -> None:
    """To the log and control, to the workers, and to who asks for the status."""
    words = {"what": "rule 100"}
    facts = [("host_repaired", "warning", words)]
    world.found = Found(facts=facts, lost=[Role.QUEUE_PUBLIC], plan=b"plan", is_whole=False)
    world.speak()
    world.run(0.2)

    told = Told.of("host_repaired", "warning", words)
    rest = ["hold HOST_PLAN", "rebuild QUEUE_PUBLIC", "announce False"]
    assert world.did == ["check queues", told, *rest]
    assert told.fact == ("host_repaired", words)
    world.found = Found(facts=[], lost=[], plan=None, is_whole=True)
    world.run(5)
    assert world.did[-1] == "announce True"


def test_a_look_that_fails_is_told_once_and_not_the_last(world: World) -> None:
    """Memory runs out, a namespace goes: the next look may be luckier."""
    world.broken = "no memory"
    world.run(13)

    told: list[Any] = [each for each in world.did if isinstance(each, Told)]
    assert [each.fact for each in told] == [("host_not_seen", {"reason": "no memory"})]
    assert len(world.looks) == 3


def test_sockets_follow_each_look_and_a_refusal_is_told_once(world: World) -> None:
    """An interface that was made again; one that is away a moment longer."""
    world.run(5)
    assert world.renewed == [[Role.LINK, Role.HOST, Role.QUEUE_PUBLIC]]
    world.faulty = "no such interface"
    world.run(13)
    world.faulty = ""
    world.run(17)

    told: list[Any] = [each for each in world.did if isinstance(each, Told)]
    assert [each.fact for each in told] == [("host_not_seen", {"reason": "no such interface"})]
    assert len(world.renewed) == 2


def test_a_kernel_that_cannot_be_heard_is_asked_again(world: World) -> None:
    """Looks go on meanwhile."""
    world.deaf = "the namespace has gone"
    world.speak()
    world.run(5)
    world.speak()
    told: list[Any] = [each for each in world.did if isinstance(each, Told)]
    assert {each.fact[0] for each in told} == {"host_not_seen"}
    assert len(told) == 2  # that it was not heard, and that it cannot be
    world.deaf = ""
    world.run(31)

    assert 5 in world.fds
    assert len(world.looks) > 5


def test_at_the_end_nothing_is_mended(world: World) -> None:
    """What natlb takes back must not come again."""
    world.stopping = True
    world.run(40)

    assert world.looks == []
