"""How a workload is written: a form's name and its numbers, `pareto:1.5:0.1`.

Each form turns seeded chance and a count into so many numbers: moments, durations, clients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from natlb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

MOST_CLIENTS = 1 << 22
"""They are numbered in 100.64.0.0/10, which has so many addresses."""
LEAST_NUMBER, MOST_NUMBER = 1e-9, 1e9
"""What rates and times may be: beyond, a simulation is an instant or takes centuries."""
BURST_STEP = 10e-6
"""Seconds between two flows of a burst: a line of 1 Gbit/s carries a SYN in less."""


@dataclass(frozen=True, slots=True)
class Form:
    """A way to draw numbers; `names` are its parameters, as the help spells them."""

    names: tuple[str, ...]
    draw: Callable[..., NDArray[np.generic]]

    def spelled(self, name: str) -> str:
        """Return how the form is written."""
        return ":".join((name, *self.names))


@dataclass(frozen=True, slots=True)
class Drawn:
    """A form with its numbers."""

    form: Form
    numbers: tuple[float, ...]

    def __call__(self, chance: np.random.Generator, count: int) -> NDArray[np.generic]:
        """Return so many draws."""
        return self.form.draw(chance, count, *self.numbers)


def _poisson(chance: np.random.Generator, count: int, rate: float) -> Floats:
    return np.cumsum(chance.exponential(1.0 / rate, count))


def _evenly(_chance: np.random.Generator, count: int, rate: float) -> Floats:
    return np.arange(1, count + 1) / rate


def _bursts(_chance: np.random.Generator, count: int, size: float, every: float) -> Floats:
    """Return bursts of `size`, every so many seconds, each as dense as `BURST_STEP`."""
    burst, within = np.divmod(np.arange(count), max(1, int(size)))
    moments: Floats = burst * every + within * BURST_STEP
    return np.sort(moments)


def _always(_chance: np.random.Generator, count: int, seconds: float) -> Floats:
    return np.full(count, seconds)


def _exponential(chance: np.random.Generator, count: int, mean: float) -> Floats:
    return chance.exponential(mean, count)


def _pareto(chance: np.random.Generator, count: int, alpha: float, least: float) -> Floats:
    """Return durations of Pareto's distribution; with `alpha` 1 or less it has no mean."""
    durations: Floats = least * (1.0 + chance.pareto(alpha, count))
    return durations


def _lognormal(chance: np.random.Generator, count: int, median: float, sigma: float) -> Floats:
    return chance.lognormal(math.log(median), sigma, count)


def _uniform(chance: np.random.Generator, count: int, clients: float) -> Integers:
    return chance.integers(0, int(clients), count)


def _zipf(chance: np.random.Generator, count: int, exponent: float, clients: float) -> Integers:
    """Return clients of whom the k-th calls k^-exponent times as often as the first."""
    often = np.cumsum(np.arange(1, int(clients) + 1, dtype=np.float64) ** -exponent)
    drawn: Integers = np.searchsorted(often, chance.random(count) * often[-1], side="right")
    return drawn


ARRIVALS = {
    "poisson": Form(("RATE",), _poisson),
    "constant": Form(("RATE",), _evenly),
    "burst": Form(("SIZE", "EVERY"), _bursts),
}
DURATIONS = {
    "constant": Form(("SECONDS",), _always),
    "exp": Form(("MEAN",), _exponential),
    "pareto": Form(("ALPHA", "MIN"), _pareto),
    "lognormal": Form(("MEDIAN", "SIGMA"), _lognormal),
}
CLIENTS = {
    "uniform": Form(("N",), _uniform),
    "zipf": Form(("EXPONENT", "N"), _zipf),
}


def spelled(forms: Mapping[str, Form]) -> str:
    """Return all ways to write it."""
    return ", ".join(form.spelled(name) for name, form in forms.items())


def read_form(option: str, text: str, forms: Mapping[str, Form]) -> Drawn:
    """Return what a text says; `option` is named where it says nothing. Raises UsageError."""
    name, *words = text.split(":")
    form = forms.get(name)
    if form is None:
        near = get_close_matches(name, forms, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise UsageError(f"{option} '{text}': no form '{name}'{hint}", fix=spelled(forms))
    if len(words) != len(form.names):
        raise UsageError(f"{option} '{text}': it is written {form.spelled(name)}")
    numbers = tuple(_number(option, text, *pair) for pair in zip(form.names, words, strict=True))
    return Drawn(form, numbers)


def _number(option: str, text: str, name: str, word: str) -> float:
    """Return one of a form's numbers: above 0, neither tiny nor huge; a count is whole."""
    number = seconds_of(word)
    if number is None or number <= 0:
        raise UsageError(f"{option} '{text}': {name} '{word}' is not a number above 0")
    if not LEAST_NUMBER <= number <= MOST_NUMBER:
        span = f"{LEAST_NUMBER:g}..{MOST_NUMBER:g}"
        raise UsageError(f"{option} '{text}': {name} '{word}' is not in {span}")
    if name == "N" and (number != int(number) or number > MOST_CLIENTS):
        raise UsageError(f"{option} '{text}': {name} '{word}' is not in 1..{MOST_CLIENTS}")
    return number


def seconds_of(word: str) -> float | None:
    """Return a finite number, or None where a word is none."""
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_trace(option: str, place: str) -> Floats:
    """Return the moments in a file, a number of seconds a line, from the first on."""
    try:
        moments = np.sort(np.loadtxt(Path(place), dtype=np.float64, ndmin=1))
    except (OSError, ValueError) as error:
        raise UsageError(f"{option} 'trace:{place}': {error}") from None
    if moments.size == 0 or not np.isfinite(moments).all():
        raise UsageError(f"{option} 'trace:{place}': there is no moment in it, or one without end")
    first: Floats = moments - moments[0]
    return first
