"""Whatever is done to a pool: new flows go to who may take them, and tracked ones stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from natlb.core.policy import POLICY_NAMES
from natlb.engine import DropReason, Engine, Verdict
from natlb.testing import packets
from tests.datapath import VIP, backend_of, config, established
from tests.unit.control.compile.test_pools import naive_pool

if TYPE_CHECKING:
    from natlb.model import HealthName

SMALL = {
    "maglev": {"name": "maglev", "size": 1009},
    "rendezvous": {"name": "rendezvous", "slots": 1024},
    "bounded-load": {"name": "bounded-load", "size": 1009},
}
NAMES = ("b1", "b2", "b3", "spare")
CHANGES: list[dict[str, Any]] = [
    *({"state": state} for state in ("ready", "ready", "draining", "maint")),
    *({"health": health} for health in ("up", "down", "unknown")),
    *({"weight": weight} for weight in (0, 1, 5)),
]


class Changing(RuleBasedStateMachine):
    """A TCP and a UDP service over the same four backends, the last of them a backup."""

    @initialize(
        policy=st.sampled_from(POLICY_NAMES),
        threshold=st.sampled_from([0, 0.5, 0.75]),
        slow_start=st.sampled_from(["none", 30]),
    )
    def begin(self, policy: str, threshold: float, slow_start: Any) -> None:
        """Take a policy; all are up."""
        backends = [
            {"name": name, "address": f"10.9.0.{at}:80", "backup": name == "spare"}
            for at, name in enumerate(NAMES, 11)
        ]
        common = {
            "backends": backends,
            "policy": SMALL.get(policy, policy),
            "panic_threshold": threshold,
            "slow_start": slow_start,
        }
        services = {
            "web": {"listen": f"tcp://{VIP}:80", **common},
            "dns": {"listen": f"udp://{VIP}:80", **common},
        }
        self.path = Engine(config(services))
        self.now = 0.0
        self.clients = 0
        self.calls: dict[str, str] = {}  # established, and to whom
        self.datagrams: dict[str, str] = {}

    def _pool(self) -> dict[str, str]:
        """Return who takes new flows by the documents' words, by where they are reached."""
        web = self.path._config.services["web"]
        names = naive_pool(web, self.path._run_time)
        return {f"{each.address}:80": each.name for each in web.backends if each.name in names}

    @rule(name=st.sampled_from(NAMES), change=st.sampled_from(CHANGES), seconds=st.integers(0, 20))
    def change(self, name: str, change: dict[str, Any], seconds: int) -> None:
        """Change a backend for both services; `maint` ends the flows that it has."""
        self.now += seconds
        self.path.tick(self.now)
        for service in ("web", "dns"):
            self.path.set_backend(f"{service}/{name}", **change)
        if change.get("state") == "maint":
            gone = f"10.9.0.{11 + NAMES.index(name)}:80"
            for flows in (self.calls, self.datagrams):
                for client in [client for client, server in flows.items() if server == gone]:
                    del flows[client]

    @rule(down=st.sets(st.sampled_from(NAMES)))
    def judge(self, down: set[str]) -> None:
        """Have checks find these down, and the others up."""
        for service in ("web", "dns"):
            for name in NAMES:
                health: HealthName = "down" if name in down else "up"
                self.path.set_backend(f"{service}/{name}", health=health)

    @rule()
    def call(self) -> None:
        """Open a connection: to one of the pool, or to nobody where it is empty."""
        self.clients += 1
        client, pool = f"198.51.100.{self.clients}:40000", self._pool()
        if not pool:
            refused = self.path.process(packets.tcp(client, f"{VIP}:80"), self.now)
            assert refused.reason is DropReason.NO_BACKEND
            return
        self.calls[client] = established(self.path, client, self.now)
        assert self.calls[client] in pool

    @rule()
    def send(self) -> None:
        """Send datagrams of every client, a new one's among them, twice.

        One stays where it was unless that one is known to be down, and believed to be.
        """
        self.clients += 1
        pool = self._pool()
        web, run_time = self.path._config.services["web"], self.path._run_time
        up = {name for name in pool.values() if not self._is_down(name)}
        panics = bool(pool) and len(up) < len(pool)
        for client in [*self.datagrams, f"198.51.101.{self.clients}:40000"]:
            server = self.datagrams.pop(client, None)
            names = {f"{each.address}:80": each.name for each in web.backends}
            stays = server is not None and (panics or not self._is_down(names[server]))
            sent = [self.path.process(packets.udp(client, f"{VIP}:80"), self.now) for _ in "12"]
            if not stays and not pool:
                assert {each.reason for each in sent} == {DropReason.NO_BACKEND}
                continue
            went = {packets.read(each.packets[0]).destination for each in sent}
            assert len(went) == 1
            (self.datagrams[client],) = went
            assert went == {server} if stays else went <= pool.keys(), run_time

    def _is_down(self, name: str) -> bool:
        now = self.path._run_time.get(("web", name))
        return now is not None and now.health == "down"

    @rule()
    def go_on(self) -> None:
        """Have every connection go on, both ways: none has moved or ended."""
        for client, server in self.calls.items():
            assert backend_of(self.path, client, self.now) == server
            answer = self.path.process(packets.tcp(server, client, "A"), self.now)
            assert answer.verdict is Verdict.FORWARD


Changing.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestChanging = Changing.TestCase
