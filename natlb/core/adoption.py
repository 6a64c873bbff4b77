"""TCP that is met in its middle: state was lost, and a backend may still know the connection.

Where the policy goes by hash, it gives a client the backend that it gave it before, as long as the
pool is the same. So a segment that is of no flow gets a row as its SYN once did (`unknown: adopt`),
and goes on; any other service's client is told by a reset, and calls again.

Nobody has shown yet that there is such a connection. Until the backend says something other than
a reset (`midstream.py`), the row is ANSWERED and marked MARK_ADOPTED: it has the timer of an
opening flow, and is the first to give way where the table is full (`pressure.py`). A flood of
forged ACKs is worth no more than one of forged SYNs.

Not adopted is what would need an address of natlb's own: nothing says which port it had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.affinity import remember
from natlb.core.choice import choose
from natlb.core.counters import account_opened
from natlb.core.flow_table import NOTHING, abandon, bind
from natlb.core.layout import ADOPT, ANSWERED, MARK_ADOPTED, PUBLIC
from natlb.core.lifetime import begin_life
from natlb.core.limits import judge_new_flow, note_flow_opened
from natlb.core.midstream import expect_anything
from natlb.core.opening import draw_random, insert_row, write_backend
from natlb.core.pressure import join_unconfirmed
from natlb.core.source_ports import needs_source
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.fields import ACK, RST, SYN
from natlb.wire.reasons import ACCEPTED, OUT_OF_STATE

if TYPE_CHECKING:
    from natlb.core.choice import Pick
    from natlb.core.state import Core


@kernel
def may_adopt(core: Core, i: int, service: int) -> bool:
    """Return whether a segment that is of no flow may get one: a client's, and of a connection."""
    if i64(core.tables.services[service]["unknown"]) != ADOPT:
        return False
    flags = i64(core.batch.parsed[i]["tcp_flags"])
    return flags & (SYN | RST | ACK) == ACK and bool(core.batch.frames[i]["way"] == PUBLIC)


@rare_kernel
def adopt_flow(core: Core, i: int, service: int, now: int, pick: Pick) -> int:
    """Give a segment's connection the backend that its SYN would get now; return its row.

    -OUT_OF_STATE where it may have none, whatever the reason: its client is to call again, and
    hears then.
    """
    if judge_new_flow(core, i, service) != ACCEPTED:
        return -OUT_OF_STATE
    backend = choose(core, i, service, draw_random(core), pick)
    if backend < 0 or needs_source(core, i, service, backend):
        return -OUT_OF_STATE
    number = insert_row(core, i, now)
    if number == NOTHING:
        return -OUT_OF_STATE
    row = core.flows.rows[number]
    begin_life(row, now)
    write_backend(core, i, number, service, backend)
    row["marks"] = MARK_ADOPTED
    expect_anything(row)
    if bind(core.flows, number, ANSWERED) != number:
        abandon(core.flows, number)
        return -OUT_OF_STATE
    join_unconfirmed(core.flows, number)
    note_flow_opened(core, row)
    account_opened(core.counters, row)
    if core.tables.services[service]["affinity_ms"]:
        remember(core, row, now, 0)
    return number
