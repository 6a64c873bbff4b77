"""How many errors and resets of its own natlb sends: a token bucket (RFC 1812 section 4.3.2.8).

What is kept is the debt: how much was sent ahead of the rate, in thousandths of an error. A new
table owes nothing, so its first errors need no token that somebody would have had to put there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.batch import NOW
from natlb.core.layout import ERROR_DEBT, ERROR_MS
from natlb.core.steering import share_of
from natlb.core.tables import ERROR_RATE
from natlb.jit import i64, rare_kernel

if TYPE_CHECKING:
    from natlb.core.state import Core

BURST = 50  # errors at once; of a smaller rate, a second's worth
COST = 1000  # of an error, in thousandths: a rate a second is as many of them a millisecond
LONGEST_MS = BURST * COST  # in which any debt is paid, be it at one error a second


@rare_kernel
def may_send_error(core: Core) -> bool:
    """Return whether one more error may be sent now, and count it.

    In any second at most the rate and the burst together are sent, whoever asks for them. Each of
    several workers has its share of both.
    """
    meta, now = core.flows.meta, core.batch.numbers[NOW]
    rate = share_of(meta, i64(core.tables.numbers[ERROR_RATE]))
    most = min(share_of(meta, BURST), rate) * COST
    elapsed = max(0, now - meta[ERROR_MS])
    debt = max(0, meta[ERROR_DEBT] - min(elapsed, LONGEST_MS) * rate)
    meta[ERROR_MS] = now
    is_allowed = debt + COST <= most
    meta[ERROR_DEBT] = debt + COST if is_allowed else debt
    return bool(is_allowed)
