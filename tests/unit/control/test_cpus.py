"""Lists of CPUs."""

from __future__ import annotations

import os

import pytest

from natlb.control.cpus import parse_cpus, require_cpus, words_of
from natlb.errors import HostError, UsageError


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0", (0,)), ("0,2-3", (0, 2, 3)), ("3,1", (3, 1)), ("0-1, 1-2", (0, 1, 2))],
)
def test_a_list_is_read_in_its_order_each_once(text: str, cpus: tuple[int, ...]) -> None:
    """As taskset(1) writes them."""
    assert parse_cpus(text) == cpus


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "3-1", "0,,1", "4096", "0-9999", "1;2"])
def test_what_is_no_list_is_refused(text: str) -> None:
    """With one that is."""
    with pytest.raises(UsageError, match="neither a CPU nor a range") as caught:
        parse_cpus(text)

    assert caught.value.fix == "natlb run --cpus 0,2-3 -c FILE"


def test_cpus_that_are_not_to_be_had_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container has some of the machine's."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5, 7, 8})
    require_cpus((0, 7))
    with pytest.raises(HostError, match="CPU 3, and natlb may run on 0-2,5,7-8"):
        require_cpus((0, 3))


def test_a_list_is_written_as_it_is_read() -> None:
    """Ranges where there are any."""
    assert words_of({4, 0, 1}) == "0-1,4"
    assert parse_cpus(words_of({4, 0, 1})) == (0, 1, 4)
