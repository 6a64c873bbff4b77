"""Errors between processes."""

import pytest

from natlb.control.failure import error_from, error_text, explain
from natlb.errors import ConfigError, NatlbError


def test_an_error_keeps_its_class_message_and_fix_on_its_way() -> None:
    """The supervisor exits as if it had met the error itself."""
    error = ConfigError("natlb.yaml:4:5: unknown key\n  three lines", fix="natlb validate")
    arrived = error_from(error.exit_code, error_text(error))

    assert type(arrived) is ConfigError
    assert (arrived.message, arrived.fix) == (error.message, error.fix)


def test_an_error_without_a_fix_has_none_afterwards() -> None:
    """An empty fix line helps nobody."""
    assert error_from(65, error_text(ConfigError("what"))).fix is None


def test_an_exit_code_that_is_none_of_ours_is_a_bug() -> None:
    """A child may be killed, or worse."""
    assert type(error_from(999, "what")) is NatlbError


def test_an_exception_of_ours_that_nobody_explained_names_its_place() -> None:
    """Exit code 70 tells where to look."""
    with pytest.raises(ValueError, match="invalid literal") as raised:
        int("x")
    explained = explain(raised.value)

    assert explained.exit_code == 70
    assert "ValueError" in explained.message
    assert "test_failure.py:" in explained.message
    assert explain(explained) is explained
