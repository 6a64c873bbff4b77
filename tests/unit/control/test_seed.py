from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.control.config import config_from_mapping
from natlb.control.desired import first_desired
from natlb.control.seed import first_seed, next_seed, read_seed

if TYPE_CHECKING:
    from pathlib import Path

    from natlb.control.config import Config


def config(state: Path, **more: Any) -> Config:
    """Return a configuration that keeps its state there."""
    web = {"listen": "tcp://203.0.113.10:80", "backends": ["10.77.0.11"]}
    return config_from_mapping({"services": {"web": web}, "state": str(state), **more})


def test_the_configuration_s_seed_needs_no_state_directory(tmp_path: Path) -> None:
    """Nothing is written then."""
    assert first_seed(config(tmp_path / "state", seed=7)) == 7
    assert not (tmp_path / "state").exists()


def test_without_one_the_seed_is_the_state_directory_s(tmp_path: Path) -> None:
    """In digits that a configuration takes."""
    seed = first_seed(config(tmp_path))

    assert first_seed(config(tmp_path)) == seed
    assert config(tmp_path, seed=(tmp_path / "seed").read_text()).seed == seed


def test_a_reload_brings_a_seed_and_takes_it_away(tmp_path: Path) -> None:
    """As a restart with the same file would."""
    plain, own = config(tmp_path), config(tmp_path, seed=7)
    first = first_desired(plain, "", "", seed=first_seed(plain), started_ns=0)
    second = first.with_config(own, "", "", seed=next_seed(first, own), now_ms=0)
    third = second.with_config(plain, "", "", seed=next_seed(second, plain), now_ms=0)

    assert (second.seed, third.seed) == (7, first.seed)


def test_a_seed_that_could_not_be_kept_outlives_reloads(tmp_path: Path) -> None:
    """It is in memory alone, and must not be drawn again."""
    (tmp_path / "file").write_text("")
    plain = config(tmp_path / "file" / "state")
    first = first_desired(plain, "", "", seed=5, started_ns=0)

    assert next_seed(first, plain) == 5


def test_the_seed_is_made_once_and_kept(tmp_path: Path) -> None:
    """A client keeps its backend when natlb starts anew."""
    state = tmp_path / "deep" / "state"
    seed = read_seed(state)

    assert read_seed(state) == seed
    assert 0 <= seed < 1 << 64
    assert (state / "seed").stat().st_mode & 0o777 == 0o600
    (state / "seed").write_text("nonsense")
    assert read_seed(state) != seed


def test_a_state_directory_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    """The seed then lives as long as the instance."""
    (tmp_path / "file").write_text("")

    assert read_seed(tmp_path / "file" / "state") != read_seed(tmp_path / "file" / "state")
