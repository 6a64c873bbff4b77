"""All columns there are, and those that are asked for."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol, TypeVar

from natlb.bench.paths import BARES, OURS
from natlb.bench.peers import PEERS
from natlb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.bench.forwarders import Forwarder


class Named(Protocol):
    """A thing with a name."""

    @property
    def name(self) -> str:
        """What it is chosen by."""


Thing = TypeVar("Thing", bound=Named)
COLUMNS: tuple[Forwarder, ...] = (*PEERS, *OURS, *BARES)


def choose(things: Sequence[Thing], words: str | None, option: str) -> list[Thing]:
    """Return those named in `a,b,c`, in their own order, or all; UsageError of one unknown."""
    if words is None:
        return list(things)
    names = [thing.name for thing in things]
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    for word in wanted:
        if word not in names:
            near = get_close_matches(word, names, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            fix = f"{option} takes names of: {', '.join(names)}"
            raise UsageError(f"{option}: there is no '{word}'{hint}", fix=fix)
    if not wanted:
        raise UsageError(f"{option}: no name is given", fix=f"of: {', '.join(names)}")
    return [thing for thing in things if thing.name in wanted]
