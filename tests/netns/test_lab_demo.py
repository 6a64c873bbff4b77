"""Labs with natlb running in them, and the demo from its first line to its last."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from natlb import lab as labs
from natlb.client import Client
from natlb.errors import NatlbError
from natlb.lab import record
from natlb.lab.process import inhabitants, start_time
from natlb.lab.topology import load_topology
from natlb.lab.traffic import plan_traffic, send_traffic
from natlb.netlink import identity, namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.lab.loader import Outcome
    from natlb.lab.record import Lab

pytestmark = pytest.mark.netns

NAME = f"nlab{os.getpid()}"
DEMO = [sys.executable, "-m", "natlb.cli", "lab", "demo"]


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    """Take down what a failed test left, and demos whose process is gone."""
    yield
    for name in record.names():
        lab = record.load(name)
        abandoned = lab is not None and lab.owner is not None and not lab.owner.alive
        if name == NAME or abandoned:
            labs.down(name=name)


@pytest.fixture
def lab() -> Lab:
    """Return a lab with natlb."""
    return labs.up(name=NAME)


def sent(lab: Lab, count: int = 60) -> list[Outcome]:
    """Return what the client saw of some of each kind of traffic."""
    phases = plan_traffic(load_topology(lab.topology), count)
    return list(send_traffic(lab, phases, deadline=60, progress=lambda *_: None))


def demo(*options: str) -> tuple[dict[str, Any], str]:
    """Return the document of a demo, and what it said."""
    command = [*DEMO, "--json", "--count", "90", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        out, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert left_by(process.pid) == []
    return json.loads(out), said


def counted(document: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return what natlb counted: flows of each service, packets of the UDP ones."""
    datagrams = {"echo": 0, "echo6": 0}
    for backend in document["backends"]:
        if backend["service"] in datagrams:
            datagrams[backend["service"]] += sum(backend["packets"].values())
    flows = {service["name"]: service["flows"]["total"] for service in document["services"]}
    return {"flows": flows, "datagrams": datagrams}


def left_by(pid: int) -> list[str]:
    """Return the labs of the demo that was this process; somebody else's may run beside it."""
    labs_there = (record.load(name) for name in record.names())
    return [lab.name for lab in labs_there if lab and lab.owner and lab.owner.pid == pid]


@pytest.mark.parametrize("topology", ["basic", "routed", "two-sides"])
def test_the_demo_spreads_real_traffic_and_leaves_nothing(topology: str) -> None:
    """Every request answered, every backend used, over both protocols and IP versions."""
    document, said = demo("--topology", topology)
    first, *lines = said.splitlines()

    assert first.startswith(f"natlb {document['version']}, {document['engine']}, Python ")
    assert document["errors"] == 0
    assert document["answered"] == 6 * 90
    assert [phase["service"] for phase in document["traffic"]] == [
        "web", "web", "web6", "web6", "echo", "echo6",
    ]  # fmt: skip
    for phase in document["traffic"]:
        assert [*phase["backends"]] == ["b1", "b2", "b3"]
        if phase["service"].startswith("web"):
            assert max(phase["backends"].values()) - min(phase["backends"].values()) <= 90 // 12 + 1
    assert counted(document) == {
        # A flow for each connection; a packet for each datagram and for each answer.
        "flows": {"web": 90 + 12, "web6": 90 + 12, "echo": 32, "echo6": 32},
        "datagrams": {"echo": 180, "echo6": 180},
    }
    assert f"removed {len(document['removed'])} namespaces" in lines


def test_a_pipe_gets_lines() -> None:
    """Line 1 says what runs; the table is that of ipvsadm; the last lines say what to try next."""
    done = subprocess.run(
        [*DEMO, "--count", "12"], capture_output=True, text=True, check=False, timeout=240
    )
    text = done.stdout

    assert done.returncode == 0, done.stderr
    assert text.startswith("natlb ")
    assert "\x1b" not in text
    assert "\nTCP  203.0.113.10:80 " in text
    assert "\n  -> web/b1  10.77.0.11:8080 " in text
    assert "\nerrors 0\nremoved 5 namespaces\ntry next:\n" in text


@pytest.mark.parametrize(
    ("number", "after"), [(signal.SIGINT, "lab up"), (signal.SIGTERM, "natlb ready")]
)
def test_an_interrupted_demo_leaves_nothing(number: signal.Signals, after: str) -> None:
    """Whether natlb is just starting, or traffic is under way."""
    command = [*DEMO, "--count", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(after):
                process.send_signal(number)
                break
        rest = process.stdout.read()

    assert process.returncode == 130
    assert rest.endswith("removed 5 namespaces\n")
    assert left_by(process.pid) == []


def test_what_a_killed_demo_left_the_next_one_removes() -> None:
    """Nobody can clean up after SIGKILL but the next to come."""
    command = [*DEMO, "--count", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("natlb ready"):
                break
        process.kill()
    assert len(left_by(process.pid)) == 1
    demo()

    assert left_by(process.pid) == []


@pytest.mark.parametrize("driver", ["auto", "packet"])
def test_a_demo_as_an_ordinary_user_runs_in_a_user_namespace(driver: str) -> None:
    """Where the host allows it; root without capabilities is one (see test_lab)."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv, of util-linux")
    if not int(Path("/proc/sys/user/max_user_namespaces").read_text()):
        pytest.skip("needs user namespaces: user.max_user_namespaces is 0")
    drop = ["setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all"]
    done = subprocess.run(
        [*drop, *DEMO, "--driver", driver, "--json", "--count", "24"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["errors"] == 0
    assert not [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"natlb.lab.holder" in path.read_bytes() and start_time(int(path.parent.name))
    ]


def test_natlb_is_ready_when_up_returns_and_up_again_changes_nothing(
    lab: Lab, capfd: pytest.CaptureFixture[str]
) -> None:
    """On the socket that `up` tells, and without it for a command in natlb's host."""
    command = [sys.executable, "-m", "natlb.cli", "services", "--json"]
    assert labs.run_in(name=NAME, host="lb", command=command) == 0
    services = json.loads(capfd.readouterr().out)
    status = Client(lab.socket).status()

    assert status.ready
    assert status.config == str(lab.configuration)
    assert [each["name"] for each in services] == ["web", "web6", "echo", "echo6"]
    assert not [outcome.errors for outcome in sent(lab) if outcome.errors]
    before = [each.flows.total for each in Client(lab.socket).services()]
    assert labs.up(name=NAME) == lab
    assert [each.flows.total for each in Client(lab.socket).services()] == before


@pytest.mark.parametrize("everything", [False, True])
def test_up_mends_a_natlb_that_was_killed(lab: Lab, everything: bool) -> None:
    """The supervisor alone, or all of its processes."""
    natlb = lab.process("natlb", "lb")
    assert natlb is not None
    pids = inhabitants([identity(lab.netns("lb"))]) if everything else [natlb.pid]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    while natlb.alive:
        time.sleep(0.01)
    again = labs.up(name=NAME)

    assert again.process("natlb", "lb") != natlb
    assert Client(again.socket).status().ready
    assert not [outcome.errors for outcome in sent(again) if outcome.errors]


@pytest.mark.parametrize("supervisor_killed", [False, True])
def test_down_leaves_nothing_of_natlb(lab: Lab, supervisor_killed: bool) -> None:
    """No process of it, also where its supervisor is gone; no socket, no state, no journal."""
    inodes = [identity(netns) for netns in lab.namespaces.values()]
    natlb = lab.process("natlb", "lb")
    assert natlb is not None
    if supervisor_killed:
        os.kill(natlb.pid, signal.SIGKILL)
    assert len(labs.down(name=NAME)) == 5

    assert not inhabitants(inodes)
    assert not any((Path("/run/natlb") / str(inode)).exists() for inode in inodes)
    assert not (record.LABS / NAME).exists()


def test_a_configuration_that_natlb_refuses_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """With natlb's own words and exit code."""
    text = (Path(__file__).parents[2] / "netns" / "basic.yaml").read_text()
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace("policy: round-robin", "polcy: round-robin"))

    heard: list[str] = []

    with pytest.raises(NatlbError) as refused:
        labs.up(name=NAME, topology=str(wrong), say=heard.append)
    assert refused.value.exit_code == 65
    assert any("polcy" in line for line in heard)
    assert not [name for name in namespaces() if name.startswith(NAME)]
