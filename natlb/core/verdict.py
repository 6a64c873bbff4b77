"""What becomes of a packet: five verdicts. A refusal names its reason as well."""

from __future__ import annotations

from enum import IntEnum

from natlb.jit import kernel
from natlb.wire.reasons import DropReason

__all__ = [
    "DROP",
    "ECHO",
    "FORWARD",
    "HOLD",
    "PASS",
    "REASON_LABELS",
    "REPLY",
    "DropReason",
    "Verdict",
    "answered",
    "drop",
]


class Verdict(IntEnum):
    """A packet's fate."""

    FORWARD = 1  # rewritten, and sent on
    PASS = 2  # not ours: sent on untouched, as the host would have routed it
    REPLY = 3  # natlb's own answer goes back
    HOLD = 4  # kept aside, to be forwarded or dropped later
    DROP = 5


FORWARD = int(Verdict.FORWARD)
PASS = int(Verdict.PASS)
REPLY = int(Verdict.REPLY)
HOLD = int(Verdict.HOLD)
DROP = int(Verdict.DROP)

ECHO = 0  # an echo reply is an answer without a refusal

REASON_LABELS = {ECHO: "echo"} | {int(reason): reason.label for reason in DropReason}


@kernel
def drop(reason: int) -> int:
    """Return the outcome "dropped because"."""
    return reason << 8 | DROP


@kernel
def answered(reason: int) -> int:
    """Return the outcome "refused with an answer", or ECHO's."""
    return reason << 8 | REPLY
