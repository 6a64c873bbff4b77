from __future__ import annotations

import dataclasses

import pytest

from natlb.model import FlowFilter, Flush, PerDirection, Reload, to_json


def test_a_value_is_the_document_it_names() -> None:
    """Lists, nested values and plain ones."""
    document = to_json([Flush(flushed=1, resets=2), Flush(flushed=3, resets=4)])
    assert document == [{"flushed": 1, "resets": 2}, {"flushed": 3, "resets": 4}]
    reload = Reload(generation=1, added=["a"], removed=[], drained=[], changed=["a/b"])

    assert list(to_json(reload)) == ["generation", "added", "removed", "drained", "changed"]


def test_values_do_not_change() -> None:
    """A snapshot that somebody holds must not move under him."""
    value = PerDirection(original=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.reply = 2  # type: ignore[misc]


def test_a_filter_of_nothing_means_anything() -> None:
    """None of its fields says so."""
    assert set(to_json(FlowFilter()).values()) == {None}
