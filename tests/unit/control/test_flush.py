"""The ring of commands, from its giver's side."""

import pytest

from natlb.control.compile import Indices
from natlb.control.compile.requests import flush_commands
from natlb.control.flush import give, outcome
from natlb.core.commands import GIVEN, TAKEN
from natlb.core.layout import RING
from natlb.core.memory import Kind, make
from natlb.errors import BusyError
from natlb.model import FlowFilter, Flush

INDICES = Indices(services={"web": 4}, backends={("web", "b1"): 9})


def test_a_command_stands_in_the_ring_as_it_was_meant() -> None:
    """And its results are read where the worker writes them."""
    ring = make(Kind.COMMANDS)
    (command,) = flush_commands(INDICES, FlowFilter(service="web", backend="b1"), reset=True)
    number = give(ring, command)

    assert (number, ring.counts[GIVEN]) == (0, 1)
    assert (ring.ring[0]["service"], ring.ring[0]["backend"], ring.ring[0]["reset"]) == (4, 9, 1)
    assert outcome(ring, number) is None
    ring.ring[0]["flushed"], ring.ring[0]["resets"], ring.counts[TAKEN] = 5, 10, 1
    assert outcome(ring, number) == Flush(flushed=5, resets=10)


def test_a_place_is_used_again_only_when_its_command_is_done() -> None:
    """A worker that hangs must not have commands written over."""
    ring = make(Kind.COMMANDS)
    (command,) = flush_commands(INDICES, FlowFilter(), reset=False)
    for _ in range(RING):
        give(ring, command)
    with pytest.raises(BusyError, match=f"{RING} commands"):
        give(ring, command)
    ring.ring[0]["flushed"] = 99
    ring.counts[TAKEN] = 1

    assert give(ring, command) == RING
    assert ring.ring[0]["flushed"] == 0
