"""The result of looking at one thing of the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]
Purpose = Literal["lab", "gateway"]
BOTH: tuple[Purpose, ...] = ("lab", "gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was seen, and the command that mends it. Only what fails `stops` anything."""

    name: str
    status: Status
    seen: str
    fix: str | None = None
    stops: tuple[Purpose, ...] = ()


def ok(name: str, seen: str) -> Check:
    """Return that this is as it should be."""
    return Check(name=name, status="ok", seen=seen)


def warn(name: str, seen: str, fix: str | None = None) -> Check:
    """Return that natlb works with this, and not at its best."""
    return Check(name=name, status="warn", seen=seen, fix=fix)


def fail(name: str, seen: str, fix: str | None = None, stops: tuple[Purpose, ...] = BOTH) -> Check:
    """Return that natlb cannot work with this."""
    return Check(name=name, status="fail", seen=seen, fix=fix, stops=stops)


def verdict(checks: list[Check]) -> str:
    """Return the last line: what is ready, and how many problems stop what is not."""
    parts = []
    for purpose in BOTH:
        problems = sum(purpose in check.stops for check in checks)
        noun = "problem" if problems == 1 else "problems"
        parts.append(f"{purpose} not ready ({problems} {noun})" if problems else f"{purpose} ready")
    return ", ".join(parts)
