"""The unit for systemd: it says what it was asked for, and systemd itself judges it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from natlb.cli.systemd import CONFIG, executable, unit
from natlb.errors import UsageError

analyze = shutil.which("systemd-analyze")
judged = pytest.mark.skipif(analyze is None, reason="systemd-analyze is not installed")


PLAIN, XDP, WORKERS = {"xdp": False}, {"xdp": True}, {"xdp": False, "workers": True}


def written(folder: Path, **asked: bool) -> Path:
    """Return a file with the unit, as a user of this host would write it."""
    path = folder / "natlb.service"
    text = unit(executable(), CONFIG, "daemon", resume=True, **asked)
    path.write_text(text + "\n")
    return path


def judge(*words: str) -> subprocess.CompletedProcess[str]:
    """Return what systemd-analyze says."""
    assert analyze is not None
    return subprocess.run(
        [analyze, *words], capture_output=True, text=True, check=False, timeout=120
    )


@judged
@pytest.mark.parametrize("asked", [PLAIN, XDP, WORKERS])
def test_systemd_finds_nothing_to_complain_of(tmp_path: Path, asked: dict[str, bool]) -> None:
    """Not a key that it does not know, not a value that it cannot read."""
    done = judge("verify", str(written(tmp_path, **asked)))
    about_ours = [line for line in done.stderr.splitlines() if "natlb" in line]

    assert about_ours == []


@judged
@pytest.mark.parametrize(("asked", "exposure"), [(PLAIN, 25), (XDP, 30), (WORKERS, 30)])
def test_the_service_is_exposed_as_little_as_was_promised(
    tmp_path: Path, asked: dict[str, bool], exposure: int
) -> None:
    """In tenths; less than that cannot be had by who changes routes and compiles code."""
    path = str(written(tmp_path, **asked))
    done = judge("security", "--offline=yes", "--no-pager", f"--threshold={exposure}", path)

    assert done.returncode == 0, done.stdout[-300:] + done.stderr
    assert "Overall exposure level" in done.stdout


def test_what_was_asked_for_stands_in_it() -> None:
    """Each once where it belongs, and no mark is left over."""
    text = unit("/opt/n/bin/natlb", Path("/srv/a b%.yaml"), "lb", resume=True, xdp=False)

    assert 'ExecStart=/opt/n/bin/natlb run -c "/srv/a b%%.yaml" --resume\n' in text
    assert "\nUser=lb\n" in text
    assert "XDP" not in text
    assert "CAP_BPF" not in text
    assert not [line for line in text.splitlines() if line.startswith("@") or "@CONFIG@" in line]


def test_without_resume_nothing_comes_back() -> None:
    """It has to be asked for."""
    assert "--resume" not in unit("natlb", CONFIG, "natlb", resume=False, xdp=True)


@pytest.mark.parametrize("user", ["", "-x", "a b", "x\nExecStart=/bin/sh", "a;b", "A" * 40])
def test_no_line_can_be_forged_by_a_name(user: str) -> None:
    """A unit is root's."""
    with pytest.raises(UsageError, match="not the name of a user"):
        unit("natlb", CONFIG, user, resume=False, xdp=False)


@pytest.mark.parametrize("path", ["/a\nExecStart=/bin/sh", "/a\0", "/ä.yaml"])
def test_no_line_can_be_forged_by_a_path(path: str) -> None:
    """Nor is a path written that would be read as another."""
    with pytest.raises(UsageError, match="cannot say"):
        unit("natlb", Path(path), "natlb", resume=False, xdp=False)
