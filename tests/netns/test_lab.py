"""Labs for real: namespaces, wires, servers; with nothing in natlb's place where that is enough."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from natlb import lab as labs
from natlb.errors import BusyError, ConfigError, UnknownNameError
from natlb.lab import record
from natlb.lab.loader import Phase
from natlb.lab.process import inhabitants, start_time, stop
from natlb.lab.topology import load_topology
from natlb.lab.traffic import send_traffic
from natlb.netlink import call_inside, create_namespace, delete_namespace, identity, namespaces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from natlb.lab.record import Lab

pytestmark = pytest.mark.netns

TOPOLOGIES = ("basic", "routed", "two-sides")
NAME = f"tlab{os.getpid()}"


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    """Take down what a failed test left."""
    yield
    if NAME in record.names():
        labs.down(name=NAME)


@pytest.fixture(params=TOPOLOGIES)
def lab(request: pytest.FixtureRequest) -> Lab:
    """Return a lab of each topology, without natlb."""
    return labs.up(name=NAME, topology=request.param, balancer=False)


@pytest.fixture
def basic() -> Lab:
    """Return a lab of the first topology, without natlb."""
    return labs.up(name=NAME, balancer=False)


def asked(lab: Lab, host: str, *, address: str, kind: str = "requests") -> dict[str, int]:
    """Return who answers a host's requests to a backend's address."""
    phase = Phase(
        service="direct",
        kind=kind,  # type: ignore[arg-type]
        address=address,
        port=9000 if kind == "datagrams" else 8080,
        count=20,
        concurrency=4,
        sources=[],
    )
    from_host = replace(lab, client=host)
    [outcome] = send_traffic(from_host, [phase], deadline=20, progress=lambda *_: None)
    assert not outcome.errors
    return outcome.backends


def nothing_is_left(inodes: list[int]) -> bool:
    """Whether no name, no process and no file tells of the lab."""
    mine = [name for name in namespaces() if name.startswith(NAME)]
    files = [record.LABS / NAME, *(Path("/run/natlb") / str(inode) for inode in inodes)]
    return not mine and not inhabitants(inodes) and not any(file.exists() for file in files)


def test_up_makes_every_host_and_down_leaves_nothing(lab: Lab) -> None:
    """Whatever the topology."""
    paper = load_topology(lab.topology)
    inodes = [identity(netns) for netns in lab.namespaces.values()]

    assert [*lab.namespaces] == [*paper.hosts]
    assert set(lab.namespaces.values()) <= set(namespaces())
    assert len(inhabitants(inodes)) == len(paper.backends)
    assert labs.down(name=NAME) == [f"{NAME}-{host}" for host in paper.hosts]
    assert nothing_is_left(inodes)


@pytest.mark.parametrize("address", ["10.77.0.12", "fd00:77::12"])
@pytest.mark.parametrize("kind", ["connections", "requests", "datagrams"])
def test_a_backend_answers_its_neighbours_with_its_name(
    basic: Lab, address: str, kind: str
) -> None:
    """Over TCP and UDP, IPv4 and IPv6, at once: no address is still being tried out."""
    assert asked(basic, "b3", address=address, kind=kind) == {"b2": 20}
    assert asked(basic, "lb", address=address, kind=kind) == {"b2": 20}


def test_routers_forward_and_natlbs_host_does_not(lab: Lab) -> None:
    """Natlb turns on what it needs by itself, so nothing of the lab must have done it."""
    forwards = {
        host: call_inside(netns, Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text)
        for host, netns in lab.namespaces.items()
    }
    routers = {host for host, value in forwards.items() if value.strip() == "1"}

    assert routers == ({"router1", "router2"} if lab.topology == "routed" else set())


def test_the_backends_are_reached_through_their_router() -> None:
    """From natlb's host, one hop away; the client has no way to them but natlb."""
    lab = labs.up(name=NAME, topology="routed", balancer=False)

    for address in ("10.77.0.13", "fd00:77::13"):
        assert asked(lab, "lb", address=address) == {"b3": 20}


def test_up_twice_is_up_once(basic: Lab) -> None:
    """Nothing is started again and nothing made again."""
    assert labs.up(name=NAME, balancer=False) == basic


def test_up_mends_what_has_died(basic: Lab) -> None:
    """A backend killed to see what happens comes back."""
    heard: list[str] = []
    victim = basic.process("backend", "b2")
    assert victim is not None
    stop([victim.pid], grace=0.0)
    assert [each.state for each in labs.ls() if each.name == NAME] == ["broken"]
    labs.up(name=NAME, balancer=False, say=heard.append)

    assert heard == [f"backend started in {NAME}-b2"]
    assert [each.state for each in labs.ls() if each.name == NAME] == ["up"]
    assert asked(basic, "b1", address="10.77.0.12") == {"b2": 20}


def test_a_lab_that_lost_a_namespace_is_made_anew(basic: Lab) -> None:
    """Half of a lab is none."""
    heard: list[str] = []
    delete_namespace(basic.netns("b2"))
    again = labs.up(name=NAME, balancer=False, say=heard.append)

    assert f"lab {NAME!r} was left half-made: removed" in heard
    assert asked(again, "b2", address="10.77.0.11") == {"b1": 20}


def test_another_topology_is_refused_while_the_lab_is_up(basic: Lab) -> None:
    """Somebody may be playing in it."""
    with pytest.raises(BusyError, match="is up with topology basic"):
        labs.up(name=NAME, topology="routed", balancer=False)
    assert asked(basic, "b1", address="10.77.0.12") == {"b2": 20}


def test_somebody_elses_namespace_is_neither_taken_nor_removed() -> None:
    """A name in use is told before anything is made."""
    create_namespace(f"{NAME}-lb")
    try:
        with pytest.raises(BusyError, match=f"are no lab's: {NAME}-lb"):
            labs.up(name=NAME, balancer=False)
        assert [each for each in namespaces() if each.startswith(NAME)] == [f"{NAME}-lb"]
        assert NAME not in record.names()
    finally:
        delete_namespace(f"{NAME}-lb")


def test_a_lab_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    """Here the kernel refuses a route, when namespaces and wires stand already."""
    text = (Path(__file__).parents[2] / "netns" / "basic.yaml").read_text()
    broken = tmp_path / "broken.yaml"
    broken.write_text(text.replace("0.0.0.0/0: 10.77.0.1", "0.0.0.0/0: 10.99.0.1"))

    with pytest.raises(Exception, match=r"cannot add route 0\.0\.0\.0/0 via 10\.99\.0\.1"):
        labs.up(name=NAME, topology=str(broken), balancer=False)
    assert nothing_is_left([])


def test_a_file_that_is_no_topology_makes_nothing(tmp_path: Path) -> None:
    """It is read to its end before the first namespace."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("hosts: {}\n")

    with pytest.raises(ConfigError):
        labs.up(name=NAME, topology=str(broken), balancer=False)
    assert nothing_is_left([])


def test_a_command_runs_inside_with_our_files_and_its_exit_status(
    basic: Lab, capfd: pytest.CaptureFixture[str]
) -> None:
    """`lab exec` is what `ip netns exec` is, without iproute2; /sys is the host's own."""
    code = "import os, sys; print(sorted(os.listdir('/sys/class/net'))); sys.exit(7)"
    command = [sys.executable, "-c", code]

    assert labs.run_in(name=NAME, host="b1", command=command) == 7
    assert capfd.readouterr().out == "['eth0', 'lo']\n"


def test_an_unknown_host_is_refused_with_those_there_are(basic: Lab) -> None:
    """And an unknown lab."""
    with pytest.raises(UnknownNameError, match="there are client, lb, b1, b2, b3"):
        labs.run_in(name=NAME, host="b9", command=["true"])
    with pytest.raises(UnknownNameError, match="no lab"):
        labs.run_in(name=f"{NAME}x", host="b1", command=["true"])


def test_down_ends_what_a_user_started_in_the_lab(basic: Lab) -> None:
    """Found by the namespace, also one that ignores SIGTERM."""
    inodes = [identity(netns) for netns in basic.namespaces.values()]
    deaf = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", deaf]
    process = call_inside(
        basic.netns("b1"), lambda: subprocess.Popen(command, stdout=subprocess.PIPE)
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        labs.down(name=NAME)

    assert start_time(process.pid) is None
    assert nothing_is_left(inodes)


UP_AND_DIE = """
import os, sys
from natlb import lab
from natlb.lab import lifecycle
lifecycle.start_backends = lambda made, paper: os.kill(os.getpid(), 9)
lab.up(name=sys.argv[1], balancer=False)
"""


@pytest.mark.parametrize("then", ["up", "down"])
def test_a_lab_whose_maker_was_killed_is_found(then: str) -> None:
    """What is to be made is written down before it is made."""
    killed = subprocess.run([sys.executable, "-c", UP_AND_DIE, NAME], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [each.state for each in labs.ls() if each.name == NAME] == ["making"]
    assert len([each for each in namespaces() if each.startswith(NAME)]) == 5

    if then == "up":
        assert asked(labs.up(name=NAME, balancer=False), "b1", address="10.77.0.12") == {"b2": 20}
    labs.down(name=NAME)
    assert nothing_is_left([])


def test_two_labs_stand_side_by_side(basic: Lab) -> None:
    """With the same addresses: nothing joins them."""
    other = labs.up(name=f"{NAME}b", topology="two-sides", balancer=False)
    try:
        assert asked(basic, "b1", address="10.77.0.12") == {"b2": 20}
        assert asked(other, "b1", address="10.77.0.13") == {"b3": 20}
        assert {NAME, f"{NAME}b"} <= {each.name for each in labs.ls()}
    finally:
        labs.down(name=f"{NAME}b")
    assert asked(basic, "b1", address="10.77.0.12") == {"b2": 20}


ORDINARY = """
import os, sys
from pathlib import Path
from natlb import lab
name = sys.argv[1]
if sys.argv[2] == "up":
    made = lab.up(name=name, balancer=False)
if sys.argv[2] == "look":
    print([each.state for each in lab.ls()], flush=True)
    sys.exit(lab.run_in(name=name, host="b1", command=["sh", "-c", "id -u; ls /run/netns; exit 3"]))
if sys.argv[2] == "down":
    print(len(lab.down(all_=True)))
"""


@pytest.fixture
def ordinary() -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Return the runner of a step as a user without capabilities.

    It is root's uid without them, so that the interpreter can be read wherever it lies. CAP_SETFCAP
    stays, which the kernel wants of who maps uid 0 (Linux 5.12, user_namespaces(7)).
    """
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv, of util-linux")
    if not int(Path("/proc/sys/user/max_user_namespaces").read_text()):
        pytest.skip("needs user namespaces: user.max_user_namespaces is 0")
    drop = ["setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all"]

    def run(step: str) -> subprocess.CompletedProcess[str]:
        command = [*drop, sys.executable, "-c", ORDINARY, NAME, step]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return run


def test_an_ordinary_user_has_labs_in_a_user_namespace(
    ordinary: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    """From one command to the next, unseen by the host, and gone with the last lab."""
    try:
        assert ordinary("up").stderr == ""
        look = ordinary("look")
        assert not [name for name in namespaces() if name.startswith(NAME)]
    finally:
        down = ordinary("down")

    assert look.stdout.splitlines()[:2] == ["['up']", "0"]
    assert set(look.stdout.split()[2:]) == {
        f"{NAME}-{host}" for host in ("client", "lb", "b1", "b2", "b3")
    }
    assert look.returncode == 3
    assert (down.stdout, down.stderr) == ("5\n", "")
    assert holders() == []


def holders() -> list[int]:
    """Return the processes that keep user namespaces with labs."""
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"natlb.lab.holder" in path.read_bytes() and start_time(int(path.parent.name))
    ]
