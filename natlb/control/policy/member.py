"""A backend as the compiling half of a policy sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """A backend that takes new flows: its index, its stable key, its weight (1 at least)."""

    index: int
    key: str
    weight: int
