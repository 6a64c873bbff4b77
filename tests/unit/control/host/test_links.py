"""Which sockets there are for a plan, and what they let in; without the kernel."""

from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from natlb.bpf.filters import private_filter, public_filter
from natlb.control.host import links
from natlb.control.host.links import Links, answered_by, filters_of, shut
from natlb.control.host.packet_sockets import NOTHING
from natlb.control.messages import Hold
from natlb.control.queues import OUTPUTS, place_index, place_value
from natlb.control.roles import Role
from natlb.errors import HostError
from natlb.io.ports import SHUT_4, SHUT_6
from natlb.netlink.values import Proxy
from tests.paper_host import apart, host_plan, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.control.host.plan import HostPlan
    from natlb.control.queues import Way

VIP6 = ip_address("2001:db8:1::10")
PLAN = replace(opened(host_plan()), driver="packet", own=(ip_address("10.77.0.1"),))
LINKS = [place_value(0, 2), place_value(1, 3)]
HOSTS = [place_value(side, number=version) for side in (0, 1) for version in (4, 6)]


class Kernel:
    """In the place of sockets and interfaces: numbers, and what was asked of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have both interfaces."""
        self.numbers: dict[str, int] = {"eth0": 2, "eth1": 3}
        self.filters: dict[int, bytes] = {}
        self.groups: list[tuple[int, bytes]] = []
        self.steered: list[int] = []
        self.solicited: set[tuple[str, int]] = set()
        self.made: list[int] = []
        self.refuses = 99
        for name in (
            "open_link",
            "open_output",
            "open_host",
            "attach_filter",
            "join_fanout",
            "steer_fanout",
        ):
            monkeypatch.setattr(links, name, getattr(self, f"_{name}"))
        monkeypatch.setattr(
            links, "join_solicited", lambda _, *group: self.solicited.add(self._named(*group))
        )
        monkeypatch.setattr(
            links, "leave_solicited", lambda _, *group: self.solicited.remove(self._named(*group))
        )
        monkeypatch.setattr(links, "_number", lambda _, place: self.numbers.get(place[1]))

    @staticmethod
    def _named(address: object, ifindex: int) -> tuple[str, int]:
        return str(address), ifindex

    def _open(self) -> int:
        if len(self.made) == self.refuses:
            raise HostError("no more")
        self.made.append(os.eventfd(0))
        return self.made[-1]

    def _open_link(self, _name: str, _netns: str) -> int:
        return self._open()

    def _open_output(self, _netns: str) -> int:
        return self._open()

    def _open_host(self, _version: int, _netns: str) -> int:
        return self._open()

    def _attach_filter(self, fd: int, program: bytes) -> None:
        assert self.filters.get(fd) != program, "it has that already"
        self.filters[fd] = program

    def _join_fanout(self, fd: int, group: int, _program: bytes) -> None:
        assert fd not in self.filters, "what comes in before it has joined comes to all"
        self.groups.append((group, _program))

    def _steer_fanout(self, fd: int, _program: bytes) -> None:
        self.steered.append(fd)

    def close(self) -> None:
        """Close what is open still."""
        for fd in self.made:
            os.close(fd)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """Return a kernel that refuses nothing."""
    made = Kernel(monkeypatch)
    yield made
    made.close()


def values(ways: list[Way], role: Role = Role.LINK) -> list[int]:
    """Return what the sockets of a role are of."""
    return [said.value for said, _ in ways if said.role is role]


def test_each_side_lets_in_its_own(kernel: Kernel) -> None:
    """With the questions that are asked on that very interface."""
    proxies = tuple(Proxy(address=PLAN.vips[0], dev=dev) for dev in ("eth0", "eth9"))
    plan = replace(PLAN, proxies=proxies, sources=(ip_address("10.77.0.200"),))

    assert filters_of(plan) == {
        (0, "eth0"): public_filter(plan.vips, plan.vips),
        (1, "eth1"): private_filter(plan.backends, plan.vips, plan.sources, [], plan.own),
    }
    assert filters_of(replace(plan, driver="tun")) == {}


def test_an_interface_of_both_sides_has_two_sockets_that_share_nothing(kernel: Kernel) -> None:
    """One of them answers all questions; with a namespace each, equal names are two interfaces."""
    answers = tuple(Proxy(address=ip_address(f"10.77.0.20{n}"), dev="eth1") for n in range(2))
    plan = replace(PLAN, public=PLAN.private, proxies=answers[:1], private_proxies=answers[1:])
    found = filters_of(plan)
    asked = [proxy.address for proxy in answers]

    assert found[0, "eth1"] == public_filter(plan.vips, asked, plan.backends)
    assert found[1, "eth1"] == private_filter(plan.backends, [], [], [], plan.own, plan.vips)
    assert filters_of(apart(plan))[0, "eth1"] == public_filter(plan.vips, asked[:1])
    assert values(Links().renew(plan, [])) == [place_value(0, 3), place_value(1, 3)]
    assert len(set(kernel.filters.values())) == 2


def test_the_first_time_all_are_made_and_then_none(kernel: Kernel) -> None:
    """A socket for each interface, two of the host for each side."""
    known = Links()
    ways = known.renew(PLAN, [])

    assert values(ways) == LINKS
    assert values(ways, Role.HOST) == HOSTS
    assert {said.role for said, _ in ways} >= set(OUTPUTS)
    assert [kernel.filters[fd] for _, fd in ways[:2]] == list(filters_of(PLAN).values())
    assert known.renew(PLAN, ways) == []
    assert values(Links().renew(replace(PLAN, has_ipv6=False), []), Role.HOST) == HOSTS[::2]
    assert Links().renew(replace(PLAN, driver="tun"), []) == []


def test_what_sockets_let_in_follows_the_plan(kernel: Kernel) -> None:
    """In the sockets that are there, also those of a supervisor that died."""
    ways = Links().renew(PLAN, [])
    kernel.filters.clear()
    plan = replace(PLAN, vips=(ip_address("203.0.113.77"),))

    assert Links().renew(plan, ways) == []
    assert list(kernel.filters.values()) == list(filters_of(plan).values())


def test_an_interface_that_is_made_again_gets_a_socket_in_the_old_ones_place(
    kernel: Kernel,
) -> None:
    """While it is away the others go on, and it is let be."""
    known = Links()
    ways = known.renew(PLAN, [])
    del kernel.numbers["eth1"]
    assert known.renew(PLAN, ways) == []
    kernel.numbers["eth1"] = 9
    [(said, fd)] = known.renew(PLAN, ways)

    assert said == Hold(role=Role.LINK, index=place_index(0, 1), value=place_value(1, 9))
    assert kernel.filters[fd] == filters_of(PLAN)[1, "eth1"]


def test_an_interface_given_up_lets_nothing_in(kernel: Kernel) -> None:
    """Its worker holds it still; a new one beside it takes its place."""
    known = Links()
    ways = known.renew(PLAN, [])
    other = replace(PLAN.private, devices=(replace(PLAN.private.devices[0], name="eth2"),))
    kernel.numbers["eth2"] = 4
    [(said, _)] = known.renew(replace(PLAN, private=other), ways)
    assert said.index == place_index(0, 1)

    kernel.filters.clear()
    none = replace(PLAN, private=replace(PLAN.private, devices=()))
    assert Links().renew(none, ways) == []
    assert kernel.filters[ways[1][1]] == NOTHING


def test_several_workers_are_a_group_on_each_interface(kernel: Kernel) -> None:
    """Joined in the order of their numbers, before anything comes in; steered anew by new VIPs."""
    plan: HostPlan = replace(PLAN, workers=3)
    known = Links()
    ways = known.renew(plan, [])
    groups = [group for group, _ in kernel.groups]

    assert [said.index & 0xFF for said, _ in ways[:6]] == [0, 1, 2] * 2
    assert [groups.count(group) for group in sorted(set(groups))] == [3, 3]
    assert known.renew(plan, ways) == []
    assert kernel.steered == []
    assert known.renew(replace(plan, vips=(VIP6,)), ways) == []
    assert kernel.steered == [ways[0][1], ways[3][1]]


def test_what_was_closed_stays_shut(kernel: Kernel) -> None:
    """Of a host that forwarded IPv4 alone, and of two namespaces, which nothing joined."""
    half = replace(PLAN.private, devices=(replace(PLAN.private.devices[0], open6=False),))
    for plan, expected in (
        (PLAN, 0),
        (replace(PLAN, private=half), SHUT_6),
        (apart(PLAN), SHUT_4 | SHUT_6),
    ):
        assert shut(plan) == expected
        ways = Links().renew(plan, [])
        assert values(ways, Role.OUTPUT_PUBLIC) == [place_value(0, number=expected)]
    assert kernel.made


def test_a_refusal_leaves_nothing_open(kernel: Kernel) -> None:
    """The next look tries again."""
    kernel.refuses = 3
    with pytest.raises(HostError, match="no more"):
        Links().renew(PLAN, [])
    for fd in kernel.made:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)
    kernel.made.clear()


def test_questions_for_ipv6_addresses_are_listened_to(kernel: Kernel) -> None:
    """On the interface where they are asked, which may be another one by now."""
    known = Links()
    asked: Any = replace(PLAN, proxies=(Proxy(address=VIP6, dev="eth0"),))
    ways = known.renew(asked, [])
    assert kernel.solicited == {("2001:db8:1::10", 2)}
    kernel.numbers["eth0"] = 8
    known.renew(asked, ways)
    assert kernel.solicited == {("2001:db8:1::10", 8)}
    known.renew(PLAN, ways)
    assert kernel.solicited == set()


def test_who_answers_for_what_is_known_by_numbers(kernel: Kernel) -> None:
    """On interfaces that are there; with a TUN the kernel answers."""
    there, gone = next(iter(kernel.numbers)), "gone9"
    proxies = [Proxy(address=ip_address(text), dev=there) for text in ("203.0.113.9", "fd00::9")]
    lost = Proxy(address=ip_address("203.0.113.8"), dev=gone)
    plan = replace(host_plan(), driver="packet", proxies=tuple(proxies), private_proxies=(lost,))
    mapped = 0xFFFF << 32 | int(ip_address("203.0.113.9"))
    number = kernel.numbers[there]

    assert answered_by(plan) == [(mapped, number), (int(ip_address("fd00::9")), number)]
    assert answered_by(replace(plan, driver="tun")) == []
