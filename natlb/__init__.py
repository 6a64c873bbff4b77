"""natlb: a load balancer that works on packets, in user space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from natlb.engine import DropReason, Engine, PacketMeta, Result, Verdict

__version__ = "0.1.0"
__all__ = ["DropReason", "Engine", "PacketMeta", "Result", "Verdict", "__version__"]


def __getattr__(name: str) -> Any:
    """Load the engine at its first use, so that `natlb status` starts without NumPy."""
    if name not in __all__:
        message = f"module 'natlb' has no attribute {name!r}"
        raise AttributeError(message)
    from natlb import engine  # noqa: PLC0415 - that is what this function is for

    return getattr(engine, name)
