from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from natlb.control.host.operation import kernels_local
from natlb.control.host.plan import Ports, SideWanted
from natlb.control.host.resolve import resolve
from natlb.control.host.rules import LOCAL
from natlb.errors import HostError
from natlb.netlink.values import Proxy
from tests.paper_host import PaperHost, PaperNamespace, default_route, link, wanted, way


def names(side: object) -> list[str]:
    """Return the names of a side's devices."""
    return [device.name for device in side.devices]  # type: ignore[attr-defined]


def test_the_usual_gateway_needs_no_words() -> None:
    """Public is where the default route goes, private where the backends are."""
    plan = resolve(wanted(), PaperHost())

    assert names(plan.public) == ["eth0"]
    assert names(plan.private) == ["eth1"]
    assert plan.together
    assert plan.proxies == ()
    assert str(plan.public.address4) == "198.51.100.1"
    assert str(plan.private.address6) == "fd77::1"


def test_a_vip_in_a_subnet_makes_its_interface_public_whatever_the_default_route() -> None:
    """And somebody there will ask who has it."""
    host = PaperHost()
    host.own.links.append(link("eth2", "203.0.113.1/24"))
    plan = resolve(wanted("203.0.113.10 198.51.100.10"), host)

    assert names(plan.public) == ["eth0", "eth2"]
    assert plan.proxies == (
        Proxy(address=ip_address("203.0.113.10"), dev="eth2"),
        Proxy(address=ip_address("198.51.100.10"), dev="eth0"),
    )


def test_of_two_default_routes_the_kernels_favourite_counts() -> None:
    """The one of the lowest metric carries the answers."""
    host = PaperHost()
    host.own.links.append(link("eth2", "192.0.2.1/24"))
    host.own.routes = [
        default_route("eth0", "198.51.100.254", metric=200),
        default_route("eth2", "192.0.2.254", metric=100),
    ]

    assert names(resolve(wanted(), host).public) == ["eth2"]


def test_without_a_default_route_all_that_is_not_private_is_public() -> None:
    """A gateway between two routed networks: down interfaces and loopback are none of it."""
    host = PaperHost()
    host.own.routes = []
    host.own.links += [link("eth2", "192.0.2.1/24"), link("eth3", up=False)]

    assert names(resolve(wanted(), host).public) == ["eth0", "eth2"]


def test_where_everything_is_private_the_public_side_must_be_named() -> None:
    """Guessing would open the wrong side."""
    host = PaperHost()
    host.own.routes = []
    del host.own.links[1]
    with pytest.raises(HostError, match="no interface is left to be public") as error:
        resolve(wanted(), host)

    assert "public" in (error.value.fix or "")


def test_sides_that_are_named_are_taken_as_named() -> None:
    """Even one interface for both: a gateway on a stick."""
    one = SideWanted(interfaces=("eth1", "eth1"))
    plan = resolve(wanted(public=one, private=one), PaperHost())

    assert names(plan.public) == names(plan.private) == ["eth1"]


def test_each_ip_version_has_a_default_route_of_its_own() -> None:
    """A tunnel for IPv6 beside a line for IPv4."""
    host = PaperHost()
    host.own.links.append(link("tun6", "2001:db8:9::1/64", mac=""))
    host.own.routes = [
        default_route("eth0", "198.51.100.254"),
        default_route("tun6", "2001:db8:9::fe"),
    ]
    plan = resolve(wanted("203.0.113.10 2001:db8:7::1", "10.77.0.11 fd77::11"), host)

    assert names(plan.public) == ["eth0", "tun6"]
    assert plan.has_ipv6


@pytest.mark.parametrize("side", ["public", "private"])
def test_an_interface_that_is_missing_is_named_with_the_nearest(side: str) -> None:
    """Most often it is a typing error."""
    wish = wanted(**{side: SideWanted(interfaces=("etho0",))})  # type: ignore[arg-type]
    with pytest.raises(HostError, match="no interface 'etho0'") as error:
        resolve(wish, PaperHost())

    assert error.value.fix == "did you mean eth0?"


def test_an_interface_that_is_down_is_refused_with_the_command() -> None:
    """It would take no packet."""
    host = PaperHost()
    host.own.links[1] = replace(host.own.links[1], up=False)
    with pytest.raises(HostError, match="eth0 is down") as error:
        resolve(wanted(public=SideWanted(interfaces=("eth0",))), host)

    assert error.value.fix == "ip link set eth0 up"


@pytest.mark.parametrize("answer", [None, way(None, "prohibit"), way("natlb-prv")])
def test_a_backend_without_a_route_is_named(answer: object) -> None:
    """A route through natlb itself is none."""
    host = PaperHost()
    host.own.ways["10.77.0.12"] = answer  # type: ignore[assignment]
    with pytest.raises(HostError, match=r"no route to backend 10\.77\.0\.12"):
        resolve(wanted(), host)


def test_a_backend_behind_an_interface_that_is_not_private_is_refused() -> None:
    """Its answers would pass natlb by, untranslated."""
    wish = wanted(private=SideWanted(interfaces=("eth1",)), backends="10.77.0.11 198.51.100.7")
    with pytest.raises(HostError, match=r"198\.51\.100\.7 is reached by eth0") as error:
        resolve(wish, PaperHost())

    assert error.value.fix == "add eth0 to datapath.private"


def test_a_backend_on_the_gateway_itself_is_refused() -> None:
    """The host's own answers would not pass the private TUN."""
    host = PaperHost()
    host.own.ways["10.77.0.1"] = way("lo", "local")
    with pytest.raises(HostError, match=r"backend 10\.77\.0\.1 is an address of this host"):
        resolve(wanted(backends="10.77.0.1"), host)


def test_a_vip_that_is_an_address_of_the_host_is_shared_by_ports() -> None:
    """Of an interface, or by a `local` route without one; nobody has to answer for it."""
    host = PaperHost()
    host.own.ways["203.0.113.10"] = way("lo", "local")
    vips = ("198.51.100.1", "203.0.113.10", "198.51.100.9")
    web = [Ports(address=ip_address(vip), protocol=6, first=80, last=80) for vip in vips]
    plan = resolve(wanted(" ".join(vips), listens=tuple(web)), host)

    assert [str(each) for each in plan.host_vips] == ["198.51.100.1", "203.0.113.10"]
    assert plan.services == tuple(web[:2])
    assert [str(each.address) for each in plan.proxies] == ["198.51.100.9"]
    assert plan.neighbours == ()


def test_neighbours_of_a_shared_ipv6_address_are_those_on_its_links() -> None:
    """What they say by ICMPv6 must not leave the interface."""
    plan = resolve(wanted("2001:db8:1::1", "fd77::11"), PaperHost())

    assert [(each.dev, str(each.network)) for each in plan.neighbours] == [
        ("eth0", "2001:db8:1::/64"),
        ("eth0", "fe80::/10"),
    ]


@pytest.mark.parametrize(("vip", "priority"), [("198.51.100.1", 10), ("2001:db8:1::1", None)])
def test_a_host_whose_local_rule_somebody_moved_shares_no_address(
    vip: str, priority: int | None
) -> None:
    """Its new place means something that nobody here knows."""
    host = PaperHost()
    moved = [] if priority is None else [replace(kernels_local(4), priority=priority)]
    host.own.rules = moved
    with pytest.raises(HostError, match="is not where the kernel puts it") as error:
        resolve(wanted(vip, "10.77.0.11"), host)

    assert "priority 0 lookup local" in (error.value.fix or "")


def test_a_local_rule_that_natlb_moved_itself_is_no_hindrance() -> None:
    """A reload finds it there."""
    host = PaperHost()
    given_back = replace(kernels_local(4), priority=90, iif="natlb-pub")
    host.own.rules = [given_back, replace(kernels_local(4), priority=LOCAL, protocol=78)]

    assert resolve(wanted("198.51.100.1"), host).host_vips


def test_a_broadcast_address_is_no_vip() -> None:
    """Everybody in the subnet would hear it."""
    host = PaperHost()
    host.own.ways["198.51.100.255"] = way("eth0", "broadcast")
    with pytest.raises(HostError, match=r"VIP 198\.51\.100\.255 is a broadcast address"):
        resolve(wanted("198.51.100.255"), host)


def test_an_address_of_full_nat_is_answered_for_in_a_private_subnet() -> None:
    """And a VIP there too, for the clients who live beside the backends."""
    wish = wanted(
        "10.77.0.100",
        sources="10.77.0.200 192.0.2.1",
        public=SideWanted(interfaces=("eth0",)),
        private=SideWanted(interfaces=("eth1",)),
    )
    plan = resolve(wish, PaperHost())

    assert plan.proxies == ()
    assert [(str(each.address), each.dev) for each in plan.private_proxies] == [
        ("10.77.0.100", "eth1"),
        ("10.77.0.200", "eth1"),
    ]


@pytest.mark.parametrize(
    ("source", "owner"),
    [
        ("10.77.0.1", "an address of this host, on eth1"),
        ("203.0.113.10", "a VIP"),
        ("10.77.0.11", "a backend's address"),
        ("10.77.0.255", "a broadcast address"),
    ],
)
def test_an_address_of_full_nat_that_somebody_has_is_refused(source: str, owner: str) -> None:
    """Two owners of an address's ports would answer for each other."""
    host = PaperHost()
    host.own.ways["10.77.0.255"] = way("eth1", "broadcast")
    with pytest.raises(HostError, match=f"source {source} is {owner}"):
        resolve(wanted(sources=source), host)


def test_processes_of_the_host_are_known_by_all_its_addresses() -> None:
    """By natlb's own too; with a namespace for each side answers pass natlb anyway."""
    inner = PaperNamespace(links=[link("lo"), link("lan", "10.77.0.1/24")], routes=[])
    both = resolve(wanted("203.0.113.10 2001:db8:2::10", "10.77.0.11 fd77::11"), PaperHost())
    one = resolve(wanted(), PaperHost())
    apart = resolve(wanted(private=SideWanted(netns="inner")), PaperHost(inner=inner))

    assert [str(each) for each in both.public.hosts] == [
        "198.51.100.1",
        "2001:db8:1::1",
        "10.77.0.1",
        "fd77::1",
        "192.0.0.8",
        "fd6e:6174:6c62::7",
    ]
    assert [str(each) for each in one.public.hosts] == ["198.51.100.1", "10.77.0.1", "192.0.0.8"]
    assert apart.public.hosts == ()
    shared = wanted("198.51.100.1", private=SideWanted(netns="inner"))

    assert resolve(shared, PaperHost(inner=inner)).public.hosts == shared.vips


def test_two_namespaces_have_a_side_each() -> None:
    """Nothing of natlb's own namespace counts then."""
    outer = PaperNamespace(links=[link("lo"), link("wan", "198.51.100.1/24", mtu=1400)])
    inner = PaperNamespace(links=[link("lo"), link("lan", "10.77.0.1/24", mtu=9000)], routes=[])
    wish = wanted(public=SideWanted(netns="outer"), private=SideWanted(netns="inner"))
    plan = resolve(wish, PaperHost(outer=outer, inner=inner))

    assert not plan.together
    assert (plan.public.netns, names(plan.public)) == ("outer", ["wan"])
    assert (plan.private.netns, names(plan.private)) == ("inner", ["lan"])
    assert (plan.public.way_mtu, plan.private.way_mtu, plan.tun_mtu) == (1400, 9000, 9000)


def test_hosts_of_a_side_may_be_the_namespace_itself() -> None:
    """A client in the one, a backend in the other, and natlb alone between them."""
    inner = PaperNamespace(
        links=[link("lo", "10.77.0.11/32", mac="")], ways={"10.77.0.11": way("lo", "local")}
    )
    outer = PaperNamespace(links=[link("lo")], routes=[])
    wish = wanted(
        backends="10.77.0.11",
        public=SideWanted(netns="outer"),
        private=SideWanted(netns="inner"),
    )
    plan = resolve(wish, PaperHost(outer=outer, inner=inner))

    assert (plan.public.devices, plan.private.devices) == ((), ())
    assert plan.local_backends == plan.backends
    assert (plan.public.way_mtu, plan.tun_mtu) == (1500, 1500)


def test_one_namespace_by_two_names_is_one() -> None:
    """By its inode number: natlb's own may have a name too, and any may have two."""
    host = PaperHost(me=PaperNamespace())
    host.namespaces["me"].number = host.own.number
    wish = wanted(public=SideWanted(netns="me"), private=SideWanted())
    plan = resolve(wish, host)

    assert (plan.public.netns, plan.private.netns) == ("", "")


def test_ipv6_where_there_is_none_is_refused_and_ipv4_is_not() -> None:
    """A kernel booted with ipv6.disable=1 is a good gateway for IPv4."""
    host = PaperHost()
    host.own.sysctls.clear()

    assert not resolve(wanted(), host).has_ipv6
    with pytest.raises(HostError, match="there is no IPv6"):
        resolve(wanted("2001:db8:7::1", "fd77::11"), host)


def test_the_tun_takes_whatever_comes_in_by_either_side() -> None:
    """It has the largest MTU of all, as far as a TUN can; each way out reports its own."""
    host = PaperHost()
    host.own.links[1] = replace(host.own.links[1], mtu=1400)
    host.own.links[2] = replace(host.own.links[2], mtu=65_536)
    host.own.ways["10.77.0.12"] = way("eth1", mtu=1300)
    plan = resolve(wanted(), host)

    assert plan.tun_mtu == 65_535
    assert (plan.public.way_mtu, plan.private.way_mtu) == (1400, 1300)


def test_the_driver_is_chosen_and_what_it_cannot_do_is_refused() -> None:
    """A shared VIP is the TUN's to do, and where there is none, both reasons are told."""
    host = PaperHost()
    assert resolve(wanted(), host).driver == "tun"
    host.no_tun = HostError("no /dev/net/tun", fix="modprobe tun")
    assert resolve(wanted(), host).driver == "packet"
    with pytest.raises(HostError, match=r"driver packet cannot do; and no /dev/net/tun$"):
        resolve(wanted("198.51.100.1"), host)


def test_a_driver_that_runs_is_not_chosen_again() -> None:
    """The device that it has open may have gone from /dev since."""
    host = PaperHost()
    now = resolve(wanted(), host)
    host.no_tun = HostError("no /dev/net/tun")
    packet = resolve(wanted(), host)

    assert wanted().as_running(None) == wanted()
    assert resolve(wanted().as_running(packet), host).driver == "packet"
    assert resolve(wanted().as_running(now), host).driver == "tun"
