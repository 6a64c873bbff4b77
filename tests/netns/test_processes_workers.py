"""Two workers in one instance: who gets what, and what a death of one costs; real traffic."""

from __future__ import annotations

import contextlib
import socket
import threading
from functools import partial
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING

import pytest

from natlb.errors import ConfigError
from natlb.model import FlowFilter
from natlb.netlink import Netlink, call_inside, write_sysctl
from tests.bpf_kernel import needs_bpf
from tests.netns.process_lab import BACKENDS, VIP, Load, ProcessLab, eventually, kill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.model import Flow, WorkerStatistics

pytestmark = pytest.mark.netns

CLIENTS = tuple(f"198.51.100.{last}" for last in range(20, 60))
CLOSED = 8081  # a port of the backends where nobody listens
CONFIG = """
datapath: {workers: 2, source: [10.77.0.200]}
services:
  web: {listen: "tcp://203.0.113.10:80", backends: &all ["10.77.0.11:8080", "10.77.0.12:8080"]}
  full: {listen: "tcp://203.0.113.10:81", backends: *all, nat: full}
  dns: {listen: "udp://203.0.113.10:53", backends: *all}
  full-dns: {listen: "udp://203.0.113.10:54", backends: *all, nat: full}
  shut: {listen: "udp://203.0.113.10:55", backends: ["10.77.0.11:8081"], passive: false}
  full-shut:
    {listen: "udp://203.0.113.10:56", backends: ["10.77.0.11:8081"], passive: false, nat: full}
"""


class Mirror:
    """A backend that sends every datagram back."""

    def __init__(self, namespace: str, address: str) -> None:
        """Listen at port 8080."""
        self._socket = call_inside(namespace, lambda: socket.socket(type=socket.SOCK_DGRAM))
        self._socket.bind((address, 8080))
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                datagram, sender = self._socket.recvfrom(1 << 16)
                if not sender:
                    return
                self._socket.sendto(datagram, sender)

    def close(self) -> None:
        """Answer no more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        self._socket.close()


@pytest.fixture(scope="module")
def lab() -> Iterator[ProcessLab]:
    """Return a lab whose natlb has two workers, and whose client has many addresses."""
    needs_bpf()
    with ProcessLab("workers") as made, contextlib.ExitStack() as stack:
        with Netlink(made.client) as netlink:
            for client in CLIENTS:
                netlink.add_address("eth0", ip_interface(f"{client}/24"))
        for name, namespace in made.hosts.items():
            # One error a second to an address, else: all those of full NAT go to one.
            write_sysctl("net/ipv4/icmp_ratelimit", "0", netns=namespace)
            stack.callback(Mirror(namespace, BACKENDS[name]).close)
        made.configure(CONFIG)
        made.run()
        yield made


def ask(lab: ProcessLab, client: str, port: int, octets: int = 10) -> bytes | None:
    """Return what comes back of a datagram; None where the host says that nobody is there."""
    asking = call_inside(lab.client, lambda: socket.socket(type=socket.SOCK_DGRAM))
    with asking:
        asking.settimeout(30)
        asking.bind((client, 0))
        asking.connect((VIP, port))
        asking.send(bytes(octets))
        try:
            return asking.recv(1 << 16)
        except ConnectionRefusedError:
            return None


def home_of(flow: Flow) -> int:
    """Return the worker that a flow's client is steered to: natlb.core.steering, by the book."""
    h = 0xFFFF * 0x1E35A7BD + int(ip_address(flow.client.rpartition(":")[0]))
    for _ in range(2):
        h %= 1 << 32
        h = (h ^ h >> 16) * 0x045D9F3B
    h %= 1 << 32
    return (h ^ h >> 16) % 2


def is_replaced(lab: ProcessLab, before: WorkerStatistics) -> bool:
    """Return whether another worker forwards in the place of this one."""
    now = lab.api.stats().workers[before.index]
    return lab.api.status().ready and now != before and now.pid != 0


def answers(lab: ProcessLab, client: str) -> bool:
    """Return whether a new connection is answered."""
    with contextlib.suppress(OSError):
        return lab.call(client).echo() == b"hello\n"
    return False


def test_no_flow_is_ever_seen_by_two_workers(lab: ProcessLab) -> None:
    """Both directions, errors about them, later fragments, full NAT, hairpin."""
    for client in CLIENTS:
        for port in (80, 81):
            assert lab.call(client, port).echo() == b"hello\n"
        assert len(ask(lab, client, 53) or b"") == 10
        assert len(ask(lab, client, 53, 4000) or b"") == 4000  # three fragments each way
        assert len(ask(lab, client, 54) or b"") == 10
        assert ask(lab, client, 55) is None  # an ICMP error, to the client's address
        assert ask(lab, client, 56) is None  # and to natlb's own
    assert lab.call(host=lab.hosts["b1"]).echo() == b"hello\n"

    stats, flows = lab.api.stats(), lab.api.flows()
    assert stats.drops == {}
    assert stats.replies == {}
    assert stats.packets.passed == 0
    assert {flow.worker for flow in flows} == {0, 1}
    assert [flow.worker for flow in flows] == [home_of(flow) for flow in flows]
    assert len(flows) == stats.flows.current == 7 * len(CLIENTS) + 1
    assert {flow.worker for flow in flows if flow.source} == {0, 1}
    assert sum(each.flows.current for each in lab.api.backends()) == len(flows)


def test_all_workers_answer_for_one_instance(lab: ProcessLab) -> None:
    """A flush reaches the flows of each; whoever drains is empty when all of them are."""
    lab.call(CLIENTS[0]), lab.call(CLIENTS[1])
    before = [flow for flow in lab.api.flows() if flow.service == "web"]
    done = lab.api.flush(FlowFilter(service="web"), reset=True)

    assert done.flushed == len(before) > 0
    assert not [flow for flow in lab.api.flows() if flow.service == "web"]
    stats, status = lab.api.stats(), lab.api.status()
    assert [each.index for each in stats.workers] == [0, 1]
    assert [each.pid for each in stats.workers] == status.pid.workers
    assert stats.flows.current <= stats.flows.peak <= stats.flows.opened


def test_workers_killed_in_turn_lose_nothing(lab: ProcessLab) -> None:
    """While clients of both talk; the other one is not disturbed."""
    load = Load(lab, 6, CLIENTS)
    for index in (0, 1, 0):
        before = lab.api.stats().workers
        load.go_on()
        kill(before[index].pid)
        eventually(partial(is_replaced, lab, before[index]), 60.0)
        after = lab.api.stats().workers
        assert after[index].restarts == before[index].restarts + 1
        assert after[1 - index] == before[1 - index]
        load.go_on()
    load.stop()

    assert load.failures == []
    assert {"out-of-state", "icmp-unmatched"}.isdisjoint(lab.api.stats().drops)


def test_another_number_of_workers_needs_a_restart(lab: ProcessLab) -> None:
    """State of two is never read as that of three."""
    lab.configure(CONFIG.replace("workers: 2", "workers: 3"))
    with pytest.raises(ConfigError, match=r"datapath\.workers|restart"):
        lab.api.reload()
    (old,) = [run for run in lab.runs if run.poll() is None]
    lab.run("--replace")
    assert old.wait(20) == 0

    eventually(lambda: lab.said("reload_refused"), 60.0)
    assert len(lab.api.status().pid.workers) == 2
    assert lab.call(CLIENTS[0]).echo() == b"hello\n"


def test_a_device_that_was_deleted_comes_back_with_all_its_queues(lab: ProcessLab) -> None:
    """And with its program."""
    with Netlink(lab.gateway) as netlink:
        netlink.delete_link("natlb-prv")
    eventually(lambda: lab.said("device_rebuilt"), 60.0)
    before = lab.api.stats().drops

    for client in CLIENTS:
        eventually(partial(answers, lab, client), 60.0)
    assert lab.api.stats().drops.get("out-of-state", 0) == before.get("out-of-state", 0)
