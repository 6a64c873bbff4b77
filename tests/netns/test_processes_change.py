"""Changes while traffic goes on: drain, maint, flush, reload, with real connections."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from natlb.control.process import hold
from natlb.errors import ConfigError, HostError
from natlb.model import FlowFilter
from natlb.netlink import Netlink
from tests.netns.process_lab import BACKENDS, CONFIG, Call, ProcessLab, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.netns

ONE = CONFIG.replace('{name: b2, address: "10.77.0.12:8080"}', "")


@pytest.fixture(scope="module")
def running() -> Iterator[ProcessLab]:
    """Return one natlb for all tests of this file."""
    with ProcessLab("h") as made:
        made.run()
        yield made


@pytest.fixture
def lab(running: ProcessLab) -> ProcessLab:
    """Return natlb as it was at its start, without a flow."""
    running.configure(CONFIG)
    running.api.reload()
    for name in BACKENDS:
        running.api.set_backend("web", name, state="ready", weight=1)
    running.api.flush(reset=True)
    return running


def call_of(lab: ProcessLab, backend: str) -> Call:
    """Return a connection that this backend answers."""
    return next(call for call in (lab.call() for _ in range(10)) if call.backend == backend)


def is_reset(call: Call) -> bool:
    """Return whether the connection was ended from outside."""
    try:
        return call.echo() == b""
    except ConnectionResetError:
        return True


def test_a_draining_backend_keeps_its_connections_and_gets_no_new(lab: ProcessLab) -> None:
    """Until it is ready again."""
    old = call_of(lab, "b1")
    lab.api.set_backend("web", "b1", state="draining")
    new = {lab.call().backend for _ in range(6)}

    assert new == {"b2"}
    assert old.echo() == b"hello\n"
    lab.api.set_backend("web", "b1", state="ready")
    assert {lab.call().backend for _ in range(6)} == {"b1", "b2"}


def test_a_backend_in_maint_loses_its_connections_at_both_ends(lab: ProcessLab) -> None:
    """And the other's are not touched."""
    old, other = call_of(lab, "b1"), call_of(lab, "b2")
    lab.api.set_backend("web", "b1", state="maint")

    assert is_reset(old)
    assert other.echo() == b"hello\n"
    assert lab.api.flows(FlowFilter(backend="b1")) == []


def test_a_flush_ends_what_its_filter_names(lab: ProcessLab) -> None:
    """And says how many flows that were, and how many resets."""
    old, other = call_of(lab, "b1"), call_of(lab, "b2")
    ours = len(lab.api.flows(FlowFilter(backend="b1")))
    done = lab.api.flush(FlowFilter(backend="b1", state="established"), reset=True)

    assert (done.flushed, done.resets) == (ours, 2 * ours)
    assert is_reset(old)
    assert other.echo() == b"hello\n"


def test_without_a_backend_that_takes_flows_a_client_is_refused(lab: ProcessLab) -> None:
    """A reset at once, not a time-out."""
    for name in BACKENDS:
        lab.api.set_backend("web", name, state="draining")

    with pytest.raises(ConnectionRefusedError):
        lab.call()


def test_a_removed_backend_drains(lab: ProcessLab) -> None:
    """Its connection goes on, by its name; when it is over the address is given up."""
    old = call_of(lab, "b2")
    lab.configure(ONE)
    done = lab.api.reload()

    assert (done.removed, done.drained) == (["web/b2"], ["web/b2"])
    assert {lab.call().backend for _ in range(4)} == {"b1"}
    assert old.echo() == b"hello\n"
    assert "b2" in {flow.backend for flow in lab.api.flows()}
    assert rules_about(lab, "10.77.0.12")
    old.close()
    lab.api.flush(FlowFilter(backend="b2"))
    eventually(lambda: not rules_about(lab, "10.77.0.12"), 20)


def rules_about(lab: ProcessLab, address: str) -> list[str]:
    """Return the policy rules for what comes from an address, alone or merged with others."""
    with Netlink(lab.gateway) as netlink:
        rules = [rule for rule in netlink.rules(4) if rule.priority == 100]
    return [str(rule) for rule in rules if str(rule.source).startswith(address)]


def test_an_added_backend_and_vip_are_served_at_once(lab: ProcessLab) -> None:
    """Routes and rules follow the configuration; connections do not notice."""
    lab.configure(ONE)
    lab.api.reload()
    old = lab.call()
    lab.configure(CONFIG + "  two: {listen: tcp://203.0.113.11:81, backends: ['10.77.0.12:8080']}")
    done = lab.api.reload()
    with Netlink(lab.gateway) as netlink:
        routes = {str(route.destination) for route in netlink.routes(4)}

    assert done.added == ["web/b2", "two", "two/10.77.0.12:8080"]
    assert "203.0.113.11/32" in routes
    assert {lab.call().backend for _ in range(4)} == {"b1", "b2"}
    assert old.echo() == b"hello\n"


def test_a_bad_reload_changes_nothing(lab: ProcessLab) -> None:
    """Whether the file or the host refuses."""
    old, before = lab.call(), lab.api.status()
    lab.configure("services: {web: {listn: 1}}")
    with pytest.raises(ConfigError, match="listn"):
        lab.api.reload()
    lab.configure(CONFIG.replace("10.77.0.12", "192.0.2.99"))
    with pytest.raises(HostError, match=r"192\.0\.2\.99"):
        lab.api.reload()
    lab.configure(CONFIG + "datapath: {max_flows: 5}")
    with pytest.raises(ConfigError, match="restart"):
        lab.api.reload()

    assert lab.api.status() == before
    assert old.echo() == b"hello\n"


def test_a_hangup_reloads(lab: ProcessLab) -> None:
    """What it did, or why it did not, is in the log."""
    run = lab.runs[0]
    lab.configure(ONE)
    run.send_signal(signal.SIGHUP)
    eventually(lambda: len(lab.api.backends()) == 1)
    lab.configure("services: nonsense")
    refused = lab.said("reload_refused")
    run.send_signal(signal.SIGHUP)
    eventually(lambda: lab.said("reload_refused") > refused)

    assert len(lab.api.backends()) == 1
    process = hold(run.pid)
    assert process is not None
    process.forget()
