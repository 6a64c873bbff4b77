from __future__ import annotations

import asyncio
from ipaddress import ip_address
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.config.values import CheckConfig
from natlb.control.health.codes import Code
from natlb.control.health.probe import Result, Target
from natlb.control.health.schedule import Job, Schedule
from tests.unit.control.health.warped import WarpedLoop, in_warped_time

if TYPE_CHECKING:
    from natlb.control.health.arbiter import BackendKey


def result(code: Code = Code.L4OK) -> Result:
    """Return what a check may come to."""
    status: Any = {Code.L4OK: "up", Code.SOCKERR: None}.get(code, "down")
    return Result(status=status, code=code, reason="", latency_ms=1.0, phases=())


def jobs(count: int, **check: Any) -> dict[BackendKey, Job]:
    """Return so many backends that are checked in this way."""
    made = CheckConfig(**check)
    target = Target(service="web", backend="b", address=ip_address("10.0.0.1"), port=80)
    return {("web", f"b{n}"): Job(("web", f"b{n}"), made, target) for n in range(count)}


class Network:
    """Backends that answer after a time, and whoever is told."""

    def __init__(self, loop: WarpedLoop, seconds: float = 0.001) -> None:
        """Answer well after so long."""
        self.loop = loop
        self.seconds = seconds
        self.code = Code.L4OK
        self.begun: list[float] = []
        self.told: list[tuple[float, BackendKey, Code]] = []
        self.vain: list[tuple[BackendKey, bool]] = []
        self.most = self.now = 0

    async def ask(self, check: CheckConfig, _: Target) -> Result:
        """Answer, or let the check time out."""
        self.begun.append(self.loop.time())
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(min(self.seconds, check.timeout))
        finally:
            self.now -= 1
        return result(self.code)

    async def is_asking(self) -> None:
        """Return when a check is under way."""
        while not self.now:  # noqa: ASYNC110 - warped time costs nothing
            await asyncio.sleep(0.01)

    def checked(self, job: Job, found: Result) -> None:
        """Note what counts."""
        self.told.append((self.loop.time(), job.key, found.code))

    def in_vain(self, job: Job, found: Result | None) -> None:
        """Note what does not."""
        self.vain.append((job.key, found is None))


@in_warped_time
async def test_a_thousand_backends_are_spread_over_the_interval(loop: WarpedLoop) -> None:
    """None waits longer than it, and in no tenth of a second come many more than in another."""
    network = Network(loop)
    schedule = Schedule(network.ask, network)
    began = loop.time()
    schedule.follow(jobs(1000, interval=1.0))
    await asyncio.sleep(10)
    await schedule.stop()
    turns: dict[BackendKey, list[float]] = {}
    for at, key, _ in network.told:
        turns.setdefault(key, []).append(at)
    tenths = [int((at - began) * 10) for at in network.begun]

    assert len(turns) == 1000
    assert all(after - at <= 1.001 for each in turns.values() for at, after in pairwise(each))
    assert max(tenths.count(tenth) for tenth in range(100)) < 180
    assert min(tenths.count(tenth) for tenth in range(100)) > 60
    assert network.vain == []


@in_warped_time
async def test_a_long_interval_is_no_long_wait_for_the_first_result(loop: WarpedLoop) -> None:
    """And the second results are spread over it."""
    network = Network(loop)
    schedule = Schedule(network.ask, network, chance=lambda: 0)
    began = loop.time()
    schedule.follow(jobs(10, interval=100.0))
    await asyncio.sleep(1.9)

    assert len(network.told) == 10
    await asyncio.sleep(95)
    await schedule.stop()
    assert len(network.told) == 20
    assert network.told[10][0] - began < 10
    assert 85 < network.told[19][0] - began < 100


@pytest.mark.parametrize("timeout", [0.2, 1.0, 2.0])
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dies", [0.0, 0.3, 1.1, 1.9])
def test_down_is_known_in_time(timeout: float, chance: float, dies: float) -> None:
    """At the latest fall * interval + timeout after the backend died, wherever in its turn."""

    @in_warped_time
    async def test(loop: WarpedLoop) -> None:
        network = Network(loop)
        schedule = Schedule(network.ask, network, chance=lambda: chance)
        schedule.follow(jobs(3, interval=2.0, timeout=timeout, jitter=0.5, fall=3))
        await asyncio.sleep(10 + dies)
        died = loop.time()
        network.seconds, network.code = 1e9, Code.L4TOUT
        await asyncio.sleep(3 * 2.0 + timeout + 0.1)
        await schedule.stop()

        for key in jobs(3):
            bad = [at for at, of, code in network.told if of == key and code is Code.L4TOUT]
            assert len(bad) >= 3
            assert bad[2] - died <= 3 * 2.0 + timeout + 0.01

    test()


@in_warped_time
async def test_no_backend_is_checked_twice_at_a_time(loop: WarpedLoop) -> None:
    """Though its answers take as long as they may, and waits are short."""
    network = Network(loop, 1e9)
    network.code = Code.L4TOUT
    schedule = Schedule(network.ask, network, chance=lambda: 1.0)
    schedule.follow(jobs(1, interval=1.0, timeout=1.0, jitter=0.5))
    await asyncio.sleep(10)
    await schedule.stop()

    assert network.most == 1
    assert len(network.told) in {9, 10}


@in_warped_time
async def test_so_many_are_asked_at_a_time_and_no_more(loop: WarpedLoop) -> None:
    """The others wait, and if they wait for long it is told; nobody is left out."""
    network = Network(loop, 0.5)
    schedule = Schedule(network.ask, network, most=10)
    schedule.follow(jobs(100, interval=2.0))
    await asyncio.sleep(30)
    await schedule.stop()

    assert network.most == 10
    assert {key for _, key, _ in network.told} == set(jobs(100))
    assert (("web", "b99"), True) in network.vain


@in_warped_time
async def test_silence_while_natlb_did_not_run_is_no_silence(loop: WarpedLoop) -> None:
    """A stopped process finds all its checks timed out when it goes on; it asks again at once."""
    network = Network(loop, 1e9)
    network.code = Code.L4TOUT
    schedule = Schedule(network.ask, network)
    schedule.follow(jobs(50, interval=2.0))
    await asyncio.sleep(0.9)
    assert network.told == []
    loop.stall(30)
    network.seconds, network.code = 0.001, Code.L4OK
    await asyncio.sleep(0.2)

    assert not [code for _, _, code in network.told if code is Code.L4TOUT]
    assert len(network.told) >= 45
    await schedule.stop()


@in_warped_time
async def test_an_answer_counts_though_natlb_was_late_to_hear_it(loop: WarpedLoop) -> None:
    """But not where it lay there for longer than any check may take."""
    network = Network(loop, 0.1)
    schedule = Schedule(network.ask, network)
    schedule.follow(jobs(1))
    await asyncio.sleep(0.05)
    loop.stall(0.9)
    await asyncio.sleep(0.06)

    assert len(network.told) == 1
    await asyncio.sleep(1.03)
    await network.is_asking()
    loop.stall(5)
    await asyncio.sleep(0.05)
    assert network.vain[0] == (("web", "b0"), True)
    assert len(network.told) == 1
    await asyncio.sleep(0.2)
    assert len(network.told) == 2
    await schedule.stop()


@in_warped_time
async def test_what_natlb_cannot_ask_says_nothing_and_is_asked_again_soon(loop: WarpedLoop) -> None:
    """No fds, no way out: in a second, though the interval is a minute."""
    network = Network(loop)
    network.code = Code.SOCKERR
    schedule = Schedule(network.ask, network)
    schedule.follow(jobs(1, interval=60.0))
    await asyncio.sleep(3.5)
    network.code = Code.L4OK
    await asyncio.sleep(1)
    await schedule.stop()

    assert [late for _, late in network.vain] == [False] * 4
    assert [code for _, _, code in network.told] == [Code.L4OK]


@in_warped_time
async def test_a_reload_changes_only_turns_that_differ(loop: WarpedLoop) -> None:
    """The others go on where they were; who is gone is asked no more, not even to the end."""
    network = Network(loop, 0.2)
    schedule = Schedule(network.ask, network, chance=lambda: 0)
    before = jobs(4)
    schedule.follow(before)
    await asyncio.sleep(0.1)
    assert network.now == 1
    after = {**{key: before[key] for key in list(before)[1:3]}, **jobs(1, type="http")}
    schedule.follow(after)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert network.now == 0
    await asyncio.sleep(9.8)
    await schedule.stop()
    found: dict[BackendKey, int] = {}
    for _, key, _ in network.told:
        found[key] = found.get(key, 0) + 1

    assert found == {("web", "b0"): 5, ("web", "b1"): 5, ("web", "b2"): 5}


@in_warped_time
async def test_nothing_is_left_when_it_is_stopped(loop: WarpedLoop) -> None:
    """No task, no timer; stopping is no result."""
    network = Network(loop, 1.0)
    schedule = Schedule(network.ask, network)
    schedule.follow(jobs(5))
    await asyncio.sleep(0.9)
    await schedule.stop()
    await asyncio.sleep(5)

    assert len(asyncio.all_tasks()) == 1
    assert network.told == []
