"""What may be said between the processes."""

from __future__ import annotations

import pytest

from natlb.control.messages import KINDS, Message, Told


def test_kinds_have_numbers_of_their_own() -> None:
    """A number used twice would hide a kind."""
    assert len(KINDS) == len(Message.__subclasses__())
    assert 0 not in KINDS


@pytest.mark.parametrize("words", [{}, {"what": "rule 100, rule 101"}, {"a": "", "b": "x=y\nz"}])
def test_a_fact_comes_out_as_it_went_in(words: dict[str, str]) -> None:
    """Whatever an error says stands in one of its fields."""
    told = Told.of("host_repaired", "warning", words)

    assert told.fact == ("host_repaired", words)
    assert told.level == 30


def test_a_nul_makes_no_field_of_its_own() -> None:
    """It is what stands between fields."""
    assert Told.of("a", "info", {"b": "c\0d"}).fact == ("a", {"b": "cd"})
