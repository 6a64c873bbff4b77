"""Names of code and state: the same for the same, and no spaces, since they stand in a line."""

from natlb import __version__
from natlb.control.code import code_identity, state_version


def test_code_has_one_name() -> None:
    """The version, and a digest of what runs."""
    assert code_identity() == code_identity()
    assert code_identity().startswith(f"{__version__}+")
    assert len(code_identity().split()) == 1


def test_state_is_named_by_all_its_layouts() -> None:
    """Flow table, registry and messages."""
    assert len(state_version().split(".")) == 3
