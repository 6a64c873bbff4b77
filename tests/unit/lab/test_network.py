from __future__ import annotations

import pytest

from natlb.errors import BusyError
from natlb.lab import network
from natlb.lab.network import check_free, remove_namespaces


def test_namespaces_of_somebody_else_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor removed later: the lab is refused before anything is made."""
    monkeypatch.setattr(network, "namespaces", lambda: ["x-lb", "other"])

    check_free(["y-lb", "y-b1"])
    with pytest.raises(BusyError, match="x-lb"):
        check_free(["x-lb", "x-b1"])


def test_only_what_is_there_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab that was left half-made has some of its namespaces."""
    gone: list[str] = []
    monkeypatch.setattr(network, "namespaces", lambda: ["x-lb", "other"])
    monkeypatch.setattr(network, "delete_namespace", gone.append)

    assert remove_namespaces(["x-client", "x-lb"]) == ["x-lb"]
    assert gone == ["x-lb"]
