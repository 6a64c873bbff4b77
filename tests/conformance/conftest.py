"""Every row is tested in both IP versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conformance.site import Version


@pytest.fixture(params=[4, 6], ids=["ip4", "ip6"])
def version(request: pytest.FixtureRequest) -> Version:
    """Return the IP version."""
    return request.param
