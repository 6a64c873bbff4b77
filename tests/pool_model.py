"""What holds of a service's choices whatever its policy, the plain way: who may get a new flow.

It chooses nothing. Of each new flow it says which backends are allowed to get it, or why nobody is.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Server:
    """A configured backend, and what is true of it now; `most` 0 is no limit."""

    weight: int = 1
    backup: bool = False
    most: int = 0
    state: str = "ready"
    is_down: bool = False

    @property
    def is_able(self) -> bool:
        """Whether its operator lets it have new flows."""
        return self.state == "ready" and self.weight > 0


@dataclass
class PoolModel:
    """The backends of a service by name; `timeout` is of affinity, 0: there is none.

    `known` is which backend each client's last flow got, and when; None: it may be forgotten.
    """

    servers: dict[str, Server]
    threshold: float = 0.0
    timeout: float = 0.0
    known: dict[str, tuple[str, float] | None] = field(default_factory=dict)

    def is_in_panic(self) -> bool:
        """Return whether health is ignored."""
        primaries = [s for s in self.servers.values() if s.is_able and not s.backup]
        backups = [s for s in self.servers.values() if s.is_able and s.backup]
        up = sum(not s.is_down for s in primaries)
        if up:
            return up / len(primaries) < self.threshold
        return self.threshold > 0 and all(s.is_down for s in backups)

    def pool(self) -> set[str]:
        """Return who takes new flows."""
        able = {name: server for name, server in self.servers.items() if server.is_able}
        if not self.is_in_panic():
            able = {name: server for name, server in able.items() if not server.is_down}
        return {name for name in able if not able[name].backup} or set(able)

    def allowed(self, client: str, now: float, loads: dict[str, int]) -> set[str]:
        """Return the backends that may get a client's new flow, by how many each has."""
        free = {
            name
            for name in self.pool()
            if not self.servers[name].most or loads.get(name, 0) < self.servers[name].most
        }
        known = self.known.get(client) if self.timeout else None
        if known is not None and known[0] in free and now - known[1] < self.timeout:
            return {known[0]}
        return free

    def give(self, client: str, server: str, now: float) -> None:
        """Note which backend a client's new flow got."""
        self.known[client] = server, now

    def replace(self, servers: dict[str, Server]) -> None:
        """Put other backends in force; who comes back may be known to its clients, or not."""
        for client, known in self.known.items():
            if known is not None and known[0] not in servers:
                self.known[client] = None
        self.servers = servers
