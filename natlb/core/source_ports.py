"""Full NAT: an address and port of natlb's own in place of the client's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.flow_table import CONFLICT
from natlb.jit import rare_kernel

if TYPE_CHECKING:
    from natlb.core.state import Core


@rare_kernel
def needs_source(core: Core, i: int, service: int, backend: int) -> bool:
    """Return whether a flow needs an address of natlb's own to reach this backend."""
    return False


@rare_kernel
def bind_with_source(core: Core, i: int, number: int, service: int, backend: int) -> int:
    """Bind a row with a source of natlb's own, and return what `bind()` says of it."""
    return CONFLICT
