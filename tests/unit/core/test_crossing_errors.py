from __future__ import annotations

from natlb.core.crossing_errors import cross_error
from natlb.core.verdict import drop
from natlb.wire.reasons import UNSUPPORTED
from tests.kernels import needs_plain_kernels

needs_plain_kernels()


def test_an_error_of_a_flow_between_versions_is_not_carried() -> None:
    """It would need a quote of the other version."""
    assert cross_error(None, 0, None, 0, 0) == drop(UNSUPPORTED)  # type: ignore[arg-type]
