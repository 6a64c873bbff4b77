from __future__ import annotations

import pytest

from natlb.control.compile import Indices
from natlb.control.compile.requests import check_filter, flush_commands
from natlb.core.layout import ANY, COMMAND, ESTABLISHED, FLUSH, HALF_ORIGINAL, HALF_REPLY
from natlb.errors import UnknownNameError, UsageError
from natlb.model import FlowFilter

INDICES = Indices(
    services={"web": 3, "dns": 4},
    backends={("web", "b1"): 5, ("web", "b2"): 6, ("dns", "b1"): 7},
)


def test_a_filter_of_nothing_means_everything() -> None:
    """One command."""
    (command,) = flush_commands(INDICES, FlowFilter(), reset=True)

    assert command.dtype == COMMAND
    assert (command["kind"], command["reset"], command["prefix"]) == (FLUSH, 1, 0)
    for field in ("service", "backend", "state", "protocol"):
        assert command[field] == ANY
    for field in ("position", "flushed", "resets", "done"):
        assert command[field] == 0


def test_names_become_numbers() -> None:
    """Every field of a filter."""
    wanted = FlowFilter(
        service="web",
        backend="b2",
        client="198.51.100.0/24",
        state="established",
        protocol="udp",
    )
    (command,) = flush_commands(INDICES, wanted, reset=False)

    assert (command["service"], command["backend"], command["reset"]) == (3, 6, 0)
    states = ESTABLISHED, HALF_ORIGINAL, HALF_REPLY
    assert (command["state"], command["protocol"]) == (sum(1 << each for each in states), 17)
    assert command["prefix"] == 96 + 24
    lanes = [int(command[f"client{lane}"]) for lane in range(4)]
    assert lanes == [0, 0, 0xFFFF, 0xC6336400]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (FlowFilter(backend="b1"), [5, 7]),
        (FlowFilter(service="dns", backend="b1"), [7]),
        (FlowFilter(backend="b2"), [6]),
    ],
)
def test_a_name_that_several_services_have_means_all_of_them(
    wanted: FlowFilter, numbers: list[int]
) -> None:
    """A command for each."""
    assert [
        command["backend"] for command in flush_commands(INDICES, wanted, reset=False)
    ] == numbers


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        (FlowFilter(service="wbe"), UnknownNameError, "no service 'wbe'; there are dns, web"),
        (FlowFilter(backend="b9"), UnknownNameError, "no backend 'b9'; there are b1, b2"),
        (FlowFilter(service="dns", backend="b2"), UnknownNameError, "there are b1"),
        (FlowFilter(state="open"), UsageError, "no state 'open'; there are closing, established"),
        (FlowFilter(protocol="sctp"), UsageError, "there are tcp, udp"),
        (FlowFilter(client="web"), UsageError, "neither an address nor a prefix"),
        (FlowFilter(client="198.51.100.2/33"), UsageError, "neither an address nor a prefix"),
    ],
)
def test_what_can_name_nothing_is_an_error(
    wanted: FlowFilter, error: type[Exception], words: str
) -> None:
    """Beside what there is, so that the next try is right."""
    with pytest.raises(error, match=words):
        check_filter(INDICES, wanted)
    with pytest.raises(error, match=words):
        flush_commands(INDICES, wanted, reset=False)
