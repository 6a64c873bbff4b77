"""Two queues and something to wake by, closed in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.io.queues import FakeQueue, Wake

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def public() -> Iterator[FakeQueue]:
    """Return the public side's queue."""
    queue = FakeQueue()
    yield queue
    queue.close()


@pytest.fixture
def private() -> Iterator[FakeQueue]:
    """Return the private side's queue."""
    queue = FakeQueue()
    yield queue
    queue.close()


@pytest.fixture
def wake() -> Iterator[Wake]:
    """Return an fd that nobody has called yet."""
    made = Wake()
    yield made
    made.close()
