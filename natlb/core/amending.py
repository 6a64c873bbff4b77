"""What a flow's actions change in a packet beside addresses and ports: MSS, identification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.jit import rare_kernel

if TYPE_CHECKING:
    from natlb.core.state import Core
    from natlb.wire.octets import Octets


@rare_kernel
def amend(core: Core, i: int, packet: Octets, row: Any) -> None:
    """Do what a row's actions say with a packet that was rewritten."""
