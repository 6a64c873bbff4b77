"""Access lists as steps: which verdict holds from which address on.

A list of prefixes becomes a sorted list of addresses, each with the verdict that holds from there
to the next: the core finds a client's by halving.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from natlb.control.compile.indices import Indices
    from natlb.control.config import Config
    from natlb.core.tables import Tables


class AccessSteps:
    """The steps of every service, one behind the other."""

    def __init__(self, config: Config) -> None:
        """Work out the steps of a configuration."""
        self._config = config
        self.steps: list[tuple[int, int]] = []

    def fill(self, tables: Tables, indices: Indices) -> None:
        """Write the steps, and where each service's lie."""
