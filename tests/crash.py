"""A worker that is killed while it handles a packet, and the next that takes its tables over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.batch import start_batch
from natlb.core.flow_recovery import recover
from natlb.engine import PacketMeta
from tests.watched import watch

if TYPE_CHECKING:
    from natlb.engine import Engine, SideName


class KilledError(BaseException):
    """The worker is dead; nothing in it may catch this."""


def crash_while(engine: Engine, packet: bytes, now: float, side: SideName, store: int) -> bool:
    """Have an engine die before the given store of what a packet does to the tables, and recover.

    Returns whether it died: a packet with fewer stores is handled to its end. Interpreted only.
    """
    left = store

    def before_store() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KilledError

    whole = engine._core
    flows, counters = watch(whole.flows, before_store), watch(whole.counters, before_store)
    engine._core = whole._replace(flows=flows, counters=counters)
    try:
        engine.process(packet, now, PacketMeta(side=side))
    except KilledError:
        died = True
    else:
        died = False
    finally:
        engine._core = whole
        start_batch(engine._batch, 0)
    if died:
        recover(whole.flows, whole.counters)
    return died
