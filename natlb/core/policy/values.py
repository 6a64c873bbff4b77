"""Arrays and answers of a program, interpreted: as strict as compiled code is with them."""

from __future__ import annotations

from typing import Any

from natlb.jit import COMPILED, kernel


class Values:
    """An array that only does what programs may do with one."""

    def __init__(self, array: Any) -> None:
        """Show this array."""
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self._array)

    def __getitem__(self, at: int) -> Any:
        return self._array[_place(at)].item()

    def __setitem__(self, at: int, value: float) -> None:
        self._array[_place(at)] = value


def _place(at: int) -> int:
    """Return a position, which only an integer is."""
    if type(at) is not int:
        message = f"{at!r} is no position: it must be an integer"
        raise TypeError(message)
    return at


def whole_answer(answer: Any) -> int:
    """Return what a program answered, which must be an integer."""
    if type(answer) is not int:
        message = f"returned {answer!r}, which is no integer"
        raise TypeError(message)
    return answer


if COMPILED:  # pragma: no cover - coverage is measured where nothing is compiled

    @kernel
    def shown(array: Any) -> Any:
        """Return an array as it is: the compiler is as strict."""
        return array

    @kernel
    def answer_of(answer: int) -> int:
        """Return a program's answer, which is an integer since it was compiled to be one."""
        return answer

else:
    shown, answer_of = Values, whole_answer
