"""What was counted of choices: how often a shadow differs, and how often a program was at a loss.

Each only where it is configured: documents of services without them do not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.layout import (
    CHOICES,
    POLICY_WORDS,
    WORD_COMPARED,
    WORD_DIFFERED,
    WORD_FALLBACKS,
)
from natlb.model import Shadow, SpreadCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from natlb.control.compile.indices import Indices
    from natlb.control.config.values import ServiceConfig
    from natlb.core.counters import Counters

PROGRAM = "python"  # the policy that is a user's own


def shadow_of(
    service: ServiceConfig, indices: Indices, counters: Sequence[Counters]
) -> Shadow | None:
    """Return how a service's shadow compares with its policy, None where there is no shadow.

    Compared are flows that the policy chose for: affinity leaves nothing to choose.
    """
    if service.shadow is None:
        return None
    choice = CHOICES * indices.services[service.name] + 1
    spread = {}
    for backend in service.backends:
        notes = [each.notes[indices.backends[service.name, backend.name]] for each in counters]
        spread[backend.name] = SpreadCounts(
            policy=sum(int(note["compared"]) for note in notes),
            shadow=sum(int(note["shadow"]) for note in notes),
        )
    return Shadow(
        policy=service.shadow.name,
        compared=_word(counters, choice, WORD_COMPARED),
        differed=_word(counters, choice, WORD_DIFFERED),
        spread=spread,
    )


def fallbacks_of(
    service: ServiceConfig, indices: Indices, counters: Sequence[Counters]
) -> int | None:
    """Return how often a policy or shadow of the user's own could not be used, or None."""
    names = [each.name for each in (service.policy, service.shadow) if each is not None]
    if PROGRAM not in names:
        return None
    first = CHOICES * indices.services[service.name]
    return sum(_word(counters, choice, WORD_FALLBACKS) for choice in (first, first + 1))


def _word(counters: Sequence[Counters], choice: int, word: int) -> int:
    return sum(int(each.policy[choice * POLICY_WORDS + word]) for each in counters)
