"""Parameters of a policy as its compiling half reads them, each with its default.

The configuration has checked them: what is of the wrong kind here is a mistake of natlb's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.core.layout import KEY_SOURCE, KEY_SOURCE_PORT

if TYPE_CHECKING:
    from natlb.control.policy.order import Order

ADDRESS = "address"
ADDRESS_PORT = "address-port"


def whole_number(order: Order, name: str, default: int) -> int:
    """Return a parameter that is a whole number."""
    value = order.parameters.get(name, default)
    assert isinstance(value, int)
    return value


def thousandths(order: Order, name: str, default: float) -> int:
    """Return a parameter that is a fraction, in thousandths."""
    value = order.parameters.get(name, default)
    assert isinstance(value, float | int)
    return round(1000 * value)


def hashed_key(order: Order, default: str) -> int:
    """Return what of the client is hashed: its address, or its port too."""
    return KEY_SOURCE_PORT if order.parameters.get("key", default) == ADDRESS_PORT else KEY_SOURCE
