"""What the compiling half of a policy is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from natlb.core.layout import KEY_SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from natlb.control.policy.member import Member

Memory: TypeAlias = "Mapping[str, list[str]]"
"""What a policy has to know of its earlier pools, as JSON can hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The backends that take new flows, in the order of the configuration, and how to choose.

    `parameters` are the configuration's, checked, each with its default where it was left out.
    `memory` is what was answered last for this service and policy.
    """

    members: list[Member]
    seed: int = 0
    parameters: Mapping[str, object] = field(default_factory=dict)
    memory: Memory = field(default_factory=dict)


def _no_ring() -> NDArray[np.int32]:
    return np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What `pick()` reads: a ring of the policy's own, and at most four numbers.

    `key` says what the spread hash is of.
    """

    ring: NDArray[np.int32] = field(default_factory=_no_ring)
    key: int = KEY_SOURCE
    parameters: tuple[int, ...] = ()
    memory: Memory = field(default_factory=dict)


Compiler: TypeAlias = "Callable[[Order], Compiled]"


def compile_nothing(order: Order) -> Compiled:  # noqa: ARG001 - as every policy's
    """Return nothing beside the pool: for policies that read loads, weights and turns as they are.

    The pool is in the order of the configuration, and has only backends that take new flows.
    """
    return Compiled()
