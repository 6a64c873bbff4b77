"""natlb's ways to move packets, as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.bench import paths
from natlb.bench.aims import PATHS
from natlb.control.config import config_from_mapping
from natlb.errors import ConfigError, HostError
from natlb.lab import rights

if TYPE_CHECKING:
    import pytest


def test_every_path_is_told_apart_by_its_keys() -> None:
    """`auto` would measure the same twice."""
    told = {path: tuple(paths.KEYS[path].items()) for path in PATHS}

    assert len(set(told.values())) == len(PATHS)
    assert all("driver" in paths.KEYS[path] for path in PATHS)


def test_what_natlb_is_told_is_a_configuration() -> None:
    """Today's version at least has the path by route."""
    told = paths.configuration("tun-route")

    assert config_from_mapping(told).datapath.driver == "tun"
    assert told["datapath"]["public"] == ["public0"]


def refuse(error: Exception) -> Any:
    """Return a function that raises it."""

    def raise_it(*_: Any) -> None:
        raise error

    return raise_it


def test_a_path_that_this_version_has_not_is_left_out_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of `natlb validate`."""
    words = "2 problems\n  datapath.driver: 'xdp' is not in this version\nmore"
    monkeypatch.setattr(paths, "config_from_mapping", refuse(ConfigError(words)))

    assert paths.unless_natlb("xdp") == "datapath.driver: 'xdp' is not in this version"


def test_a_machine_without_tun_has_the_other_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each column is asked alone."""
    monkeypatch.setattr(paths, "config_from_mapping", lambda _: None)
    monkeypatch.setattr(rights, "check_tun", refuse(HostError("cannot open /dev/net/tun")))

    assert paths.unless_natlb("tun-route") == "cannot open /dev/net/tun"
    assert paths.unless_natlb("packet") == ""
    assert paths.unless_bare("tun-route") == "cannot open /dev/net/tun"


def test_a_bare_forwarder_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everything that is to come."""
    monkeypatch.setattr(paths, "BARE_PATHS", ())

    assert paths.unless_bare("packet") == "not in this version"


def test_xdp_alone_needs_checksums_made_at_the_far_ends() -> None:
    """Natlb and its bare forwarder alike."""
    needing = [each.name for each in (*paths.OURS, *paths.BARES) if each.whole_sums]

    assert needing == ["xdp", "bare-xdp"]
