"""Destination hash: source hash's ring, looked up by what was called."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from natlb.control.policy.source_hash import compile_source_hash
from natlb.core.layout import KEY_DESTINATION, KEY_DESTINATION_PORT, KEY_SOURCE

if TYPE_CHECKING:
    from natlb.control.policy.order import Compiled, Order


def compile_destination_hash(order: Order) -> Compiled:
    """Return source hash's answer, for the address that was called, or its port too."""
    compiled = compile_source_hash(order)
    key = KEY_DESTINATION if compiled.key == KEY_SOURCE else KEY_DESTINATION_PORT
    return replace(compiled, key=key)
