from __future__ import annotations

import numpy as np
import pytest

from natlb.errors import UsageError
from natlb.simulation.forms import (
    ARRIVALS,
    BURST_STEP,
    CLIENTS,
    DURATIONS,
    read_form,
    read_trace,
    seconds_of,
    spelled,
)

DRAWS = 200_000


def drawn(text: str, forms: dict, count: int = DRAWS) -> np.ndarray:
    """Return draws of a form, from one seed."""
    return read_form("--x", text, forms)(np.random.default_rng(7), count)


@pytest.mark.parametrize(
    ("text", "mean", "tolerance"),
    [
        ("constant:2.5", 2.5, 0.0),
        ("exp:0.5", 0.5, 0.01),
        ("pareto:3:1", 1.5, 0.01),  # alpha * least / (alpha - 1)
        ("lognormal:2:0.5", 2 * np.exp(0.125), 0.01),
    ],
)
def test_durations_have_the_mean_of_their_law(text: str, mean: float, tolerance: float) -> None:
    """Within five standard errors of so many draws, or closer."""
    assert drawn(text, DURATIONS).mean() == pytest.approx(mean, rel=tolerance)


def test_pareto_has_a_least_and_its_tail() -> None:
    """The chance of more than ten times the least is ten to the power of -alpha."""
    durations = drawn("pareto:1.5:0.1", DURATIONS)

    assert durations.min() >= 0.1
    assert (durations > 1.0).mean() == pytest.approx(10**-1.5, rel=0.05)


def test_arrivals_come_at_their_rate() -> None:
    """Poisson's gaps vary as much as they last, constant ones not at all."""
    gaps = np.diff(drawn("poisson:100", ARRIVALS))
    even = np.diff(drawn("constant:100", ARRIVALS))

    assert gaps.mean() == pytest.approx(0.01, rel=0.02)
    assert gaps.std() == pytest.approx(0.01, rel=0.02)
    assert even == pytest.approx(np.full(DRAWS - 1, 0.01))


def test_a_burst_comes_at_once_and_the_next_one_later() -> None:
    """As a SYN flood, or a broadcast's viewers."""
    moments = drawn("burst:3:10", ARRIVALS, 7)
    step = BURST_STEP

    assert moments == pytest.approx([0, step, 2 * step, 10, 10 + step, 10 + 2 * step, 20])


def test_zipf_gives_the_second_client_half_of_the_first_s_calls() -> None:
    """With exponent 1; the last one calls as well."""
    clients = drawn("zipf:1:100", CLIENTS)
    calls = np.bincount(clients)

    assert calls.size == 100
    assert calls[1] / calls[0] == pytest.approx(0.5, rel=0.05)


def test_uniform_clients_are_within_their_number() -> None:
    """Zero is the first."""
    assert set(drawn("uniform:3", CLIENTS, 1000)) == {0, 1, 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("poison:1", "no form 'poison'; did you mean 'poisson'?"),
        ("xyz", "no form 'xyz'"),
        ("poisson", "it is written poisson:RATE"),
        ("poisson:1:2", "it is written poisson:RATE"),
        ("poisson:fast", "RATE 'fast' is not a number above 0"),
        ("poisson:0", "RATE '0' is not a number above 0"),
        ("poisson:nan", "RATE 'nan' is not a number above 0"),
        ("poisson:1e-300", "RATE '1e-300' is not in 1e-09..1e+09"),
    ],
)
def test_a_form_that_says_nothing_is_refused(text: str, words: str) -> None:
    """With the option, the text, and what would be right."""
    with pytest.raises(UsageError) as caught:
        read_form("--arrivals", text, ARRIVALS)

    assert caught.value.message == f"--arrivals '{text}': {words}"


@pytest.mark.parametrize("number", ["1.5", "99999999"])
def test_a_number_of_clients_is_whole_and_not_too_large(number: str) -> None:
    """There are no more addresses for them."""
    with pytest.raises(UsageError, match=r"is not in 1\.\.4194304"):
        read_form("--clients", f"uniform:{number}", CLIENTS)


def test_all_forms_are_spelled_out() -> None:
    """What `fix:` says."""
    assert spelled(CLIENTS) == "uniform:N, zipf:EXPONENT:N"


def test_a_number_without_end_is_none() -> None:
    """And what is no number."""
    assert [seconds_of(word) for word in ("1.5", "inf", "x")] == [1.5, None, None]


def test_a_trace_is_sorted_and_begins_at_zero(tmp_path) -> None:
    """A log is not always in order."""
    file = tmp_path / "trace"
    file.write_text("12.5\n10\n11\n")

    assert list(read_trace("--arrivals", str(file))) == [0.0, 1.0, 2.5]


@pytest.mark.filterwarnings("ignore:.*input contained no data")
@pytest.mark.parametrize("text", ["", "soon\n", "inf\n", None])
def test_a_trace_that_is_none_is_refused(tmp_path, text) -> None:
    """Not there, empty, no number, a number without end."""
    file = tmp_path / "trace"
    if text is not None:
        file.write_text(text)

    with pytest.raises(UsageError, match="trace"):
        read_trace("--arrivals", str(file))
