"""Names of code and state: the same for the same, and no spaces, since they stand in a line."""

import subprocess
import sys

from natlb import __version__
from natlb.control.code import code_identity, layout_version, state_version
from natlb.core.layout import LAYOUT_VERSION


def test_code_has_one_name() -> None:
    """The version, and a digest of what runs."""
    assert code_identity() == code_identity()
    assert code_identity().startswith(f"{__version__}+")
    assert len(code_identity().split()) == 1


def test_state_is_named_by_all_its_layouts() -> None:
    """Flow table, registry and messages."""
    assert len(state_version().split(".")) == 3


def test_the_layout_is_read_without_numpy() -> None:
    """Which a supervisor has no other use for, and a start waits for its import."""
    code = (
        "import sys, natlb.control.supervisor as kept\n"
        "kept.state_version(), print('numpy' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout == "False\n"
    assert layout_version() == LAYOUT_VERSION
