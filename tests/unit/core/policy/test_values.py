from __future__ import annotations

import numpy as np
import pytest

from natlb.core.policy.values import Values, whole_answer


def test_values_are_pythons_own() -> None:
    """Those of NumPy wrap and warn."""
    values = Values(np.array([3, 4], np.int64))

    assert type(values[1]) is int
    assert (values[-1], len(values), values.size) == (4, 2, 2)


@pytest.mark.parametrize("place", [0.0, True, slice(0, 1)])
def test_a_position_is_an_integer(place: object) -> None:
    """As the compiler has it."""
    with pytest.raises(TypeError, match="no position"):
        Values(np.zeros(2))[place]  # type: ignore[index]


def test_state_is_written_by_position() -> None:
    """Nothing else is."""
    array = np.zeros(2)
    Values(array)[1] = 2

    assert array.tolist() == [0.0, 2.0]


@pytest.mark.parametrize("answer", [0.5, True, None])
def test_an_answer_is_an_integer(answer: object) -> None:
    """As the compiler has it."""
    with pytest.raises(TypeError, match="no integer"):
        whole_answer(answer)
