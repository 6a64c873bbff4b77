"""Commands about this host and this configuration."""

from __future__ import annotations

import json

import pytest

from natlb.cli import host
from natlb.control import cleanup as cleaning
from natlb.control import host as control_host
from natlb.control import supervisor
from natlb.control.compile import programs
from natlb.control.host import Check
from natlb.errors import BusyError, ConfigError, DeniedError

GOOD = """\
services:
  web:
    listen: tcp://203.0.113.10:80
    backends: [10.77.0.11:8080, 10.77.0.12:8080]
"""
BAD = GOOD.replace("backends:", "polcy: round-robin\n    backends:")


@pytest.fixture
def files(folder, monkeypatch):
    """Stand in a folder with a good file and a bad one."""
    (folder / "natlb.yaml").write_text(GOOD)
    (folder / "bad.yaml").write_text(BAD)
    monkeypatch.chdir(folder)
    return folder


def test_a_good_configuration_is_said_to_be_good(command, files) -> None:
    """Silence is what HAProxy's users dislike; words are no data."""
    said = command("validate", "natlb.yaml")

    assert said == (0, "", "natlb.yaml: ok, 1 service, 2 backends\n")


def test_a_good_configuration_in_json(command, files) -> None:
    """For programs that check before they copy."""
    said = command("validate", "natlb.yaml", "--json")

    assert json.loads(said.out) == {"file": "natlb.yaml", "services": 1, "backends": 2}


def test_show_prints_every_default_and_validates_again(command, files) -> None:
    """What is printed is a configuration, and the same one."""
    shown = command("validate", "natlb.yaml", "--show").out
    (files / "shown.yaml").write_text(shown)

    assert "max_flows: 1048576" in shown
    assert command("validate", "shown.yaml", "--show").out == shown


def test_show_in_json_is_refused(command, files) -> None:
    """One of the two would be ignored."""
    assert command("validate", "natlb.yaml", "--show", "--json").code == 2


def test_a_bad_configuration_is_65_with_its_place(command, files) -> None:
    """File, line, column, what, and what was probably meant."""
    said = command("validate", "bad.yaml")

    assert said.code == 65
    assert said.out == ""
    assert said.err.startswith("error: bad.yaml:4:5: unknown key 'polcy'")
    assert "did you mean 'policy'?" in said.err
    assert "\n          |     ^" in said.err or "| " in said.err


def test_a_bad_configuration_in_json(command, files) -> None:
    """The same words in a document."""
    said = command("validate", "bad.yaml", "--json")

    assert said.code == 65
    assert json.loads(said.err)["error"]["code"] == "config"


@pytest.mark.parametrize("name", ["none.yaml", "."])
def test_a_file_that_cannot_be_read_is_65(command, files, name) -> None:
    """As the contract says: also an unreadable or missing file."""
    assert command("validate", name).code == 65


@pytest.fixture
def with_program(files):
    """Have a good file that names a policy of one's own, and return where that lies."""
    file = files / "natlb.yaml"
    file.write_text(f"{GOOD}    policy: {{name: python, file: mine.py}}\n")
    return files / "mine.py"


def test_a_policy_of_ones_own_is_checked_too(command, with_program) -> None:
    """What `run` would refuse is not called good; each fault has its place."""
    missing = command("validate", "natlb.yaml")
    with_program.write_text("import os\ndef pick(pool, flow):\n    return print(1)\n")
    broken = command("validate", "natlb.yaml")

    assert (missing.code, broken.code) == (65, 65)
    assert "cannot read the policy mine.py" in missing.err
    assert "error: mine.py:1:1: imports 'os'" in broken.err
    assert "\nmine.py:3:12: calls 'print'" in broken.err


def test_a_policy_of_ones_own_is_tried_as_well(command, with_program, monkeypatch) -> None:
    """Compiled and on a sample, as `run` does, after all that is quicker."""

    def refuse(programs) -> None:
        (place,) = programs.values()
        raise ConfigError(f"{place.source.file}:1:1: outside")

    monkeypatch.setattr(programs, "pick_of", refuse)
    with_program.write_text("def pick(pool, flow):\n    return len(pool.weights)\n")
    said = command("validate", "natlb.yaml", "--show")

    assert (said.code, said.out) == (65, "")
    assert "mine.py:1:1: outside" in said.err


@pytest.fixture
def numba(monkeypatch) -> None:
    """Have Numba installed, for all that the command can see."""
    monkeypatch.setattr(host, "find_spec", lambda name: name)


@pytest.fixture
def ran(numba, monkeypatch) -> list:
    """Put a function in the place of the supervisor, and return what it was asked."""
    asked: list = []

    def run(path, *, replace, cpus) -> int:
        asked.append(path)
        asked.extend(cpus)
        asked.extend(["replace"] * replace)
        return 0

    monkeypatch.setattr(supervisor, "run", run)
    return asked


def test_run_is_the_supervisors(command, ran) -> None:
    """With the file as it was named."""
    assert command("run", "-c", "natlb.yaml").code == 0
    assert [str(path) for path in ran] == ["natlb.yaml"]


def test_run_takes_a_place_with_a_configuration_that_was_tried(command, ran, folder) -> None:
    """One that is refused is refused here, before the other is asked for its place."""
    file = folder / "natlb.yaml"
    file.write_text("services: {web: {listn: 1}}")
    assert command("run", "--replace", "-c", str(file)).code == 65
    assert ran == []
    file.write_text("services: {web: {listen: tcp://203.0.113.10:80, backends: [10.77.0.11:8080]}}")

    assert command("run", "--replace", "-c", str(file)).code == 0
    assert ran == [file, "replace"]


def test_workers_are_pinned_to_cpus_that_there_are(command, ran, monkeypatch) -> None:
    """What is no list, and what is not to be had, is refused before anything is begun."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert command("run", "--cpus", "0,x", "-c", "natlb.yaml").code == 2
    assert command("run", "--cpus", "0,7", "-c", "natlb.yaml").code == 78
    assert ran == []
    assert command("run", "--cpus", "2,0-1", "-c", "natlb.yaml").code == 0
    assert ran[1:] == [2, 0, 1]


@pytest.mark.parametrize(("error", "code"), [(BusyError("b"), 75), (DeniedError("d"), 77)])
def test_run_ends_with_the_code_of_what_ended_it(command, numba, monkeypatch, error, code) -> None:
    """A unit's restart policy goes by it."""

    def run(_path, *, replace, cpus) -> int:
        assert not replace
        assert not cpus
        raise error

    monkeypatch.setattr(supervisor, "run", run)

    assert command("run", "-c", "natlb.yaml").code == code


def test_run_needs_a_file(command, ran) -> None:
    """There is no default that might be somebody else's."""
    said = command("run")

    assert said.code == 2
    assert "'-c' / '--config'" in said.err
    assert not ran


def test_run_without_numba_is_69_at_once(command, ran, monkeypatch) -> None:
    """Not after a worker has died three times."""
    monkeypatch.setattr(host, "find_spec", lambda _name: None)
    monkeypatch.delenv("NATLB_JIT", raising=False)
    said = command("run", "-c", "natlb.yaml")

    assert said.code == 69
    assert "fix: pip install numba" in said.err
    assert not ran


def test_run_without_numba_goes_on_where_nothing_is_compiled(command, ran, monkeypatch) -> None:
    """`NATLB_JIT=0` needs no compiler."""
    monkeypatch.setattr(host, "find_spec", lambda _name: None)
    monkeypatch.setenv("NATLB_JIT", "0")

    assert command("run", "-c", "natlb.yaml").code == 0
    assert ran


def found(monkeypatch, *checks: Check) -> None:
    """Have the host be so."""

    def examine(_probe, _reader, config, *, running) -> list[Check]:
        assert running is False
        return [*checks, *([CONFIGURED] if config else [])]

    monkeypatch.setattr(control_host, "examine", examine)
    monkeypatch.setattr(cleaning, "is_running", lambda _directory: False)


GOOD_CHECK = Check(name="tun", status="ok", seen="/dev/net/tun opens")
WARNING = Check(name="ipv6", status="warn", seen="no IPv6", fix="boot with it")
FAILURE = Check(name="rights", status="fail", seen="none", fix="sudo", stops=("gateway",))
CONFIGURED = Check(name="public", status="ok", seen="eth0")


def test_doctor_says_line_by_line_what_was_seen_and_what_mends_it(command, monkeypatch) -> None:
    """And in the last line what follows; data, as it is what was asked for."""
    found(monkeypatch, GOOD_CHECK, WARNING, FAILURE)
    said = command("doctor")

    assert said.code == 1
    assert said.err == ""
    assert said.out.splitlines() == [
        "ok    tun     /dev/net/tun opens",
        "warn  ipv6    no IPv6; fix: boot with it",
        "fail  rights  none; fix: sudo",
        "lab ready, gateway not ready (1 problem)",
    ]


def test_doctor_is_content_with_a_warning(command, monkeypatch) -> None:
    """Exit code 1 is for what stops natlb."""
    found(monkeypatch, GOOD_CHECK, WARNING)

    assert command("doctor").code == 0


def test_doctor_in_json(command, monkeypatch) -> None:
    """All of it, for programs that look after many hosts."""
    found(monkeypatch, FAILURE)
    said = command("doctor", "--json")

    assert said.code == 1
    assert json.loads(said.out) == {
        "checks": [
            {
                "name": "rights",
                "status": "fail",
                "seen": "none",
                "fix": "sudo",
                "stops": ["gateway"],
            }
        ]
    }


def test_doctor_looks_at_a_configuration_too(command, monkeypatch, files) -> None:
    """Against reality: interfaces and routes."""
    found(monkeypatch, GOOD_CHECK)

    assert "public  eth0" in command("doctor", "-c", "natlb.yaml").out
    assert command("doctor", "-c", "bad.yaml").code == 65


def test_doctor_really_looks_at_this_host(process) -> None:
    """It never fails to answer, whoever asks."""
    said = process("doctor", "--json")

    assert said.code in (0, 1)
    assert "python" in [check["name"] for check in json.loads(said.out)["checks"]]


@pytest.mark.parametrize(
    ("undone", "text"),
    [([], "nothing to undo\n"), (["rule 10", "x"], "undone rule 10\nundone x\n")],
)
def test_cleanup_says_what_it_undid(command, monkeypatch, undone, text) -> None:
    """One line each, or that there was nothing."""
    monkeypatch.setattr(cleaning, "cleanup", lambda: undone)

    assert command("cleanup") == (0, text, "")
    assert json.loads(command("cleanup", "--json").out) == {"undone": undone}


def test_cleanup_while_one_runs_is_75(command, monkeypatch) -> None:
    """As the contract says."""

    def cleanup() -> list[str]:
        raise BusyError("process 12 holds it")

    monkeypatch.setattr(cleaning, "cleanup", cleanup)

    assert command("cleanup").code == 75
