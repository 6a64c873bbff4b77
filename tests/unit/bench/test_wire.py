"""A stand's wires."""

from __future__ import annotations

import pytest

from natlb.bench.results import MeasureError
from natlb.bench.wire import make_sums, received_by


def test_what_an_interface_received_is_counted() -> None:
    """The loopback interface is everywhere."""
    assert received_by("lo") >= 0
    with pytest.raises(MeasureError, match="no interface nlbb0"):
        received_by("nlbb0")


def test_offload_that_cannot_be_turned_off_is_a_failure() -> None:
    """Figures with half-made checksums would be of packets that are dropped."""
    with pytest.raises(MeasureError, match="checksum offload of nlbb0 stays on"):
        make_sums("nlbb0")
