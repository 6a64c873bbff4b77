"""Every command against a real natlb that forwards, in a lab: words, JSON and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from natlb import lab as labs
from natlb.control.directory import INSTANCE_VARIABLE
from natlb.control.process import kill_all_with
from natlb.lab import record

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

NAME = f"tcmd{os.getpid()}"
NATLB = (sys.executable, "-m", "natlb")
SECONDS = 60.0
ASK = "__import__('urllib.request').request.urlopen('http://203.0.113.10/', timeout=5).read()"


@pytest.fixture(scope="module")
def lab() -> Iterator[record.Lab]:
    """Keep a lab, natlb running in it, as long as this file's tests run."""
    try:
        yield labs.up(name=NAME)
    finally:
        if NAME in record.names():
            labs.down(name=NAME)


def inside(*words: str) -> subprocess.CompletedProcess[str]:
    """Run natlb where it runs in the lab, so that it is found without being named."""
    return started(*NATLB, "lab", "exec", NAME, "lb", "--", *NATLB, *words)


def natlb(*words: str) -> subprocess.CompletedProcess[str]:
    """Run natlb from here, its instance named."""
    return started(*NATLB, *words, NATLB_SOCKET=str(record.find(NAME).socket))


def started(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command line here."""
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={**os.environ, **environment},
    )


def document(*words: str) -> Any:
    """Return what a command says in JSON, once it has succeeded."""
    done = natlb(*words, "--json")

    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def client_asks(times: int = 1) -> None:
    """Have the client make HTTP requests, each over a connection of its own."""
    code = f"for _ in range({times}): {ASK}"
    done = started(*NATLB, "lab", "exec", NAME, "client", "--", sys.executable, "-c", code)

    assert done.returncode == 0, done.stderr


def test_the_instance_of_a_namespace_is_found_and_ready(lab) -> None:
    """`natlb status` where natlb runs needs no socket to be named."""
    status = json.loads(inside("status", "--json").stdout)

    assert status["ready"] is True
    assert [service["name"] for service in status["services"]][:1] == ["web"]


def test_a_socket_names_an_instance_from_elsewhere(lab) -> None:
    """From a namespace where none runs."""
    assert started(*NATLB, "status", "--socket", lab.socket).returncode == 0
    assert started(*NATLB, "status", NATLB_SOCKET=lab.socket).returncode == 0


@pytest.mark.parametrize("name", ["status", "services", "backends", "flows", "stats"])
def test_every_reading_command_reads(lab, name) -> None:
    """For people and for programs."""
    done = natlb(name)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    assert isinstance(document(name), dict if name in ("status", "stats") else list)


def test_flows_and_counts_tell_of_what_the_client_did(lab) -> None:
    """Packets that were really forwarded are counted and named."""
    before = document("stats")
    client_asks(3)
    after, flows = document("stats"), document("flows", "service=web", "protocol=tcp")

    assert after["flows"]["opened"] == before["flows"]["opened"] + 3
    assert after["packets"]["forwarded"] > before["packets"]["forwarded"]
    assert {flow["vip"] for flow in flows} == {"203.0.113.10:80"}
    assert document("flows", f"client={flows[0]['client'].split(':')[0]}")
    assert document("flows", "client=192.0.2.0/24") == []


def test_a_drained_backend_gets_no_new_flows_until_it_is_ready(lab) -> None:
    """And the difference to the file is told."""
    assert document("drain", "web/b1")["state"] == "draining"
    before = totals()
    client_asks(4)
    drained = totals()
    changes = document("status")["changes"]
    assert document("ready", "web/b1")["state"] == "ready"
    client_asks(3)

    assert drained["b1"] == before["b1"]
    assert sum(drained.values()) == sum(before.values()) + 4
    assert {"backend": "web/b1", "field": "state", "file": "ready", "now": "draining"} in changes
    assert totals()["b1"] > before["b1"]


def totals() -> dict[str, int]:
    """Return how many flows each backend of web has had."""
    return {each["name"]: each["flows"]["total"] for each in document("backends", "web")}


def test_maint_ends_the_flows_that_are_there(lab) -> None:
    """That is what tells it from drain."""
    client_asks(3)

    assert document("flows", "backend=web/b2")
    assert document("maint", "web/b2")["flows"]["current"] == 0
    assert document("flows", "backend=web/b2") == []
    assert document("ready", "web/b2")["state"] == "ready"


def test_a_weight_is_set_and_told(lab) -> None:
    """Zero too."""
    assert document("weight", "web/b3", "0")["weight"] == 0
    assert document("weight", "web/b3", "1")["weight"] == 1


def test_a_flush_drops_what_its_filter_says(lab) -> None:
    """And no more."""
    client_asks(2)

    assert document("flush", "client=192.0.2.1") == {"flushed": 0, "resets": 0}
    assert document("flush", "service=web", "--reset")["flushed"] >= 2
    assert document("flows", "service=web") == []


def test_a_reload_is_all_or_nothing(lab, tmp_path) -> None:
    """A broken file changes nothing; a good one is told as a difference."""
    file = Path(lab.configuration)
    text = file.read_text()
    broken, smaller = tmp_path / "broken.yaml", tmp_path / "smaller.yaml"
    broken.write_text(text.replace("policy", "polcy"))
    smaller.write_text(text.replace("name: b3", "name: b4", 1))
    generation = document("status")["generation"]

    refused = natlb("reload", "--config", str(broken))
    assert refused.returncode == 65
    assert "did you mean 'policy'?" in refused.stderr
    assert natlb("reload", "--config", str(tmp_path / "none")).returncode == 65
    assert document("status")["generation"] == generation
    done = document("reload", "--config", str(smaller))
    assert "web/b4" in done["added"]
    assert done["generation"] > generation
    assert "web/b4" in document("reload", "--config", str(file))["removed"]
    assert natlb("reload").returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("drain", "web/b9"), 64, "no backend 'web/b9'; there are b1, b2, b3"),
        (("drain", "wbe/b1"), 64, "no service 'wbe'"),
        (("backends", "wbe"), 64, "no service 'wbe'"),
        (("flows", "service=wbe"), 64, "no service 'wbe'"),
        (("flush", "backend=web/b9"), 64, "b1, b2, b3"),
        (("flows", "colour=red"), 2, "unknown filter 'colour'"),
        (("replay",), 69, "not in this version"),
    ],
)
def test_what_cannot_be_done_has_its_words_and_its_code(lab, words, code, told) -> None:
    """The contract's table, from the outside."""
    done = natlb(*words, "--json")

    assert done.returncode == code
    assert told in json.loads(done.stderr)["error"]["message"]
    assert done.stdout == ""


@pytest.mark.parametrize("words", [("run", "-c"), ("cleanup",)])
def test_a_second_one_in_the_namespace_is_75_and_the_first_goes_on(lab, words) -> None:
    """Nothing is taken from under an instance that runs."""
    done = inside(*words, *([str(lab.configuration)] if "-c" in words else []))

    assert done.returncode == 75
    assert str(document("status")["pid"]["supervisor"]) in done.stderr
    assert document("status")["ready"] is True


def test_where_none_runs_the_others_are_named(lab) -> None:
    """69, the socket tried, and the one that was probably meant."""
    done = started(*NATLB, "lab", "exec", NAME, "client", "--", *NATLB, "status")

    assert done.returncode == 69
    assert "natlb is not running" in done.stderr
    assert str(lab.socket) in done.stderr


def test_commands_go_on_when_control_is_killed(lab) -> None:
    """Who asks in that moment waits for the next one."""
    pid = document("status")["pid"]["control"]
    os.kill(pid, 9)

    assert document("status")["pid"]["control"] != pid


def test_any_bytes_on_the_socket_leave_it_answering(lab) -> None:
    """Whoever may open it may send anything."""
    import random
    import socket

    for size in range(1, 60):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(lab.socket)
            connection.sendall(random.randbytes(size * 10))
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(12).startswith(b"HTTP/1.1 4")

    assert document("status")["ready"] is True


def test_doctor_knows_what_is_natlbs_own(lab) -> None:
    """Its devices and rules are no leftovers while it runs."""
    done = inside("doctor", "-c", str(lab.configuration))

    assert done.returncode == 0, done.stdout
    assert "natlb runs in this namespace" in done.stdout
    assert "ok    public" in done.stdout


def test_a_crash_of_everything_is_cleaned_up(lab) -> None:
    """The network as it was, and room for the next one. The last test: it ends the lab's natlb."""
    pids = document("status")["pid"]
    os.kill(pids["supervisor"], signal.SIGKILL)

    early = inside("cleanup")
    assert early.returncode == 75
    assert "supervisor is dead" in early.stderr
    assert document("status")["ready"] is True

    words = Path(f"/proc/{pids['control']}/environ").read_text().split("\0")
    (token,) = [word.partition("=")[2] for word in words if word.startswith(INSTANCE_VARIABLE)]
    assert kill_all_with(token)
    assert "proto 78" in network()
    done = inside("cleanup")
    assert done.returncode == 0, done.stderr
    assert "undone " in done.stdout
    assert "proto 78" not in network()
    assert inside("cleanup").stdout == "nothing to undo\n"
    assert inside("status").returncode == 69
    labs.up(name=NAME)
    assert document("status")["ready"] is True
    client_asks()


def network() -> str:
    """Return the links and rules of the namespace that natlb runs in."""
    words = ("ip link; ip rule; ip -6 rule",)
    return started(*NATLB, "lab", "exec", NAME, "lb", "--", "sh", "-c", *words).stdout
