"""Arithmetic that can do no harm: what the operators of a user's own policy become.

Compiled, an integer has 64 bits and wraps; some operations on some values would be undefined, or
would take as long as they like. These are defined for every value, and the same interpreted:

    x // 0, x % 0    0                      x << n, x >> n    n modulo 64
    x ** y           a float, nan if none   int(nan), int(1e300), floor(inf)   0

Compiled code does the rest by itself; interpreted, `wrapped()` and `quotient()` do it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from natlb.jit import COMPILED, kernel

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST = 9.2e18  # a float beyond may be no 64-bit integer


@kernel
def spend(budget: Any) -> None:
    """Take a step off the budget of a pick; at its end, the pick ends."""
    spend_some(budget, 1)


@kernel
def spend_some(budget: Any, steps: int) -> None:
    """Take so many steps off."""
    budget[0] -= steps
    if budget[0] < 0:
        raise RuntimeError


@kernel
def floor_quotient(x: Any, y: Any) -> Any:
    """Return `x // y`, 0 where y is 0."""
    if y == 0:
        return x * 0 // 1
    if y == -1:
        return wrapped(-x // 1)
    return x // y


@kernel
def remainder(x: Any, y: Any) -> Any:
    """Return `x % y`, 0 where y is 0."""
    if y == 0:
        return x * 0 % 1
    if y == -1:
        return -(-x % 1)
    return x % y


@kernel
def divided(x: Any, y: Any) -> Any:
    """Return `divmod(x, y)`."""
    return floor_quotient(x, y), remainder(x, y)


@kernel
def shifted_left(x: int, places: int) -> int:
    """Return the lowest 64 bits of `x << places`, signed."""
    shifted: int = wrapped(x << (places & 63))
    return shifted


@kernel
def shifted_right(x: int, places: int) -> int:
    """Return `x >> places`."""
    return x >> (places & 63)


@kernel
def whole(x: Any) -> int:
    """Return `int(x)`, 0 where a 64-bit integer cannot say it."""
    if isinstance(x, int) or -LARGEST < x < LARGEST:
        return int(x)
    return 0


@kernel
def floor(x: Any) -> int:
    """Return the largest integer that is not above."""
    if isinstance(x, int):
        return int(x)
    return whole(math.floor(x)) if -LARGEST < x < LARGEST else 0


@kernel
def ceiling(x: Any) -> int:
    """Return the smallest integer that is not below."""
    if isinstance(x, int):
        return int(x)
    return whole(math.ceil(x)) if -LARGEST < x < LARGEST else 0


@kernel
def rounded(x: Any) -> int:
    """Return the nearest integer, the even one of two."""
    if isinstance(x, int):
        return int(x)
    return whole(round(float(x))) if -LARGEST < x < LARGEST else 0


@kernel
def total(values: Any, budget: Any) -> Any:
    """Return the sum of an array."""
    spend_some(budget, len(values))
    added = values[0] * 0
    for at in range(len(values)):
        added += values[at]
    return added


@kernel
def place_of_least(values: Any, budget: Any) -> int:
    """Return the position of the smallest value, the first of equals."""
    spend_some(budget, len(values))
    best = 0
    for at in range(len(values)):
        if values[at] < values[best]:
            best = at
    return best


@kernel
def place_of_most(values: Any, budget: Any) -> int:
    """Return the position of the largest value, the first of equals."""
    spend_some(budget, len(values))
    best = 0
    for at in range(len(values)):
        if values[at] > values[best]:
            best = at
    return best


@kernel
def least(values: Any, budget: Any) -> Any:
    """Return the smallest value of an array."""
    return values[place_of_least(values, budget)]


@kernel
def most(values: Any, budget: Any) -> Any:
    """Return the largest value of an array."""
    return values[place_of_most(values, budget)]


def power_of_floats(x: float, y: float) -> float:
    """Return `x ** y`."""
    return float(_quietly(np.power, float(x), float(y)))


def quotient(x: float, y: float) -> float:
    """Return `x / y` as compiled code has it: inf or nan where y is 0."""
    return float(_quietly(np.divide, float(x), float(y)))


def wrapped_value(x: Any) -> Any:
    """Return what 64 bits keep of an integer; a float as it is."""
    if isinstance(x, int):
        return (x + (1 << 63) & (1 << 64) - 1) - (1 << 63)
    return x


def number_value(x: Any) -> Any:
    """Return a number as it is; nothing else can be added, multiplied, or put into a tuple."""
    if not isinstance(x, int | float):
        message = f"{x!r:.40} is no number"
        raise TypeError(message)
    return x


def quiet(function: Callable[..., Any]) -> Callable[..., float]:
    """Return a NumPy function that says inf and nan as compiled code does, without a warning."""
    return lambda *values: float(_quietly(function, *map(float, values)))


def _quietly(function: Callable[..., Any], *values: float) -> Any:
    with np.errstate(all="ignore"):
        return function(*values)


if COMPILED:  # pragma: no cover - coverage is measured where nothing is compiled

    @kernel
    def wrapped(x: Any) -> Any:
        """Return an integer, which has 64 bits already."""
        return x

    @kernel
    def number(x: Any) -> Any:
        """Return a number as it is; what is none has no `float()`, and so does not compile."""
        float(x)
        return x

    @kernel
    def power(x: float, y: float) -> float:
        """Return `x ** y`."""
        raised: float = float(x) ** float(y)
        return raised

else:
    wrapped, power, number = wrapped_value, power_of_floats, number_value
