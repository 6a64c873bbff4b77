from __future__ import annotations

from typing import Any

import pytest

from natlb import jit
from natlb.core.commands import step_command
from natlb.core.entry import pick_type, prepare_engine, prepare_takeover
from natlb.core.flow_recovery import recover
from natlb.core.housekeeping import keep_house
from natlb.core.intake import take_in
from natlb.core.pipeline import give_up_packet, process_batch
from tests.datapath import engine

CALLED_BY_AN_ENGINE: list[Any] = [process_batch, give_up_packet, take_in, keep_house, step_command]


def test_what_python_calls_is_compiled_once_and_for_all() -> None:
    """A second set of types would be compiled while packets wait."""
    path = engine()
    prepare_engine(path._core, path._commands)
    prepare_takeover(path._core)

    for function in [*CALLED_BY_AN_ENGINE, recover]:
        assert jit.is_compiled(function) is jit.COMPILED
        assert len(getattr(function, "signatures", [None])) == 1


def test_a_policy_has_a_type_only_where_it_is_compiled() -> None:
    """Interpreted, a function is a function."""
    assert (pick_type(engine()._core) is None) is not jit.COMPILED


@pytest.mark.skipif(jit.COMPILED, reason="compiled, it has a type")
def test_nothing_is_compiled_where_nothing_is_to_be() -> None:
    """The entries are plain functions."""
    assert all(not jit.is_compiled(function) for function in CALLED_BY_AN_ENGINE)
