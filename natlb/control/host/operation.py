"""The single changes to a host's network, each with its exact inverse.

An operation is a plain value: equal ones do the same, and `record` and `from_record` write it to
the journal and read it back. Its life has these steps:

    before(hands)         what must be known to undo it, read from the host; written down first
    do(hands)             the change; KernelError, BusyError or DeniedError if the host refuses
    stands(seen)          whether what was made is still there, wholly; others may have changed it
    mend(hands)           made once more where it does not stand, in part or whole
    undo(hands, before)   the inverse; what is gone already, or was never made, is no error

Routes and rules carry PROTOCOL, and are deleted by it: one that an administrator made alike is
another one, and stays.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from natlb.errors import NatlbError
from natlb.netlink.values import LOCAL_TABLE, KernelError, Proxy, Route, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.control.host.hands import Hands
    from natlb.control.host.seen import Seen
    from natlb.netlink.values import Address, Network, RuleAction

PROTOCOL = 78  # not assigned in iproute2's rt_protos: routes and rules that are natlb's
KERNEL_PROTOCOL = 2  # Linux: rtnetlink.h, RTPROT_KERNEL
GONE = (errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL)

Before = dict[str, Any]  # JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(ABC):
    """One change in the namespace `netns`; the empty name is natlb's own."""

    kind: ClassVar[str]
    netns: str

    @property
    def device(self) -> str | None:
        """The TUN that the kernel drops this with."""
        return None

    def before(self, hands: Hands) -> Before:  # noqa: ARG002 - one signature for all
        """Return what must be known to undo this."""
        return {}

    @abstractmethod
    def do(self, hands: Hands) -> None:
        """Make the change."""

    @abstractmethod
    def stands(self, seen: Seen) -> bool:
        """Return whether the change is there, or cannot be: an interface of others' has gone."""

    def mend(self, hands: Hands) -> None:
        """Make the change once more; some of it may be there."""
        with unless_there():
            self.do(hands)

    @abstractmethod
    def undo(self, hands: Hands, before: Before) -> None:
        """Take the change back."""

    def record(self) -> dict[str, Any]:
        """Return this as JSON."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRoute(Operation):
    """A route to `destination` by a TUN; the host's own packets take `source`, if it is given."""

    kind: ClassVar[str] = "route"
    destination: str
    dev: str
    table: int
    source: str | None = None

    def __str__(self) -> str:
        return f"route {self.destination} dev {self.dev} table {self.table}"

    @property
    def device(self) -> str | None:
        """The TUN."""
        return self.dev

    def do(self, hands: Hands) -> None:
        """Add the route."""
        hands.netlink(self.netns).add_route(self._route())

    def stands(self, seen: Seen) -> bool:
        """Return whether the route is there; the kernel adds a metric to IPv6."""
        route = self._route()
        return any(
            replace(each, metric=None) == route
            for each in seen.routes(self.netns, version_of(route.destination))
        )

    def mend(self, hands: Hands) -> None:
        """Add the route; another one in its place is somebody else's, and KernelError."""
        self.do(hands)

    def undo(self, hands: Hands, before: Before) -> None:  # noqa: ARG002 - one signature for all
        """Delete the route; the kernel may have done so with the device."""
        with unless_gone():
            hands.netlink(self.netns).delete_route(self._route())

    def _route(self) -> Route:
        return Route(
            destination=ip_network(self.destination),
            dev=self.dev,
            table=self.table,
            source=None if self.source is None else ip_address(self.source),
            protocol=PROTOCOL,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRule(Operation):
    """A policy rule; None matches everything. `ports` are destination ports, as `80-89`."""

    kind: ClassVar[str] = "rule"
    version: Literal[4, 6]
    priority: int
    action: RuleAction = "lookup"
    table: int | None = None
    goto: int | None = None
    iif: str | None = None
    inverted: bool = False
    source: str | None = None
    destination: str | None = None
    ip_protocol: int | None = None
    ports: str | None = None

    def __str__(self) -> str:
        chosen = (
            ("iif", self.iif),
            ("from", self.source),
            ("to", self.destination),
            ("ipproto", self.ip_protocol),
            ("dport", self.ports),
        )
        words = [f"{word} {value}" for word, value in chosen if value is not None]
        target = self.table or self.goto or ""
        return " ".join([f"rule {self.priority}", *words, self.action, str(target)]).strip()

    def do(self, hands: Hands) -> None:
        """Add the rule."""
        hands.netlink(self.netns).add_rule(self._rule())

    def stands(self, seen: Seen) -> bool:
        """Return whether the rule is there."""
        return self._rule() in seen.rules(self.netns, self.version)

    def undo(self, hands: Hands, before: Before) -> None:  # noqa: ARG002 - one signature for all
        """Delete the rule."""
        with unless_gone():
            hands.netlink(self.netns).delete_rule(self._rule())

    def _rule(self) -> Rule:
        first, _, last = (self.ports or "").partition("-")
        return Rule(
            version=self.version,
            priority=self.priority,
            action=self.action,
            table=self.table,
            goto=self.goto,
            iif=self.iif,
            inverted=self.inverted,
            source=None if self.source is None else ip_network(self.source),
            destination=None if self.destination is None else ip_network(self.destination),
            ip_protocol=self.ip_protocol,
            ports=(int(first), int(last or first)) if first else None,
            protocol=PROTOCOL,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveLocal(Operation):
    """The rule that asks the table `local`, the first of all, put behind others.

    Only what a rule before `priority` matches is then looked up elsewhere. The new one stands
    before the old one goes, and back likewise: at no instant does the host not know itself.
    """

    kind: ClassVar[str] = "local"
    version: Literal[4, 6]
    priority: int

    def __str__(self) -> str:
        return f"rule {self.priority} lookup local"

    def before(self, hands: Hands) -> Before:
        """Return whether the kernel's own rule is there."""
        return {"was": kernels_local(self.version) in hands.netlink(self.netns).rules(self.version)}

    def do(self, hands: Hands) -> None:
        """Add the rule behind the others, then delete the kernel's."""
        netlink = hands.netlink(self.netns)
        netlink.add_rule(self._moved())
        try:
            with unless_gone():
                netlink.delete_rule(kernels_local(self.version))
        except NatlbError:
            netlink.delete_rule(self._moved())
            raise

    def stands(self, seen: Seen) -> bool:
        """Return whether the rule stands behind, and the kernel's own does not stand before."""
        rules = seen.rules(self.netns, self.version)
        return self._moved() in rules and kernels_local(self.version) not in rules

    def mend(self, hands: Hands) -> None:
        """Have the rule behind the others alone."""
        netlink = hands.netlink(self.netns)
        with unless_there():
            netlink.add_rule(self._moved())
        with unless_gone():
            netlink.delete_rule(kernels_local(self.version))

    def undo(self, hands: Hands, before: Before) -> None:
        """Put the kernel's rule back, then delete the one behind."""
        netlink = hands.netlink(self.netns)
        if before["was"]:
            with unless_there():
                netlink.add_rule(kernels_local(self.version))
        with unless_gone():
            netlink.delete_rule(self._moved())

    def _moved(self) -> Rule:
        return replace(kernels_local(self.version), priority=self.priority, protocol=PROTOCOL)


def kernels_local(version: Literal[4, 6]) -> Rule:
    """Return the rule that every network namespace begins with."""
    return Rule(version=version, priority=0, table=LOCAL_TABLE, protocol=KERNEL_PROTOCOL)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddProxy(Operation):
    """The kernel answers for a VIP on an interface whose subnet holds it."""

    kind: ClassVar[str] = "proxy"
    address: str
    dev: str

    def __str__(self) -> str:
        return f"proxy {self.address} dev {self.dev}"

    def before(self, hands: Hands) -> Before:
        """Return whether it answered already: then that is not natlb's to take away."""
        proxy = self._proxy()
        version = version_of(proxy.address)
        return {"was": proxy in hands.netlink(self.netns).proxies(version)}

    def do(self, hands: Hands) -> None:
        """Have the kernel answer."""
        hands.netlink(self.netns).add_proxy(self._proxy())

    def stands(self, seen: Seen) -> bool:
        """Return whether it answers."""
        proxy = self._proxy()
        if proxy.dev not in seen.links(self.netns):
            return True
        return proxy in seen.proxies(self.netns, version_of(proxy.address))

    def undo(self, hands: Hands, before: Before) -> None:
        """Have it answer no longer, unless it did before."""
        if not before["was"]:
            with unless_gone():
                hands.netlink(self.netns).delete_proxy(self._proxy())

    def _proxy(self) -> Proxy:
        return Proxy(address=ip_address(self.address), dev=self.dev)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSysctl(Operation):
    """A value under /proc/sys; an `optional` one is let be where there is no such key."""

    kind: ClassVar[str] = "sysctl"
    key: str
    value: str
    optional: bool = False

    def __str__(self) -> str:
        return f"{self.key} = {self.value}"

    def before(self, hands: Hands) -> Before:
        """Return the value before."""
        return {"was": hands.read(self.netns, self.key)}

    def do(self, hands: Hands) -> None:
        """Set the value."""
        now = hands.read(self.netns, self.key)
        if now is not None or not self.optional:
            hands.write(self.netns, self.key, self.value)

    def stands(self, seen: Seen) -> bool:
        """Return whether the value is set; that of an interface goes with it."""
        return seen.sysctl(self.netns, self.key) in (self.value, None)

    def undo(self, hands: Hands, before: Before) -> None:
        """Put the old value back, unless somebody has set another since."""
        was, now = before["was"], hands.read(self.netns, self.key)
        if was is not None and now == self.value != was:
            hands.write(self.netns, self.key, was)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardAll(Operation):
    """IPv6 forwarding as kernels before 6.17 know it: all interfaces or none.

    Setting `all` sets every interface's own value, so each is noted and put back.
    """

    kind: ClassVar[str] = "forward6"
    ALL: ClassVar[str] = "net/ipv6/conf/all/forwarding"

    def __str__(self) -> str:
        return f"{self.ALL} = 1"

    def before(self, hands: Hands) -> Before:
        """Return `all`, and which interfaces were routers by themselves."""
        names = hands.names(self.netns, "net/ipv6/conf")
        on = [name for name in names if hands.read(self.netns, _forwarding(name)) == "1"]
        return {"was": "all" in on, "on": [name for name in on if name != "all"]}

    def do(self, hands: Hands) -> None:
        """Forward."""
        hands.write(self.netns, self.ALL, "1")

    def stands(self, seen: Seen) -> bool:
        """Return whether IPv6 is forwarded."""
        return seen.sysctl(self.netns, self.ALL) == "1"

    def undo(self, hands: Hands, before: Before) -> None:
        """Forward no longer, but on the interfaces that did."""
        if before["was"] or hands.read(self.netns, self.ALL) != "1":
            return
        hands.write(self.netns, self.ALL, "0")
        for name in before["on"]:
            if hands.read(self.netns, _forwarding(name)) == "0":
                hands.write(self.netns, _forwarding(name), "1")


def _forwarding(name: str) -> str:
    return f"net/ipv6/conf/{name}/forwarding"


def version_of(thing: Address | Network) -> Literal[4, 6]:
    """Return the IP version."""
    return 4 if thing.version == 4 else 6


@contextmanager
def unless_there() -> Iterator[None]:
    """Take it for done where what should be added is there already."""
    try:
        yield
    except KernelError as error:
        if error.errno != errno.EEXIST:
            raise


@contextmanager
def unless_gone() -> Iterator[None]:
    """Take it for done where what should be deleted is not there."""
    try:
        yield
    except KernelError as error:
        if error.errno not in GONE:
            raise
