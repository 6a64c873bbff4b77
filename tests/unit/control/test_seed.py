from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from natlb.control.config import config_from_mapping
from natlb.control.desired import first_desired
from natlb.control.seed import first_seed, next_seed, read_seed

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

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


def test_a_state_directory_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    """The seed then lives as long as the instance."""
    (tmp_path / "file").write_text("")

    assert read_seed(tmp_path / "file" / "state") != read_seed(tmp_path / "file" / "state")


def test_a_file_without_a_seed_is_set_aside_and_told_of(tmp_path: Path) -> None:
    """All clients move: somebody may want to mend it."""
    for text in (b"nonsense", b"", b"1" * 17, b"\xff" * 16):
        (tmp_path / "seed").write_bytes(text)
        with capture_logs() as told:
            seed = read_seed(tmp_path)

        assert [(each["event"], each["log_level"]) for each in told] == [
            ("seed_replaced", "warning")
        ]
        assert (tmp_path / "seed.bad").read_bytes() == text
        assert read_seed(tmp_path) == seed


def test_a_file_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    """It may be right, and another's to read; what is used meanwhile is told of."""
    (tmp_path / "seed").mkdir()
    with capture_logs() as told:
        read_seed(tmp_path)

    assert (tmp_path / "seed").is_dir()
    assert [each["event"] for each in told] == ["seed_not_read"]


def test_a_seed_that_others_could_read_is_made_secret(tmp_path: Path) -> None:
    """It was kept so once; its value stays. One that is half written is not reused."""
    (tmp_path / "seed").write_text("00c0ffee00c0ffee\n")
    (tmp_path / "seed").chmod(0o644)
    (tmp_path / "seed.new").write_text("")

    assert read_seed(tmp_path) == 0x00C0FFEE00C0FFEE
    assert (tmp_path / "seed").stat().st_mode & 0o777 == 0o600
    (tmp_path / "seed").unlink()
    read_seed(tmp_path)
    assert (tmp_path / "seed").stat().st_mode & 0o777 == 0o600


def test_a_seed_that_stays_readable_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not ours to change, and still the seed."""

    def refuse(_fd: int, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "seed").write_text("7")
    (tmp_path / "seed").chmod(0o644)
    monkeypatch.setattr(os, "fchmod", refuse)
    with capture_logs() as told:
        assert read_seed(tmp_path) == 7
    assert [each["event"] for each in told] == ["seed_not_secret"]
