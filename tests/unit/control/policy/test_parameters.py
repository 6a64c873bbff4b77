from __future__ import annotations

import pytest

from natlb.control.policy import Order
from natlb.control.policy.parameters import hashed_key, thousandths, whole_number
from natlb.core.layout import KEY_SOURCE, KEY_SOURCE_PORT


def order(**parameters: object) -> Order:
    """Return an order with these parameters."""
    return Order(members=[], parameters=parameters)


def test_what_is_left_out_has_its_default() -> None:
    """Each policy says its own."""
    assert whole_number(order(), "size", 7) == 7
    assert thousandths(order(), "factor", 1.25) == 1250
    assert hashed_key(order(), "address") == KEY_SOURCE
    assert hashed_key(order(), "address-port") == KEY_SOURCE_PORT


def test_what_is_given_counts() -> None:
    """A factor may be a whole number."""
    assert whole_number(order(size=11), "size", 7) == 11
    assert [thousandths(order(factor=factor), "factor", 1.25) for factor in (1.001, 2)] == [
        1001,
        2000,
    ]
    assert hashed_key(order(key="address"), "address-port") == KEY_SOURCE


def test_the_wrong_kind_is_a_mistake_of_ours() -> None:
    """The configuration has refused it."""
    with pytest.raises(AssertionError):
        whole_number(order(size="many"), "size", 7)
