"""Every way out of a command: words, and the exit code of the contract."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from natlb import errors
from natlb.cli import entry
from natlb.cli.root import natlb
from natlb.errors import NatlbError


def fail_with(error: BaseException, monkeypatch) -> None:
    """Let every command fail so."""

    def fail(*_words, **_options) -> None:
        raise error

    monkeypatch.setattr(natlb, "main", fail)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.UsageError, 2),
        (errors.UnknownNameError, 64),
        (errors.ConfigError, 65),
        (errors.UnavailableError, 69),
        (errors.BusyError, 75),
        (errors.DeniedError, 77),
        (errors.HostError, 78),
        (errors.WaitTimeoutError, 124),
        (KeyboardInterrupt, 130),
    ],
)
def test_each_error_has_its_exit_code(command, monkeypatch, kind, code) -> None:
    """Scripts branch on these numbers."""
    monkeypatch.setattr(entry, "leave_quietly", lambda: None)  # it would close pytest's own
    fail_with(kind("what"), monkeypatch)

    assert command("status").code == code


def test_an_error_is_told_in_two_lines(command, monkeypatch) -> None:
    """What and where, then how to mend it; on standard error, plain where no terminal reads."""
    fail_with(errors.HostError("no TUN, in /dev", fix="modprobe tun"), monkeypatch)

    assert command("run") == (78, "", "error: no TUN, in /dev\nfix: modprobe tun\n")


def test_an_error_without_a_remedy_is_told_in_one_line(command, monkeypatch) -> None:
    """No empty promise."""
    fail_with(errors.BusyError("held"), monkeypatch)

    assert command("run").err == "error: held\n"


def test_an_error_is_json_where_json_is_asked_for(command, monkeypatch) -> None:
    """One document on one line, fields in the contract's order."""
    fail_with(errors.BusyError("held"), monkeypatch)
    said = command("status", "--json")

    assert said.err == '{"error": {"code": "busy", "message": "held", "fix": null}}\n'
    assert said.out == ""


def test_a_command_line_that_cannot_be_read_is_json_too(command) -> None:
    """A program that asked for JSON gets it, whatever else it got wrong."""
    said = command("status", "--jsno", "--json")

    assert said.code == 2
    assert json.loads(said.err)["error"]["code"] == "usage"


def test_json_for_another_command_is_not_for_natlb(command) -> None:
    """What follows `--` belongs to the command that is run in the lab."""
    assert command("lab", "exec", "--", "ip", "--json").err.startswith("error: ")


def test_usage_is_told_as_every_error_is(command) -> None:
    """One form, with the help that mends it."""
    said = command("weight", "web/be1", "many")

    assert said.code == 2
    assert said.err.startswith("error: invalid value for 'N'")
    assert said.err.endswith("fix: natlb weight --help\n")


def test_no_command_shows_the_help(command) -> None:
    """On standard error, as nothing was asked for."""
    said = command()

    assert said.code == 2
    assert said.out == ""
    assert "Usage: natlb" in said.err


@pytest.mark.parametrize("error", [ZeroDivisionError("division"), NatlbError("division")])
def test_a_bug_is_one_line_and_a_report(command, monkeypatch, folder, error) -> None:
    """Nobody is shown a traceback; whoever mends it finds one, with the command line."""
    monkeypatch.setattr(entry, "reports", str(folder))
    fail_with(error, monkeypatch)
    said = command("status")
    (report,) = folder.glob("natlb-bug-*.txt")

    assert said.code == 70
    assert len(said.err.splitlines()) == 2
    assert "division" in said.err
    assert str(report) in said.err
    assert "Traceback" in report.read_text()
    assert "natlb status" in report.read_text()


def test_a_bug_of_another_process_is_passed_on_and_not_reported_twice(command, served) -> None:
    """Control has written its traceback where control writes."""
    served.instance.failure = ZeroDivisionError()
    said = command("status")

    assert said.code == 70
    assert said.err == (
        "error: a bug in natlb: ZeroDivisionError\nfix: see natlb's log for its traceback\n"
    )


def test_a_bug_shows_its_traceback_to_who_debugs(process, folder) -> None:
    """`--debug` may stand before the command or after it."""
    (folder / "sitecustomize.py").write_text(
        "import natlb.client\nnatlb.client.Client.status = lambda self: 1 / 0\n"
    )
    for words in (("--debug", "status"), ("status", "--debug")):
        said = process(*words, PYTHONPATH=f"{folder}:{os.environ.get('PYTHONPATH', '')}")

        assert said.code == 70
        assert "ZeroDivisionError" in said.err.splitlines()[-3]
        assert said.err.startswith("Traceback")


def test_a_bug_that_cannot_be_written_down_is_still_told(command, monkeypatch) -> None:
    """A full disk hides nothing."""
    monkeypatch.setattr(entry, "reports", "/proc/none")
    fail_with(ZeroDivisionError(), monkeypatch)
    said = command("status")

    assert said.code == 70
    assert "--debug" in said.err


@pytest.mark.parametrize(
    ("name", "package"), [("numba", "numba"), ("ruamel.yaml", "ruamel.yaml"), ("rich", "rich")]
)
def test_a_part_that_is_not_installed_is_named_as_pip_knows_it(
    command, monkeypatch, name, package
) -> None:
    """Exit code 69 and the line to type."""
    fail_with(ModuleNotFoundError(f"No module named '{name}'", name=name), monkeypatch)
    said = command("run")

    assert said.code == 69
    assert said.err.endswith(f"fix: pip install {package}\n")


def test_a_part_of_natlb_that_is_missing_is_a_bug(command, monkeypatch, folder) -> None:
    """That is nothing pip could mend."""
    monkeypatch.setattr(entry, "reports", str(folder))
    fail_with(ModuleNotFoundError("No module named 'natlb.x'", name="natlb.x"), monkeypatch)

    assert command("run").code == 70


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(served, process) -> None:
    """`natlb flows | head -1` is no error."""
    served.instance.table *= 5000
    head = subprocess.run(
        f"{sys.executable} -m natlb flows | head -1; echo ${{PIPESTATUS[0]}}",
        env={**os.environ, "NATLB_SOCKET": served.path},
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=True,
    )

    assert head.stdout.splitlines()[0].startswith("Prot")
    assert head.stdout.splitlines()[1] == "0"
    assert head.stderr == ""


@pytest.mark.parametrize("words", [("flows",), ("flows", "--json"), ("services",)])
def test_an_output_that_cannot_be_written_is_told(served, words) -> None:
    """A full disk is not a success, nor a bug."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "natlb", "--socket", served.path, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 78
    assert "No space left" in done.stderr


def test_an_interrupt_ends_a_watch_without_a_word(served) -> None:
    """^C is how a watch ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "natlb", "--socket", served.path, "status", "--watch", "0.01"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        watching.stdout.readline()
        time.sleep(0.05)  # until it surely sleeps itself or asks; either way it must end
        watching.send_signal(signal.SIGINT)
        _, words = watching.communicate(timeout=10)

    assert watching.returncode == 130
    assert words.strip() == ""


def test_every_error_is_known_by_a_code_of_its_own() -> None:
    """A program tells errors apart by their word."""
    kinds = NatlbError.__subclasses__()

    assert len({kind.code for kind in kinds}) == len(kinds)
