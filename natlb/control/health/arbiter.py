"""Health from two sides: what checks find, and what traffic on the wire shows.

    active    `up`, `down`, or `unknown` while nothing has been found
    passive   speaks against a backend until a time, or not at all
    in force  `down` if either says so, else what the active side says

The passive side is sooner and knows less, so it never says `up`, and never for long: its word ends
at the time it gave, when traffic takes it back, or after `rise` good checks in a row since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from natlb.model import HealthName

BackendKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a side says what it says: a code of `codes.py` or of the passive side, and words."""

    code: str = ""
    reason: str = ""


NO_CAUSE = Cause()
PASSIVE = "PASSIVE"  # the code where traffic alone speaks against a backend


@dataclass(slots=True)
class _Passive:
    """What traffic says against a backend; `well` counts good checks in a row since."""

    why: str
    until_ms: int
    well: int = 0


@dataclass(slots=True)
class _Case:
    """Both sides' words on one backend."""

    active: HealthName = "unknown"
    cause: Cause = NO_CAUSE
    passive: _Passive | None = None

    @property
    def health(self) -> HealthName:
        return "down" if self.passive is not None else self.active


class Arbiter:
    """Decides for all backends; `changed` is called with each whose health may be another now."""

    def __init__(self, changed: Callable[[BackendKey], None]) -> None:
        """Know nobody."""
        self._changed = changed
        self._cases: dict[BackendKey, _Case] = {}

    def health(self, key: BackendKey) -> HealthName:
        """Return the health in force."""
        case = self._cases.get(key)
        return "unknown" if case is None else case.health

    def cause(self, key: BackendKey) -> Cause:
        """Return why a backend's health is what it is."""
        case = self._cases.get(key, _Case())
        if case.passive is not None and case.active != "down":
            return Cause(PASSIVE, case.passive.why)
        return case.cause

    def passive(self, key: BackendKey) -> str | None:
        """Return why traffic speaks against a backend, None where it does not."""
        case = self._cases.get(key)
        return None if case is None or case.passive is None else case.passive.why

    def actively(self, key: BackendKey, health: HealthName, cause: Cause = NO_CAUSE) -> None:
        """Take what checks have found; `down` is told where traffic has said so before, too."""
        case = self._case(key)
        before, was = case.health, case.active
        case.active, case.cause = health, cause
        if case.health != before or (health == "down" and was != "down"):
            self._changed(key)

    def answered(self, key: BackendKey, *, ok: bool, rise: int) -> None:
        """Take a single result: `rise` good ones in a row end what traffic said before them."""
        case = self._cases.get(key)
        if case is None or case.passive is None:
            return
        case.passive.well = case.passive.well + 1 if ok else 0
        if case.passive.well >= rise:
            self._lift(key, case)

    def passively(self, key: BackendKey, *, down: bool, why: str = "", until_ms: int = 0) -> None:
        """Take what traffic says: against a backend until then, or nothing any more."""
        case = self._case(key)
        if down:
            before = case.health
            case.passive = _Passive(why, until_ms)
            self._tell(key, before, case)
        elif case.passive is not None:
            self._lift(key, case)

    def expire(self, now_ms: int) -> None:
        """End what traffic said until a time that is over."""
        for key, case in self._cases.items():
            if case.passive is not None and case.passive.until_ms <= now_ms:
                self._lift(key, case)

    def keep_only(self, keys: Collection[BackendKey]) -> None:
        """Forget all others."""
        self._cases = {key: case for key, case in self._cases.items() if key in keys}

    def forget(self, key: BackendKey) -> None:
        """Know nothing of a backend any more: it is another server now."""
        if self._cases.pop(key, None) is not None:
            self._changed(key)

    def _case(self, key: BackendKey) -> _Case:
        return self._cases.setdefault(key, _Case())

    def _lift(self, key: BackendKey, case: _Case) -> None:
        before = case.health
        case.passive = None
        self._tell(key, before, case)

    def _tell(self, key: BackendKey, before: HealthName, case: _Case) -> None:
        if case.health != before:
            self._changed(key)
