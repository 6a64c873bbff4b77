"""What a look does with what is missing, refused, contested or changed; the kernel is on paper."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.host import Journal, upkeep
from natlb.control.host.make_tun import MakeTun
from natlb.control.host.operations import complete
from natlb.control.host.upkeep import Outcome, Upkeep, difference, named
from natlb.errors import HostError
from tests.paper_host import host_plan, wanted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from natlb.control.host.operation import Operation

PLAN = host_plan()
OPERATIONS = complete(PLAN)


class Kernel:
    """A host on which operations stand unless they are said to be missing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Have all of the plan, and put this in the place of what touches the kernel."""
        self.missing: set[str] = set()
        self.lost: set[str] = set()
        self.refuses: dict[str, str] = {}
        self.mended: list[str] = []
        self.now = PLAN
        self.unresolved = ""
        self.applied = 0
        self.upkeep = Upkeep(Journal(tmp_path / "journal"))
        for kind in {type(each) for each in OPERATIONS}:
            monkeypatch.setattr(kind, "stands", lambda each, _: str(each) not in self.missing)
        monkeypatch.setattr(MakeTun, "is_lost", lambda each, _: each.name in self.lost)
        monkeypatch.setattr(upkeep, "mend", self._mend)
        monkeypatch.setattr(upkeep, "apply", self._apply)
        monkeypatch.setattr(upkeep, "resolve", self._resolve)

    def _mend(self, operations: Sequence[Operation], _: Journal) -> dict[Operation, Any]:
        words = {str(each): each for each in operations}
        refused = {words[each]: HostError(why) for each, why in self.refuses.items()}
        self.mended += [word for word in words if word not in self.refuses]
        self.missing -= set(self.mended)
        return refused

    def _apply(self, steps: list[Any], _: Journal) -> dict[str, Any]:
        self.applied += len(steps)
        return {}

    def _resolve(self, *_: Any) -> Any:
        if self.unresolved:
            raise HostError(self.unresolved, fix="mend it")
        return self.now

    def stand(self, now: float = 0.0) -> Outcome:
        """Look at what should stand."""
        return self.upkeep.stand(PLAN, now)

    def follow(self) -> Outcome:
        """Look at what the configuration means."""
        return self.upkeep.follow(PLAN, wanted())


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    """Return a host where all is well."""
    return Kernel(monkeypatch, tmp_path)


def kinds(outcome: Outcome) -> list[str]:
    """Return what is told."""
    return [fact.kind for fact in outcome.facts]


def test_where_all_stands_nothing_is_done_and_nothing_told(kernel: Kernel) -> None:
    """Nearly always."""
    assert kernel.stand() == Outcome()
    assert kernel.follow() == Outcome()
    assert (kernel.mended, kernel.applied) == ([], 0)


def test_what_is_missing_is_mended_in_the_plans_order_and_told_in_one_line(kernel: Kernel) -> None:
    """What closes comes before what opens."""
    some = [str(each) for each in OPERATIONS][::3]
    kernel.missing = set(some)
    outcome = kernel.stand()

    assert kernel.mended == some
    assert kinds(outcome) == ["host_repaired"]
    assert outcome.facts[0].fields["what"].startswith(some[0])
    assert outcome.is_whole
    assert kernel.stand() == Outcome()


def test_a_lost_device_is_for_the_supervisor_to_make_again(kernel: Kernel) -> None:
    """With all that went with it; the rest is mended meanwhile."""
    device = [str(each) for each in OPERATIONS if each.device == "natlb-pub"]
    rule = next(str(each) for each in OPERATIONS if each.device is None)
    kernel.missing, kernel.lost = {*device, rule}, {"natlb-pub"}
    outcome = kernel.stand()

    assert outcome.lost == ["natlb-pub"]
    assert kernel.mended == [rule]
    assert not outcome.is_whole


def test_what_is_refused_is_told_once_and_tried_again(kernel: Kernel) -> None:
    """Until the reason is another one, or it stands."""
    route = next(str(each) for each in OPERATIONS if str(each).startswith("route"))
    kernel.missing, kernel.refuses = {route}, {route: "File exists"}
    outcome = kernel.stand(0)

    assert [fact.fields for fact in outcome.facts] == [{"what": route, "reason": "File exists"}]
    assert not outcome.is_whole
    assert kinds(kernel.stand(10)) == []
    kernel.refuses = {route: "something else"}
    assert kinds(kernel.stand(20)) == ["host_not_repaired"]
    kernel.refuses = {}
    outcome = kernel.stand(30)
    assert (kinds(outcome), outcome.is_whole) == (["host_repaired"], True)


def test_what_is_undone_again_and_again_is_mended_more_and_more_seldom(kernel: Kernel) -> None:
    """Two programs must not spend a host's time on each other; each repair is told."""
    rule = next(str(each) for each in OPERATIONS if str(each).startswith("rule"))
    told: list[str] = []
    for second in range(3600):
        kernel.missing = {rule}
        told += kinds(kernel.stand(second))

    assert told[:8] == ["host_repaired"] * 8
    assert told[8] == "host_contested"
    assert 15 < len(told) < 40
    assert len(kernel.mended) == len(told)


def test_a_contested_change_leaves_natlb_not_whole(kernel: Kernel) -> None:
    """Packets do not get through meanwhile; others are mended all the same."""
    rules = [str(each) for each in OPERATIONS if str(each).startswith("rule")]
    for _ in range(9):
        kernel.missing = {rules[0]}
        kernel.stand(0)
    kernel.missing = set(rules[:2])
    outcome = kernel.stand(0.1)

    assert kernel.mended[-1] == rules[1]
    assert not outcome.is_whole


def test_a_changed_way_is_a_new_plan(kernel: Kernel) -> None:
    """Applied, told with what changed, and for control to follow."""
    kernel.now = replace(PLAN, private=replace(PLAN.private, way_mtu=1400))
    outcome = kernel.follow()

    assert outcome.plan == kernel.now
    assert not outcome.is_announced
    assert [fact.kind for fact in outcome.facts] == ["host_changed"]
    old = PLAN.private.way_mtu
    assert outcome.facts[0].fields == {"what": f"private way_mtu {old} to 1400"}


def test_a_host_that_cannot_any_more_keeps_its_plan_and_is_told_of_once(kernel: Kernel) -> None:
    """Until the reason changes, or goes."""
    kernel.unresolved = "no route to backend 10.77.0.11"
    outcome = kernel.follow()

    assert outcome.plan is None
    assert outcome.facts[0].kind == "host_not_resolved"
    assert outcome.facts[0].fields == {"reason": kernel.unresolved, "fix": "mend it"}
    assert kinds(kernel.follow()) == []
    kernel.unresolved = "interface eth0 is down"
    assert kinds(kernel.follow()) == ["host_not_resolved"]
    kernel.unresolved = ""
    assert kinds(kernel.follow()) == ["host_resolved"]
    assert kinds(kernel.follow()) == []


def test_lists_are_named_and_long_ones_counted() -> None:
    """A line is for people."""
    assert named(OPERATIONS[:2]) == f"{OPERATIONS[0]}, {OPERATIONS[1]}"
    assert named(OPERATIONS).endswith(f"and {len(OPERATIONS) - 5} more")
    changed = replace(PLAN, local_backends=PLAN.backends, tun_mtu=9000)
    assert difference(PLAN, changed) == f"tun_mtu {PLAN.tun_mtu} to 9000, local_backends"
