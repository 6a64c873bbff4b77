"""What a worker is given says what it is."""

from __future__ import annotations

from natlb.core.layout import PRIVATE
from natlb.io.ports import Port, PortKind


def test_a_field_that_its_kind_does_not_have_is_said_so() -> None:
    """A TUN queue has a side and an fd, and nothing else."""
    assert Port(PortKind.TUN, PRIVATE, 7) == (1, 1, 7, -1, -1, -1)
