"""The exceptions against the table of exit codes that scripts rely on."""

from __future__ import annotations

import pytest

from natlb import errors


@pytest.mark.parametrize(
    ("error", "exit_code", "code"),
    [
        (errors.NatlbError, 70, "internal"),
        (errors.UsageError, 2, "usage"),
        (errors.UnknownNameError, 64, "unknown-name"),
        (errors.ConfigError, 65, "config"),
        (errors.UnavailableError, 69, "unavailable"),
        (errors.BusyError, 75, "busy"),
        (errors.ChangedError, 75, "changed"),
        (errors.DeniedError, 77, "denied"),
        (errors.HostError, 78, "host"),
        (errors.WaitTimeoutError, 124, "timeout"),
    ],
)
def test_each_error_has_the_exit_code_and_the_word_that_are_promised(
    error: type[errors.NatlbError], exit_code: int, code: str
) -> None:
    """Scripts tell causes apart by these alone."""
    assert (error.exit_code, error.code) == (exit_code, code)


def test_an_error_says_what_and_how_to_mend_it() -> None:
    """Both halves are printed, so both are kept apart."""
    error = errors.ConfigError("natlb.yaml:4:5: unknown key 'polcy'", fix="write 'policy'")

    assert str(error) == error.message == "natlb.yaml:4:5: unknown key 'polcy'"
    assert error.fix == "write 'policy'"


def test_an_error_without_a_remedy_says_none() -> None:
    """No fix is better than a made-up one."""
    assert errors.BusyError("locked by process 12").fix is None
