"""One look at the host: what others took away is made again, what changed is followed.

    stands it      each operation of the plan in force is asked, and those that do not stand are
                   mended, in the plan's order
    still so       the configuration is resolved anew, and a plan that differs is applied

What is told is told once: a repair when it is made, a refusal when its reason is a new one. What
somebody else undoes again and again is mended at longer and longer intervals.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from natlb.control.host.apply import apply, mend
from natlb.control.host.hands import Hands
from natlb.control.host.make_tun import MakeTun
from natlb.control.host.operation import AddProxy
from natlb.control.host.operations import complete, operations
from natlb.control.host.patience import Patience
from natlb.control.host.reader import KernelReader
from natlb.control.host.resolve import resolve
from natlb.control.host.seen import Seen
from natlb.errors import NatlbError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from natlb.control.host.journal import Journal
    from natlb.control.host.operation import Operation
    from natlb.control.host.plan import HostPlan, Wanted

MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What an operator is told, once."""

    kind: str
    level: Literal["info", "warning"] = "warning"
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a look came to.

    `lost` are TUN devices that only new ones can replace; `plan` is one that was applied;
    `is_whole` is False while something of natlb's own is missing; `is_announced` is False where
    neighbours must be told of VIPs again.
    """

    facts: list[Fact] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    plan: HostPlan | None = None
    is_whole: bool = True
    is_announced: bool = True


class Upkeep:
    """Looks at the host, one look after the other."""

    def __init__(self, journal: Journal) -> None:
        """Write down in `journal` what is to be undone."""
        self._journal = journal
        self._patience: defaultdict[Operation, Patience] = defaultdict(Patience)
        self._refused: dict[Operation, str] = {}
        self._unresolved = ""

    def stand(self, plan: HostPlan, now: float) -> Outcome:
        """Mend what does not stand of this plan."""
        wanted = complete(plan)
        with Hands() as hands:
            seen = Seen(hands)
            missing = [each for each in wanted if hands.exists(each.netns)]
            missing = [each for each in missing if not each.stands(seen)]
            lost = [
                each.name for each in missing if isinstance(each, MakeTun) and each.is_lost(seen)
            ]
        outcome = Outcome(lost=lost, is_whole=not missing)
        # Device, addresses and routes come back with the new device.
        missing = [each for each in missing if each.device not in lost]
        self._forget(missing)
        due = [each for each in missing if self._patience[each].may_mend(now)]
        if due:
            self._mend(due, now, outcome)
            outcome.is_whole = not lost and not self._refused and len(due) == len(missing)
        return outcome

    def follow(self, plan: HostPlan, wanted: Wanted) -> Outcome:
        """Apply what the configuration means by now, where that differs from the plan in force."""
        outcome = Outcome()
        try:
            with KernelReader() as reader:
                new = resolve(wanted.as_running(plan), reader, plan).remembering(plan)
            if new != plan:
                apply(operations(plan, new), self._journal)
                outcome.plan, outcome.is_announced = new, False
        except NatlbError as error:
            if error.message != self._unresolved:
                words = {"reason": error.message} | ({"fix": error.fix} if error.fix else {})
                outcome.facts.append(Fact(kind="host_not_resolved", fields=words))
            self._unresolved = error.message
            return outcome
        if self._unresolved:
            self._unresolved = ""
            outcome.facts.append(Fact(kind="host_resolved", level="info"))
        if outcome.plan is not None:
            words = {"what": difference(plan, new)}
            outcome.facts.append(Fact(kind="host_changed", fields=words))
        return outcome

    def _mend(self, due: list[Operation], now: float, outcome: Outcome) -> None:
        """Mend what is due, and say so."""
        refused = mend(due, self._journal)
        mended = [each for each in due if each not in refused]
        waits = {each: self._patience[each].mended(now) for each in due}
        if mended:
            words, wait = {"what": named(mended)}, max(waits[each] for each in mended)
            if wait:
                words["next_repair_seconds"] = f"{wait:g}"
            kind = "host_contested" if wait else "host_repaired"
            outcome.facts.append(Fact(kind=kind, fields=words))
        for operation, error in refused.items():
            if self._refused.get(operation) != error.message:
                words = {"what": str(operation), "reason": error.message}
                outcome.facts.append(Fact(kind="host_not_repaired", fields=words))
        self._refused = {each: error.message for each, error in refused.items()}
        outcome.is_announced = not any(isinstance(each, AddProxy) for each in mended)

    def _forget(self, missing: list[Operation]) -> None:
        """Forget refusals of what stands again."""
        self._refused = {each: why for each, why in self._refused.items() if each in missing}


def named(operations_: Iterable[Operation]) -> str:
    """Return the names of the first few, and how many more there are."""
    words = [str(each) for each in operations_]
    more = len(words) - MOST_NAMED
    return ", ".join(words[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def difference(old: HostPlan, new: HostPlan) -> str:
    """Return in words what is another in the new plan: `private way_mtu 1500 to 1400`."""
    words = []
    for side in ("public", "private"):
        words += _changed(getattr(old, side), getattr(new, side), f"{side} ")
    words += [
        each for each in _changed(old, new, "") if not each.startswith(("public", "private "))
    ]
    return ", ".join(words)


def _changed(old: Any, new: Any, prefix: str) -> list[str]:
    """Return the fields that differ; numbers and addresses with their values, lists by name."""
    found = []
    for each in fields(old):
        before, after = getattr(old, each.name), getattr(new, each.name)
        if before != after:
            values = "" if isinstance(after, tuple) else f" {before} to {after}"
            found.append(f"{prefix}{each.name}{values}")
    return found
