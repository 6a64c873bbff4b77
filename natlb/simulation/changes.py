"""What befalls backends, and when: `b2@30-60` is from 30 s on, and until 60 s."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from natlb.control.compile.run_time import MOST_WEIGHT
from natlb.errors import UsageError
from natlb.simulation.forms import seconds_of

Kind = Literal["fail", "recover", "drain", "ready", "remove", "add", "weigh"]
AFTERWARDS: dict[Kind, Kind] = {"fail": "recover", "drain": "ready", "remove": "add"}
LEAVING: tuple[Kind, ...] = ("fail", "drain", "remove")
MOST_SLOWNESS = 1e6

_SPAN = re.compile(r"(?P<name>.+)@(?P<begin>[^@-]+)(?:-(?P<end>[^@-]+))?")
_WEIGHT = re.compile(r"(?P<name>.+):(?P<weight>\d+)@(?P<begin>[^@-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of one backend.

    `fail`: checks find it down, and its flows break; `recover`: they find it up. `drain` and
    `ready` set its state, `remove` and `add` take it out of the configuration and back, and its
    flows go on. `weigh` sets its weight.
    """

    at_seconds: float
    kind: Kind
    backend: str
    weight: int | None = None

    def __str__(self) -> str:
        weight = "" if self.weight is None else f" {self.weight}"
        return f"{self.kind} {self.backend}{weight}"


def read_span(kind: Kind, text: str) -> list[Change]:
    """Return the change at the begin of a span, and the one that takes it back, if any."""
    found = _SPAN.fullmatch(text)
    begin = None if found is None else seconds_of(found["begin"])
    end = None if found is None or found["end"] is None else seconds_of(found["end"])
    wrong = found is None or begin is None or begin < 0 or (found["end"] is not None and not end)
    if wrong or found is None or begin is None or (end is not None and end <= begin):
        raise UsageError(f"--{kind} '{text}': it is written BACKEND@SECONDS or BACKEND@FROM-UNTIL")
    changes = [Change(at_seconds=begin, kind=kind, backend=found["name"])]
    if end is not None:
        changes.append(Change(at_seconds=end, kind=AFTERWARDS[kind], backend=found["name"]))
    return changes


def read_weight(text: str) -> Change:
    """Return a change of a weight, `b1:5@30`."""
    found = _WEIGHT.fullmatch(text)
    begin = None if found is None else seconds_of(found["begin"])
    if found is None or begin is None or begin < 0:
        raise UsageError(f"--weigh '{text}': it is written BACKEND:WEIGHT@SECONDS")
    if int(found["weight"]) > MOST_WEIGHT:
        raise UsageError(f"--weigh '{text}': a weight is in 0..{MOST_WEIGHT}")
    weight = int(found["weight"])
    return Change(at_seconds=begin, kind="weigh", backend=found["name"], weight=weight)


def read_slowness(text: str) -> tuple[str, float]:
    """Return a backend and how many times as long it takes, `b3:5`."""
    name, _, word = text.rpartition(":")
    factor = seconds_of(word)
    if not name or factor is None or not 0 < factor <= MOST_SLOWNESS:
        raise UsageError(f"--slow '{text}': it is written BACKEND:TIMES, TIMES above 0")
    return name, factor


def refuse_strangers(names: list[str], mentioned: list[str]) -> None:
    """Raise UsageError where a backend is named that there is not."""
    for name in mentioned:
        if name not in names:
            known = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
            raise UsageError(f"no backend '{name}'; there are {known}")
