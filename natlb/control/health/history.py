"""The last results of each backend's checks, and since when its health is what it is."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from natlb.control.health.arbiter import BackendKey
    from natlb.model import CheckResult

MOST_RESULTS = 10


class Histories:
    """What was found, by backend."""

    def __init__(self) -> None:
        """Know nothing."""
        self._results: dict[BackendKey, deque[CheckResult]] = {}
        self._since: dict[BackendKey, str] = {}

    def note(self, key: BackendKey, result: CheckResult) -> None:
        """Keep a result, and the nine before it."""
        self._results.setdefault(key, deque(maxlen=MOST_RESULTS)).appendleft(result)

    def note_health(self, key: BackendKey, at: str) -> None:
        """Keep when health changed last."""
        self._since[key] = at

    def results(self, key: BackendKey) -> list[CheckResult]:
        """Return what was found, the youngest first."""
        return list(self._results.get(key, ()))

    def since(self, key: BackendKey) -> str | None:
        """Return when health changed last, if it was seen to."""
        return self._since.get(key)

    def last(self) -> dict[BackendKey, CheckResult]:
        """Return the youngest result of each backend that has some."""
        return {key: results[0] for key, results in self._results.items()}

    def keep_only(self, keys: Collection[BackendKey]) -> None:
        """Forget all others."""
        for kept in (self._results, self._since):
            for key in kept.keys() - set(keys):
                del kept[key]

    def forget_results(self, key: BackendKey) -> None:
        """Know nothing of a backend that is another server now, or is asked no more."""
        self._results.pop(key, None)
