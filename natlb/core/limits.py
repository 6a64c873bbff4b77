"""Who may open a flow, and how many there may be: access lists, limits by service and client.

Asked for every new flow, so what is not configured costs a comparison. A service's limit counts
what a backend's counts, flows that are opening or established: those that both ends have closed
wait for late segments alone, and would keep others out for minutes. A client's counts the rows it
holds of the table, closing ones too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.access import judge_access
from natlb.core.layout import MARK_COUNTED
from natlb.core.sources import count_source, discount_source, flows_of_source
from natlb.core.tables import MOST_PER_SOURCE
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.reasons import ACCEPTED, SERVICE_LIMIT, SOURCE_LIMIT

if TYPE_CHECKING:
    from natlb.core.state import Core


@kernel
def judge_new_flow(core: Core, i: int, service: int) -> int:
    """Return ACCEPTED, or the reason why this packet may not begin a flow."""
    record = core.tables.services[service]
    if record["access_size"] > 0:
        verdict = judge_access(core.tables, service, core.batch.parsed[i])
        if verdict != ACCEPTED:
            return verdict
    most, count = record["max_flows"], core.counters.services[service]
    elsewhere = core.elsewhere.services[service]
    if most > 0 and count["current"] - count["closing"] + elsewhere >= most:
        return SERVICE_LIMIT
    most = core.tables.numbers[MOST_PER_SOURCE]
    if most > 0 and _flows_of_sender(core, i) >= most:
        return SOURCE_LIMIT
    return ACCEPTED


@kernel
def note_flow_opened(core: Core, row: Any) -> None:
    """Count a flow for its client."""
    if core.tables.numbers[MOST_PER_SOURCE] > 0:
        _count(core, row)


@kernel
def note_flow_ended(core: Core, row: Any) -> None:
    """Count a flow off for its client."""
    if core.tables.numbers[MOST_PER_SOURCE] > 0 and i64(row["marks"]) & MARK_COUNTED:
        _discount(core, row)


@rare_kernel
def _flows_of_sender(core: Core, i: int) -> int:
    """Return how many flows the sender of a packet has."""
    return flows_of_source(core.sources, core.flows, core.batch.parsed[i])


@rare_kernel
def _count(core: Core, row: Any) -> None:
    """Do `count_source()` where the size of the code matters."""
    count_source(core.sources, core.flows, row)


@rare_kernel
def _discount(core: Core, row: Any) -> None:
    """Do `discount_source()` where the size of the code matters."""
    discount_source(core.sources, core.flows, row)
