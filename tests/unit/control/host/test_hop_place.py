"""A namespace as it is followed: the kernel itself is asked whether natlb knows its ways."""

from __future__ import annotations

import random
import subprocess
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.host import hop_place
from natlb.control.host.hop_memory import HopMemory, lanes
from natlb.control.host.hop_place import HopPlace, certain
from natlb.control.host.ways import BY_HOST, EVERY_IP4, Way
from natlb.core.layout import PUBLIC
from natlb.core.next_hops import BY_HOST as BY_HOST_PLACE
from natlb.core.next_hops import find_next_hop
from natlb.netlink import Netlink, write_sysctl
from tests.gateway import namespaces_of
from tests.unit.control.host.test_hop_memory import network, number, read
from tests.unit.control.host.test_ways import KERNELS, route, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

GATEWAYS4 = [f"198.51.{at}.1" for at in range(3)]
GATEWAYS6 = [f"2001:db8:{at}::1" for at in range(3)]


def test_one_ip_version_does_not_answer_for_the_other() -> None:
    """IPv6's default route is none of IPv4's; nor is a mapped network of IPv6's table."""
    default6 = route("::/0", gateway=number("fe80::1"))
    mapped = route("::ffff:0.0.0.0/96")
    found, problem = certain([(list(KERNELS), []), (list(KERNELS[:2]), [default6, mapped])])

    assert problem == ""
    assert found[EVERY_IP4] == BY_HOST
    assert found[network("::/0")] == Way(2, number("fe80::1"))


def test_doubt_about_one_ip_version_leaves_the_other() -> None:
    """And says which."""
    doubted = [*KERNELS, rule(100, is_other=True)]
    found, problem = certain([(doubted, [route("0.0.0.0/0")]), (list(KERNELS), [route("::/0")])])

    assert found[EVERY_IP4] == BY_HOST
    assert found[network("::/0")] == Way(2)
    assert "IPv4" in problem


class Router:
    """A namespace with three interfaces, and `ip` for judge."""

    def __init__(self, name: str) -> None:
        """Make the interfaces, with a neighbour that is a gateway on each."""
        self.name = name
        lines = []
        for at in range(3):
            lines += [
                f"link add e{at} type veth peer name f{at}",
                f"link set f{at} up",
                f"link set e{at} up",
                f"addr add 198.51.{at}.2/24 dev e{at}",
                f"addr add 2001:db8:{at}::2/64 dev e{at} nodad",
                f"neigh add 198.51.{at}.1 lladdr 02:00:00:00:00:{at:02x} dev e{at}",
                f"neigh add 2001:db8:{at}::1 lladdr 02:00:00:00:00:{at:02x} dev e{at}",
            ]
        self.batch(lines)

    def batch(self, lines: list[str], *, force: bool = False) -> None:
        """Have `ip` do all this; with `force`, what it refuses is passed over."""
        command = ["ip", *(["-force"] if force else []), "-n", self.name, "-batch", "-"]
        subprocess.run(
            command,
            input="\n".join(lines),
            text=True,
            check=not force,
            timeout=60,
            stderr=subprocess.DEVNULL if force else None,
        )


@pytest.fixture
def router() -> Iterator[Router]:
    """Return a router."""
    with namespaces_of("router") as [name]:
        for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            write_sysctl(f"net/{key}", "1", netns=name)
        yield Router(name)


def random_routes(chance: random.Random) -> list[str]:
    """Return routes of all kinds, nested in each other."""
    lines = []
    for _ in range(150):
        at, length = chance.randrange(3), chance.choice((8, 12, 16, 20, 24, 28, 32))
        base = IPv4Address((10 << 24 | chance.getrandbits(24)) >> 32 - length << 32 - length)
        metric = chance.choice(("", "metric 5", "metric 50"))
        kind = chance.choice(("via", "via", "dev", "blackhole", "unreachable"))
        way = {"via": f"via {GATEWAYS4[at]} dev e{at}", "dev": f"dev e{at}"}.get(kind, "")
        word = kind if not way else "unicast"
        lines.append(f"route add {word} {base}/{length} {way} {metric}")
        length6 = 2 * length
        base6 = IPv6Address(
            (0x2001_0DB9 << 96 | chance.getrandbits(96)) >> 128 - length6 << 128 - length6
        )
        way6 = {"via": f"via {GATEWAYS6[at]} dev e{at}", "dev": f"dev e{at}"}.get(kind, "")
        lines.append(f"-6 route add {word} {base6}/{length6} {way6} {metric}")
    return lines


def kernels_way(netlink: Netlink, address: str) -> tuple[str | None, str] | None:
    """Return the interface and the next hop that the kernel would send to; None: it would not."""
    try:
        way = netlink.route_to(address)
    except Exception:  # noqa: BLE001 - unreachable, in any of its forms
        return None
    if way.kind != "unicast":
        return None
    return way.interface, str(way.gateway or address)


@pytest.mark.netns
def test_natlb_sends_where_the_kernel_would(router: Router) -> None:
    """Over random routes of both IP versions; and what it leaves to the host is little."""
    chance = random.Random(6)
    router.batch(random_routes(chance), force=True)
    place = HopPlace(router.name)
    try:
        table = place.table()
        hops = read(HopMemory().content((table,), (0, 0), 1))
        names = {link.number: link.name for link in table.links.values()}
        asked = [str(IPv4Address(10 << 24 | chance.getrandbits(24))) for _ in range(150)]
        asked += [str(IPv6Address(0x2001_0DB9 << 96 | chance.getrandbits(96))) for _ in range(150)]
        asked += [*GATEWAYS4, *GATEWAYS6, "8.8.8.8", "127.0.0.1", "224.0.0.1", "198.51.0.2"]
        sent = 0
        with Netlink(router.name) as netlink:
            for address in asked:
                at = find_next_hop(hops, PUBLIC, lanes(number(address)), 100)
                kernels = kernels_way(netlink, address)
                if at == BY_HOST_PLACE:
                    # The neighbours here are the gateways: others on a link are not resolved.
                    assert kernels is None or kernels[1] == str(ip_address(address)), address
                    continue
                row: Any = hops.neighbours[at]
                words = [int(row[f"address{lane}"]) for lane in range(4)]
                hop = words[0] << 96 | words[1] << 64 | words[2] << 32 | words[3]
                name = names[int(hops.links[row["link"]]["ifindex"])]
                assert kernels is not None, address
                assert (name, hop) == (kernels[0], number(kernels[1])), address
                sent += 1
    finally:
        place.close()

    assert sent > 30


@pytest.mark.netns
def test_changes_are_heard_and_only_what_leads_elsewhere_counts(router: Router) -> None:
    """A neighbour that is confirmed is no news; one that moves or goes is; so is a route."""
    place = HopPlace(router.name)
    try:
        place.table()
        assert not place.hear()
        before = place.table()
        key = next(each for each in before.macs if each[1] == number(GATEWAYS4[0]))
        router.batch([f"neigh replace {GATEWAYS4[0]} lladdr 02:00:00:00:00:00 dev e0 nud stale"])
        assert not place.hear()
        router.batch([f"neigh replace {GATEWAYS4[0]} lladdr 02:00:00:00:00:99 dev e0 nud stale"])
        assert place.hear()
        assert place.table().macs[key].hex() == "020000000099"
        router.batch([f"neigh del {GATEWAYS4[0]} dev e0"])
        assert place.hear()
        assert key not in place.table().macs
        router.batch(["route add 10.0.0.0/8 dev e1"])
        assert place.hear()
        assert network("10.0.0.0/8") in place.table().ways
        router.batch(["link set e1 down"])
        assert place.hear()
        table = place.table()
        assert network("10.0.0.0/8") not in table.ways
        assert "e1" not in {link.name for link in table.links.values()}
        assert not place.is_gone()
    finally:
        place.close()


@pytest.mark.netns
def test_more_routes_than_the_bound_are_the_hosts(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, and comes back when they are fewer."""
    monkeypatch.setattr(hop_place, "MOST_ROUTES", 3)
    place = HopPlace(router.name)
    try:
        assert place.table().ways == {}
        assert place.problem == "more than 3 routes"
        monkeypatch.setattr(hop_place, "MOST_ROUTES", 1000)
        place.doubt()
        assert place.table().ways
        assert place.problem == ""
    finally:
        place.close()
