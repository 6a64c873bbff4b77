"""What traffic says against a backend: openings that fail, and none that succeeds.

    suspected   openings fail                               nothing is done
    down        enough of them, and none was answered       no new flows, for as long as the inhibit
    on trial    the inhibit is over                         flows again: the first answer acquits it

An inhibit lasts five seconds, and twice as long each time that a trial fails, up to an hour. One
answered opening ends all of it, the inhibit's length too. Times are milliseconds of the flow
table's clock.

Whoever can send packets can make openings fail, on purpose and under any address, by segments that
a server drops in silence. So (docs/decisions/0041-evidence-from-the-wire.md):

- An opening counts only if the backend has answered none that was made after it. Of a backend that
  serves anybody, nothing that others do makes a suspect.
- It takes more failures where all are of one client.
- Traffic takes no backend away that would leave less than half of its pool.
- What ICMP says makes no difference but to the words in which it is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from natlb.control.desired import BackendKey

Kind = Literal["unanswered", "reset", "unreplied"]

ENOUGH = 3  # openings that failed, of two clients or more
CLIENTS = 2
ENOUGH_OF_ONE = 4  # where they are all of one client; and so many are remembered
WINDOW_MS = 30_000  # that they lie in: a lone client tries one after the other
FIRST_INHIBIT_MS = 5_000
MOST_INHIBIT_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Failure:
    """An opening that failed: of which client, made and told when."""

    client: object
    kind: Kind
    opened_ms: int
    told_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a suspect otherwise.

    `answered_ms` is when it last answered an opening, 0 for never; `is_held`, whether what was
    said against it still holds; `is_spare`, whether its pool can do without it.
    """

    answered_ms: int
    is_held: bool
    is_spare: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """A backend that is to get no new flows until then, and why; or that is acquitted."""

    key: BackendKey
    down: bool
    why: str = ""
    until_ms: int = 0


@dataclass(slots=True)
class _Suspect:
    """What is remembered of a backend whose openings fail."""

    failures: list[Failure] = field(default_factory=list)
    inhibit_ms: int = 0  # of its last verdict; 0: there was none
    judged_ms: int = 0
    until_ms: int = 0
    hint: str = ""


class PassiveJudge:
    """Judges all backends by what is told of their openings."""

    def __init__(self) -> None:
        """Suspect nobody."""
        self._suspects: dict[BackendKey, _Suspect] = {}

    @property
    def suspects(self) -> list[BackendKey]:
        """Who is remembered at the moment."""
        return list(self._suspects)

    def hear(self, key: BackendKey, failure: Failure) -> None:
        """Remember an opening that failed; the oldest is forgotten for it."""
        suspect = self._suspects.setdefault(key, _Suspect())
        suspect.failures = [*suspect.failures, failure][-ENOUGH_OF_ONE:]

    def hint(self, key: BackendKey, words: str) -> None:
        """Remember what was said of a suspect by others."""
        if key in self._suspects:
            self._suspects[key].hint = words

    def judge(
        self, now_ms: int, look: Callable[[BackendKey], Standing | None]
    ) -> Iterator[Verdict]:
        """Yield what is to be done now; each is to be done before the next is asked for.

        `look` says how somebody stands at that moment, None where he is not to be judged.
        """
        for key, suspect in list(self._suspects.items()):
            standing = look(key)
            if standing is None or _is_forgotten(suspect, now_ms):
                del self._suspects[key]
            elif suspect.inhibit_ms and standing.answered_ms > suspect.judged_ms:
                del self._suspects[key]
                if standing.is_held:
                    yield Verdict(key, down=False)
            elif standing.is_held and now_ms < suspect.until_ms:
                suspect.failures.clear()  # nobody is sent there but by other rules
            else:
                yield from self._try(key, suspect, standing, now_ms)

    def _try(
        self, key: BackendKey, suspect: _Suspect, standing: Standing, now_ms: int
    ) -> Iterator[Verdict]:
        """Yield a verdict where there is enough for one."""
        suspect.failures = [
            each
            for each in suspect.failures
            if each.opened_ms > max(standing.answered_ms, suspect.judged_ms)
            and each.told_ms > now_ms - WINDOW_MS
        ]
        if not _is_enough(suspect.failures) or not standing.is_spare:
            return
        inhibit = min(MOST_INHIBIT_MS, suspect.inhibit_ms * 2 or FIRST_INHIBIT_MS)
        why = _words(suspect)
        suspect.inhibit_ms, suspect.judged_ms = inhibit, now_ms
        suspect.until_ms = now_ms + inhibit
        suspect.failures, suspect.hint = [], ""
        yield Verdict(key, down=True, why=why, until_ms=suspect.until_ms)


def _is_forgotten(suspect: _Suspect, now_ms: int) -> bool:
    """Return whether a suspect has nothing against it any more, its last verdict included."""
    last = max((each.told_ms for each in suspect.failures), default=suspect.until_ms)
    return now_ms > max(last, suspect.until_ms) + WINDOW_MS + suspect.inhibit_ms


def _is_enough(failures: list[Failure]) -> bool:
    """Return whether so many openings make a verdict."""
    clients = {each.client for each in failures}
    return len(failures) >= (ENOUGH if len(clients) >= CLIENTS else ENOUGH_OF_ONE)


def _words(suspect: _Suspect) -> str:
    """Return what failed, and how often."""
    kinds = [each.kind for each in suspect.failures]
    counts = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
    words = f"openings: {', '.join(counts)}; none answered"
    return f"{words}; {suspect.hint}" if suspect.hint else words
