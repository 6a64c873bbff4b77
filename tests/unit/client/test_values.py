"""JSON as values of the model."""

from __future__ import annotations

import pytest

from natlb.client.values import value_of, values_of
from natlb.errors import UnavailableError
from natlb.model import Event, Flush, Saved, to_json

EVENT = {"id": 3, "at": "…", "level": "info", "kind": "turned", "fields": {"names": ["a", "b"]}}


def test_a_value_comes_back_as_it_was() -> None:
    """Plain members as they are, nested ones as values."""
    saved = {
        "config": "/x",
        "changes": [{"backend": "a/b", "field": "weight", "file": 1, "now": 2}],
    }

    assert to_json(value_of(Event, EVENT)) == EVENT
    assert to_json(value_of(Saved, saved)) == saved
    assert (
        values_of(Flush, [{"flushed": 1, "resets": 2}, {"flushed": 3, "resets": 4}])[1].resets == 4
    )


@pytest.mark.parametrize("document", [None, [], "x", 5, {}, {"flushed": 1}])
def test_another_form_is_another_version(document: object) -> None:
    """Not a bug of who asks."""
    with pytest.raises(UnavailableError, match="no flush: another version is running"):
        value_of(Flush, document)
    with pytest.raises(UnavailableError, match="another version"):
        values_of(Flush, {"a": document})
