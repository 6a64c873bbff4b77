from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from natlb.errors import HostError, NatlbError, WaitTimeoutError
from natlb.lab import balancer, process, record
from natlb.lab.balancer import start_balancer, write_configuration
from natlb.lab.process import stop
from natlb.lab.topology import load_topology

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.lab.record import Lab


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what has a Python program stand for natlb; `tell(words)` writes to standard error."""
    monkeypatch.setattr(
        balancer, "start", lambda _, *rest, **more: process.start(None, *rest, **more)
    )
    monkeypatch.setattr(balancer, "identity", lambda _: 4026)
    begin = "import sys, time\ndef tell(words): print(words, file=sys.stderr, flush=True)\n"

    def stand_in(code: str) -> None:
        monkeypatch.setattr(balancer, "NATLB", (sys.executable, "-c", begin + code))

    return stand_in


def test_natlb_is_ready_when_it_says_so(lab: Lab, pretend: Callable[[str], None]) -> None:
    """What it says before is passed on, line by line; its socket is told by its namespace."""
    said: list[str] = []
    pretend("tell('compiling'); tell('linking'); tell('ready in 0.1 s'); time.sleep(60)")
    up = start_balancer(lab, said.append)
    natlb = up.process("natlb", "lb")
    assert natlb is not None
    stop([natlb.pid], grace=0.0)

    assert said == ["compiling", "linking"]
    assert up.socket == "/run/natlb/4026/natlb.sock"
    assert record.find("paper") == up


def test_what_it_said_before_is_not_taken_for_what_it_says_now(
    lab: Lab, pretend: Callable[[str], None]
) -> None:
    """Its log is kept when it is started again."""
    lab.log("lb").write_text("ready in 0.1 s\n")
    pretend("tell('error: no'); sys.exit(78)")

    with pytest.raises(HostError, match=r"^no$"):
        start_balancer(lab, lambda _: None)


def test_a_refusal_is_raised_as_it_was_said(lab: Lab, pretend: Callable[[str], None]) -> None:
    """With the fix, and the exit code that belongs to it; error lines are not said twice."""
    said: list[str] = []
    pretend("tell('hm'); tell('error: no TUN here'); tell('fix: modprobe tun'); sys.exit(78)")

    with pytest.raises(HostError, match=r"^no TUN here$") as refused:
        start_balancer(lab, said.append)
    assert refused.value.fix == "modprobe tun"
    assert said == ["hm"]


def test_an_end_without_a_word_is_told_with_its_status(
    lab: Lab, pretend: Callable[[str], None]
) -> None:
    """Killed, or a traceback: its last line says most."""
    pretend("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(NatlbError, match="natlb ended with -9: no word"):
        start_balancer(lab, lambda _: None)

    pretend("raise ValueError('oh')")
    with pytest.raises(NatlbError, match="natlb ended with 1: ValueError: oh"):
        start_balancer(lab, lambda _: None)


def test_silence_ends_and_so_does_the_silent(
    lab: Lab, pretend: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What never gets ready does not stay."""
    monkeypatch.setattr(balancer, "READY_SECONDS", 0.3)
    pretend("time.sleep(60)")

    with pytest.raises(WaitTimeoutError, match="natlb is not ready after 0 s"):
        start_balancer(lab, lambda _: None)
    assert record.find("paper").process("natlb", "lb") is None


def test_the_configuration_keeps_its_state_in_the_lab(lab: Lab) -> None:
    """Nothing outlives the lab, also not in /var/lib."""
    write_configuration(lab, load_topology("two-sides"))
    written = YAML(typ="safe").load(lab.configuration)

    assert written["state"] == str(lab.directory / "state")
    assert written["datapath"]["public"] == {"netns": "paper-public"}
    assert [*written["services"]] == ["web", "web6", "echo", "echo6"]


def test_a_topology_may_keep_its_state_elsewhere(lab: Lab) -> None:
    """What it says goes."""
    paper = load_topology("basic")
    write_configuration(lab, replace(paper, natlb={**paper.natlb, "state": "/x"}))

    assert YAML(typ="safe").load(lab.configuration)["state"] == "/x"


def test_the_driver_that_is_asked_for_is_configured(lab: Lab) -> None:
    """What else the topology says of the datapath stays."""
    paper = load_topology("two-sides")
    write_configuration(replace(lab, driver="packet"), paper)
    datapath = YAML(typ="safe").load(lab.configuration)["datapath"]

    assert datapath.pop("driver") == "packet"
    assert set(datapath) == set(paper.natlb["datapath"])
