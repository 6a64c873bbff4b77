from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from natlb.control.compile import RunTime, note_arrivals
from natlb.control.config.values import BackendConfig, Config, ServiceConfig, SlowStart

SLOW = SlowStart(seconds=30)
B1, B2, B3 = ("web", "b1"), ("web", "b2"), ("web", "b3")


def backend(name: str, **options: Any) -> BackendConfig:
    """Return a backend."""
    address = ip_address(f"10.9.0.1{name[-1]}")
    return BackendConfig(**{"name": name, "address": address, "port": 80, "written": ""} | options)


def configured(*backends: BackendConfig, **options: Any) -> Config:
    """Return a configuration of `web` with slow start."""
    pool = backends or (backend("b1"), backend("b2"))
    options = {"slow_start": SLOW} | options
    web = ServiceConfig(name="web", listen=(), backends=pool, **options)
    return Config(services={"web": web})


def began(noted: dict[Any, RunTime]) -> dict[str, int]:
    """Return who is in slow start, since when."""
    return {name: now.began_ms for (_, name), now in noted.items() if now.began_ms is not None}


def test_nobody_arrives_at_the_start() -> None:
    """Nor with a whole service: all would begin alike."""
    web, nothing = configured(), Config(services={})

    assert note_arrivals(web, {}, web, {}, 5) == {}
    assert note_arrivals(nothing, {}, web, {}, 5) == {}


def test_who_is_added_arrives() -> None:
    """And nobody else."""
    more = configured(backend("b1"), backend("b2"), backend("b3"), backend("b4", weight=0))
    noted = note_arrivals(configured(), {}, more, {}, 5)

    assert noted == {B3: RunTime(began_ms=5)}


@pytest.mark.parametrize(
    ("out", "back"),
    [
        ({"state": "draining"}, {"state": "ready"}),
        ({"state": "maint"}, {"state": "ready", "weight": 3}),
        ({"weight": 0}, {}),
        ({"weight": 0}, {"weight": 9}),
        ({"health": "down"}, {"health": "up"}),
        ({"health": "down"}, {"health": "unknown"}),
    ],
)
def test_who_comes_back_arrives(out: dict[str, Any], back: dict[str, Any]) -> None:
    """Out of a drain, of weight 0, or up again."""
    web = configured()
    gone = note_arrivals(web, {}, web, {B1: RunTime(**out)}, 5)
    again = note_arrivals(web, gone, web, {B1: RunTime(**back)}, 9)

    assert began(gone) == {}
    assert began(again) == {"b1": 9}


def test_a_weight_of_the_file_brings_a_backend_in_as_well() -> None:
    """By a reload."""
    none = configured(backend("b1", weight=0), backend("b2"))

    assert began(note_arrivals(none, {}, configured(), {}, 7)) == {"b1": 7}


@pytest.mark.parametrize("change", [{"weight": 7}, {"health": "up"}, {"health": "unknown"}])
def test_a_second_change_does_not_begin_anew(change: dict[str, Any]) -> None:
    """Nor ends it, also where who changes it says nothing of it."""
    web = configured()
    before = {B1: RunTime(began_ms=5)}
    noted = note_arrivals(web, before, web, {B1: RunTime(**change)}, 20)

    assert began(noted) == {"b1": 5}
    assert began(note_arrivals(web, before, web, {}, 20)) == {"b1": 5}


def test_who_goes_while_it_comes_comes_anew() -> None:
    """It has to warm up again."""
    web = configured()
    gone = note_arrivals(web, {B1: RunTime(began_ms=5)}, web, {B1: RunTime(state="maint")}, 20)

    assert gone == {B1: RunTime(state="maint")}
    assert began(note_arrivals(web, gone, web, {B1: RunTime()}, 30)) == {"b1": 30}


def test_a_backend_elsewhere_is_another_server() -> None:
    """Its name alone is the old one."""
    moved = configured(backend("b1", port=81), backend("b2"))

    assert began(note_arrivals(configured(), {}, moved, {}, 7)) == {"b1": 7}


def test_a_backup_that_serves_has_not_arrived() -> None:
    """It was up all the time; nor has it when the others are back."""
    web = configured(backend("b1"), backend("b2", backup=True))
    down = {B1: RunTime(health="down")}
    noted = note_arrivals(web, {}, web, down, 5)

    assert noted == down
    assert began(note_arrivals(web, down, web, {B1: RunTime(health="up")}, 9)) == {"b1": 9}


def test_panic_is_no_arrival_and_whom_it_had_serve_has_not_arrived_after_it() -> None:
    """It worked for the pool already."""
    web = configured(panic_threshold=0.6)
    panic = {B1: RunTime(health="down")}
    healthy = {B1: RunTime(health="up")}

    assert note_arrivals(web, {}, web, panic, 5) == panic
    assert note_arrivals(web, panic, web, healthy, 9) == healthy


def test_without_slow_start_nothing_is_noted() -> None:
    """Nor kept when it is taken out of the file; put in, it counts from the next arrival."""
    plain, slow = configured(slow_start=None), configured()

    assert note_arrivals(plain, {B1: RunTime(weight=0)}, plain, {B1: RunTime(weight=2)}, 5) == {
        B1: RunTime(weight=2)
    }
    assert note_arrivals(slow, {B1: RunTime(began_ms=5)}, plain, {}, 6) == {}
    assert note_arrivals(plain, {}, slow, {}, 6) == {}


def test_what_is_over_is_forgotten() -> None:
    """To the millisecond."""
    web = configured()
    before = {B1: RunTime(began_ms=5)}

    assert began(note_arrivals(web, before, web, {}, 5 + 29_999)) == {"b1": 5}
    assert note_arrivals(web, before, web, {}, 5 + 30_000) == {}


def test_what_says_nothing_is_left_out() -> None:
    """Names that are gone; a weight that is the file's own by now."""
    web = configured(backend("b1", weight=7))
    before = {B1: RunTime(weight=7), B2: RunTime(state="draining")}

    assert note_arrivals(configured(), before, web, before, 5) == {}


class Comings(RuleBasedStateMachine):
    """Backends that go and come, beside a twin that knows each one's story in plain words."""

    def __init__(self) -> None:
        """Begin with two of three backends."""
        super().__init__()
        self.config = configured()
        self.run_time: dict[Any, RunTime] = {}
        self.now = 0
        self.since = {"b1": -100_000, "b2": -100_000}  # who is up, and since when

    def _apply(self, config: Config, run_time: dict[Any, RunTime]) -> None:
        names = {each.name for each in config.services["web"].backends}
        up = {
            name
            for name in names
            for now in [run_time.get(("web", name), RunTime())]
            if now.state == "ready" and now.weight != 0 and now.health != "down"
        }
        self.run_time = note_arrivals(self.config, self.run_time, config, run_time, self.now)
        self.config = config
        self.since = {name: self.since.get(name, self.now) for name in up}

    @rule(seconds=st.sampled_from([0, 1, 10, 29, 31]))
    def pass_time(self, seconds: int) -> None:
        """Let so many seconds pass."""
        self.now += 1000 * seconds

    @rule(
        key=st.sampled_from([B1, B2, B3]),
        change=st.sampled_from(
            [
                {"state": "draining"},
                {"state": "ready"},
                {"weight": 0},
                {"weight": 1},
                {"weight": 5},
                {"health": "down"},
                {"health": "up"},
            ]
        ),
    )
    def change(self, key: Any, change: dict[str, Any]) -> None:
        """Change a backend that there is."""
        if key[1] in {each.name for each in self.config.services["web"].backends}:
            now = replace(self.run_time.get(key, RunTime()), **change)
            self._apply(self.config, {**self.run_time, key: now})

    @rule(names=st.sets(st.sampled_from(["b1", "b2", "b3"]), min_size=1))
    def reload(self, names: set[str]) -> None:
        """Have these in the file."""
        self._apply(configured(*(backend(name) for name in sorted(names))), self.run_time)

    @invariant()
    def slow_start_is_since_they_came(self) -> None:
        """For who came less than 30 s before the last change; of the others nothing is known."""
        shown = {
            name: since for name, since in began(self.run_time).items() if self.now - since < 30_000
        }
        assert shown == {
            name: since for name, since in self.since.items() if self.now - since < 30_000
        }


Comings.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestComings = Comings.TestCase
