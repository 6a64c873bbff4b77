"""Each policy in a running natlb, with real connections: who gets them, what a change leaves alone.

The draws of `random`, `weighted-random`, `power-of-two` and of what hashes clients' ports are
natlb's own chance: of 120 connections each backend gets at least one, except once in 3 billion.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from natlb.errors import ConfigError
from tests.netns.policy_lab import NAMES, PolicyLab, pool
from tests.netns.process_lab import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.netns

WEIGHED = pool("weight: 3", "weight: 2", "weight: 1")
ECHO = """  echo:
    listen: udp://203.0.113.10:7
    policy: {policy}
    backends: [{{name: b1, address: "10.77.0.11:9000", weight: 3}},
               {{name: b2, address: "10.77.0.12:9000", weight: 2}},
               {{name: b3, address: "10.77.0.13:9000"}}]
"""
SEED = 'seed: "00c0ffee00c0ffee"\n'


def shares(*counts: int) -> Callable[[Counter[str]], bool]:
    """Return whether the backends got just so many."""
    return lambda got: tuple(got[name] for name in NAMES) == counts


def all_of_them(got: Counter[str]) -> bool:
    """Return whether each backend got some."""
    return set(got) == set(NAMES)


def bounded(got: Counter[str]) -> bool:
    """Return whether nobody has more than 1.25 times its share of 132, 6, 4 and 2 included."""
    return got["b1"] <= 83 - 6 and got["b2"] <= 55 - 4 and got["b3"] <= 28 - 2


# Of connections that are open together, beside 6, 4 and 2 that are kept.
POLICIES: dict[str, tuple[int, Callable[[Counter[str]], bool]]] = {
    "round-robin": (30, shares(10, 10, 10)),
    "random": (120, all_of_them),
    "weighted-random": (120, all_of_them),
    "least-connections": (60, shares(18, 20, 22)),
    "weighted-least-connections": (60, shares(30, 20, 10)),
    "shortest-expected-delay": (60, shares(30, 20, 10)),
    "never-queue": (60, shares(30, 20, 10)),
    "power-of-two": (120, all_of_them),
    "source-hash": (64, all_of_them),
    "destination-hash": (30, lambda got: len(got) == 1),
    "maglev": (120, all_of_them),
    "rendezvous": (120, all_of_them),
    "anchor": (120, all_of_them),
    "bounded-load": (120, bounded),
    "least-response-time": (30, lambda got: got.total() == 30),
    "first": (30, shares(30, 0, 0)),
    "failover": (30, shares(30, 0, 0)),
    "weighted-round-robin": (30, shares(15, 10, 5)),
}
DATAGRAMS = {
    "round-robin": shares(4, 4, 4),
    "weighted-round-robin": shares(6, 4, 2),
    "destination-hash": lambda got: len(got) == 1,
    "first": shares(12, 0, 0),
}


@pytest.fixture(scope="module")
def lab() -> Iterator[PolicyLab]:
    """Return one lab, natlb running in it, for all tests of this file."""
    with PolicyLab(f"tpol{os.getpid()}") as made:
        yield made


@pytest.fixture(autouse=True)
def quiet(lab: PolicyLab) -> Iterator[None]:
    """Leave no connection and no change of a backend behind."""
    yield
    lab.hang_up()
    lab.api.flush(reset=True)
    lab.configure("")
    for name in NAMES:
        lab.api.set_backend("web", name, state="ready", weight=1)


def test_each_policy_spreads_as_it_should_and_a_change_of_it_loses_nothing(lab: PolicyLab) -> None:
    """Connections that are kept go on where they are, new ones succeed in each moment."""
    lab.configure("policy: weighted-round-robin", WEIGHED)
    with lab.under_traffic(12) as failures:
        for name, (count, judge) in POLICIES.items():
            with lab.calling(failures):
                lab.configure(f"policy: {name}", WEIGHED, ECHO.format(policy=name) + SEED)
            lab.wait_for_open(12)
            got = lab.spread(count)
            datagrams = Counter(lab.datagram(at) for at in range(12))

            assert {each.policy for each in lab.api.services()} == {name}
            assert judge(got), f"{name}: {got}"
            assert DATAGRAMS.get(name, Counter.total)(datagrams), f"{name}: {datagrams}"
            assert failures == [], name
    assert lab.api.stats().drops == {}


def test_who_is_drained_weighs_nothing_or_waits_gets_nothing_new(lab: PolicyLab) -> None:
    """By the commands; a backup serves when all others are drained, and not before."""
    lab.configure("policy: weighted-round-robin", pool("", "", "backup: true"))
    kept = lab.visit()
    assert kept.backend == "b1"
    assert lab.spread(9).keys() == {"b1", "b2"}
    assert lab.natlb("weight", "web/b1", "4").returncode == 0
    assert shares(8, 2, 0)(lab.spread(10))
    assert lab.document("weight", "web/b1", "0")["effective_weight"] == 0
    assert shares(0, 5, 0)(lab.spread(5))
    assert lab.document("drain", "web/b2")["state"] == "draining"
    assert shares(0, 0, 5)(lab.spread(5))
    assert kept.ask() == "b1"
    lab.api.set_backend("web", "b3", weight=0)
    with pytest.raises(ConnectionRefusedError):
        lab.visit()
    lab.api.set_backend("web", "b2", state="ready")

    assert shares(0, 5, 0)(lab.spread(5))
    assert kept.ask() == "b1"


def test_a_backend_has_no_more_flows_than_its_limit(lab: PolicyLab) -> None:
    """`first` fills one after the other; who comes too late hears so at once."""
    lab.configure("policy: first", pool(*["max_flows: 2"] * 3))
    visits = [lab.visit(at) for at in range(6)]
    began = time.monotonic()
    with pytest.raises(OSError, match="No route to host"):
        lab.visit()
    took = time.monotonic() - began
    visits[2].close()
    lab.wait_for_open(5)

    assert [visit.backend for visit in visits] == ["b1", "b1", "b2", "b2", "b3", "b3"]
    assert took < 0.9  # before a SYN would be repeated
    assert lab.api.stats().replies["backend-limit"] == 1
    assert lab.visit().backend == "b2"


def test_affinity_holds_a_prefix_for_its_time(lab: PolicyLab) -> None:
    """198.51.100.2 and .3 are one /31, .4 and .5 the next; a drained backend lets them go."""
    affinity = "    affinity: {prefix: 31, timeout: 1.5}\n"
    lab.configure("", rest=ECHO.format(policy="round-robin") + affinity)
    first, second = lab.datagram(0), lab.datagram(2)
    together = [lab.datagram(at) for at in (1, 3, 0, 2)]
    lab.api.set_backend("echo", first, state="draining")
    moved = {lab.datagram(at) for at in (0, 1, 0)}
    lab.api.set_backend("echo", first, state="ready")

    assert first != second
    assert together == [first, second] * 2
    assert len(moved) == 1
    assert first not in moved
    assert {lab.datagram(0) for _ in range(3)} == moved
    time.sleep(1.6)
    assert {lab.datagram(at) for at in (0, 2, 4)} == set(NAMES)


def test_a_shadow_is_counted_and_changes_nothing(lab: PolicyLab) -> None:
    """In `services` and `stats`; without one their documents have just the contract's keys."""
    lab.configure("policy: round-robin\nshadow: first")
    assert shares(4, 4, 4)(lab.spread(12))
    (service,) = lab.document("services")
    told = {"policy": "first", "compared": 12, "differed": 8}
    got = {"b1": (4, 12), "b2": (4, 0), "b3": (4, 0)}
    spread = {name: {"policy": one, "shadow": other} for name, (one, other) in got.items()}

    assert service["shadow"] == told | {"spread": spread}
    assert lab.document("stats")["shadow"] == {"web": told | {"spread": spread}}
    assert "shadow first differs in 66.7% of 12" in lab.natlb("services").stdout
    lab.configure("")
    assert list(lab.document("services")[0]) == (
        ["name", "listen", "policy", "nat", "backends", "flows", "new_flows_per_second"]
    )
    assert list(lab.document("stats")) == (
        ["generation", "uptime_seconds", "workers", "packets", "bytes", "flows", "drops", "replies"]
    )


def test_what_cannot_be_is_refused_with_its_place_and_changes_nothing(lab: PolicyLab) -> None:
    """All of it at once; what may be, an empty pool or one without weight, is accepted."""
    before = lab.api.status()
    with pytest.raises(ConfigError) as refused:
        lab.configure(
            "policy: {name: maglev, size: 65536}\nshadow: leastconnections\n"
            "slow_start: soon\naffinity: {prefix: 33}\npanic_threshold: 2",
            pool("weight: -1", "max_flows: 0", "backup: maybe"),
        )
    told = refused.value.message

    assert f"8 problems in {lab.configuration}" in told
    assert (
        len(re.findall(rf"^{re.escape(str(lab.configuration))}:\d+:\d+: ", told, re.MULTILINE)) == 8
    )
    assert "65536 is not prime; the nearest are 65521 or 65537" in told
    assert "did you mean 'least-connections'?" in told
    assert lab.api.status() == before
    for backends in ("[]", pool(*["weight: 0"] * 3)):
        lab.configure("policy: least-connections", backends)
        with pytest.raises(ConnectionRefusedError):
            lab.visit()


def test_nodes_of_one_seed_agree_and_a_made_one_is_kept(lab: PolicyLab) -> None:
    """Two labs; the order in their files does not matter, and without a seed they differ."""
    policy = "policy: {name: maglev, key: address}"
    backwards = ", ".join(reversed(re.findall(r"{.*?}", WEIGHED)))
    with PolicyLab(f"tpom{os.getpid()}") as other:
        lab.configure(policy, WEIGHED, SEED)
        other.configure(policy, f"[{backwards}]", SEED)
        agreed = lab.owners()
        assert other.owners() == agreed
        lab.configure(policy, WEIGHED)
        other.configure(policy, WEIGHED)
        own = lab.owners()
        assert len({agreed, own, other.owners()}) == 3
    kept = (lab.lab.directory / "state" / "seed").read_text().strip()
    lab.configure(policy, WEIGHED, f'seed: "{kept}"\n')

    assert lab.owners() == own


def test_what_was_true_outlives_any_process(lab: PolicyLab) -> None:
    """Affinity, slow start, a shadow's counts, and whom `anchor` removed before."""
    anchored = "policy: {name: anchor, key: address}\nslow_start: 10"
    tenfold = pool(*["weight: 10"] * 3)
    lab.configure("policy: {name: anchor, key: address}", tenfold, SEED)
    fresh = lab.owners()
    for name in ("b1", "b2"):
        lab.api.set_backend("web", name, state="draining")
    for name in ("b1", "b2"):
        lab.api.set_backend("web", name, state="ready")
    history = lab.owners()
    assert history != fresh

    lab.configure(f"{anchored}\naffinity: {{}}\nshadow: first", tenfold, SEED)
    assert lab.owners() == history
    lab.api.set_backend("web", "b1", state="draining")
    lab.api.set_backend("web", "b1", state="ready")
    began = time.monotonic()
    assert lab.effective()[0] == 1.0
    shadow = lab.api.services()[0].shadow
    pids = lab.api.status().pid
    kept = [lab.visit(at) for at in range(32)]
    for pid in (pids.workers[0], pids.control):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: lab.api.status().ready, 20)
    effective, elapsed = lab.effective()[0], time.monotonic() - began

    assert lab.owners() == history
    assert "".join(visit.ask()[1:] for visit in kept) == history
    assert lab.api.services()[0].shadow == shadow
    assert effective == pytest.approx(min(10.0, elapsed), abs=1)
    os.kill(pids.supervisor, signal.SIGKILL)
    lab.adopt()
    assert lab.effective()[0] >= effective
    lab.configure("policy: {name: anchor, key: address}", tenfold, SEED)
    assert lab.owners() == history
    assert "".join(visit.ask()[1:] for visit in kept) == history
