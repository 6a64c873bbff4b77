"""Steps made on the host, and taken back: the only place where natlb changes a host's network."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from natlb.control.host.hands import Hands
from natlb.errors import HostError, NatlbError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from natlb.control.host.journal import Entry, Journal
    from natlb.control.host.operation import Operation
    from natlb.control.host.operations import Step
    from natlb.control.host.tun import Tun


def apply(
    steps: Sequence[Step], journal: Journal, steering: Mapping[str, int] | None = None
) -> dict[str, Tun]:
    """Make these steps; return the queues of the TUN devices that were made, by name.

    All or nothing: where the host refuses a step, those before it are taken back and the refusal
    is raised. The caller owns the queues. `steering` are programs that choose a queue, by device.
    """
    with Hands(steering) as hands:
        done: list[Operation] = []
        known = {entry.operation for entry in journal.entries()}
        try:
            for step in steps:
                if step.verb == "do":
                    _do(step.operation, hands, journal, known)
                    done.append(step.operation)
                else:
                    _take_back([step.operation], hands, journal)
        except BaseException:
            with contextlib.suppress(NatlbError):  # the first refusal is the one to report
                _take_back(reversed(done), hands, journal)
            for queue in hands.queues.values():
                queue.close()
            raise
        return hands.queues


def undo(journal: Journal) -> list[Operation]:
    """Put the host back as it was before the journal's first line; return what was taken back.

    Goes on past what the host refuses, so that one failure leaves nothing else behind; raises the
    first refusal at the end, and then keeps the journal, so that it can be tried again.
    """
    entries = journal.entries()
    with Hands() as hands:
        _undo(reversed(entries), hands, journal)
    journal.clear()
    return [entry.operation for entry in entries]


def mend(operations: Sequence[Operation], journal: Journal) -> dict[Operation, NatlbError]:
    """Make again what others have taken away; return what the host refuses, and why.

    Each by itself: one that is refused keeps none of the others out.
    """
    refused: dict[Operation, NatlbError] = {}
    known = {entry.operation for entry in journal.entries()}
    with Hands() as hands:
        for operation in operations:
            try:
                if operation not in known:
                    journal.about_to_do(operation, operation.before(hands))
                operation.mend(hands)
            except NatlbError as error:
                refused[operation] = error
    return refused


def _do(operation: Operation, hands: Hands, journal: Journal, known: set[Operation]) -> None:
    # What the journal has already is made anew: what was before the first time is what counts.
    if operation not in known:
        journal.about_to_do(operation, operation.before(hands))
    try:
        operation.do(hands)
    except NatlbError:
        # Refused means not done, and undoing it could take away what another made alike.
        journal.undone(operation)
        raise


def _take_back(operations: Iterable[Operation], hands: Hands, journal: Journal) -> None:
    entries = journal.entries()
    chosen = [
        next((entry for entry in reversed(entries) if entry.operation == operation), None)
        for operation in operations
    ]
    _undo((entry for entry in chosen if entry is not None), hands, journal)


def _undo(entries: Iterable[Entry], hands: Hands, journal: Journal) -> None:
    refused: list[NatlbError] = []
    for entry in entries:
        try:
            if hands.exists(entry.operation.netns):
                entry.operation.undo(hands, entry.before)
        except NatlbError as error:
            refused.append(error)
        else:
            journal.undone(entry.operation)
    if refused:
        raise HostError(
            f"{len(refused)} changes of the host could not be taken back; the first: {refused[0]}",
            fix="natlb cleanup",
        )
