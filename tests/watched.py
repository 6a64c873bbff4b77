"""Arrays that say when they are about to be stored to: a worker may be killed at any of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


class Watched:
    """An array or a record, nested records included, that calls back before each store.

    Only interpreted kernels can work on it.
    """

    def __init__(self, inner: Any, before_store: Callable[[], None]) -> None:
        """Watch `inner`, which changes as if it were not watched."""
        self._inner = inner
        self._before_store = before_store

    def __getitem__(self, key: Any) -> Any:
        found = self._inner[key]
        if isinstance(found, np.void | np.ndarray):
            return Watched(found, self._before_store)
        return found

    def __setitem__(self, key: Any, value: Any) -> None:
        self._before_store()
        self._inner[key] = value

    @property
    def size(self) -> int:
        """How many items there are."""
        return int(self._inner.size)


def watch(arrays: Any, before_store: Callable[[], None]) -> Any:
    """Return a named tuple of arrays, each watched."""
    return type(arrays)(*(Watched(array, before_store) for array in arrays))


def copy_of(arrays: Any) -> Any:
    """Return a named tuple of arrays with arrays of its own."""
    return type(arrays)(*(array.copy() for array in arrays))
