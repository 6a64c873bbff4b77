"""The one table says what the kernel's rules and tables would, or leaves it to the host."""

from __future__ import annotations

import pytest

from natlb.control.host.ways import BY_HOST, Way, doubts, is_ip6, ways
from natlb.netlink.forwarding import HopRoute, HopRule
from tests.unit.control.host.test_hop_memory import network, number

LOOKUP, PROHIBIT, NOP = 1, 8, 3
OWN, TUNS = 78, ("natlb-pub", "natlb-prv")


def rule(table: int = 0, action: int = LOOKUP, **words: object) -> HopRule:
    """Return a rule for every packet, but for these words."""
    plain = HopRule(action, table, 2, "", "", 0, 0, is_inverted=False, is_other=False)
    return plain._replace(**words)  # type: ignore[arg-type]


def route(text: str, link: int = 2, **words: int) -> HopRoute:
    """Return a route of the table main."""
    where, length = network(text)
    return HopRoute(254, where, length, 0, link, 0, 0)._replace(**words)


KERNELS = (rule(255), rule(254), rule(253))


def found(*rules: HopRule) -> object:
    """Return what is in doubt."""
    return doubts(rules, OWN, TUNS)


def test_the_kernels_three_rules_leave_nothing_in_doubt() -> None:
    """IPv6 has two of them; natlb's `local`, moved, stands for the kernel's."""
    assert found(*KERNELS) == found(rule(255), rule(254)) == []
    assert found(rule(255, protocol=OWN), *KERNELS[1:]) == []


def test_rules_that_natlbs_packets_never_meet_do_not_matter() -> None:
    """Its own; for what comes in elsewhere; for sockets bound to an interface; nop."""
    others = (
        rule(6285, protocol=OWN, iif="natlb-pub", is_other=True),
        rule(100, iif="eth7", is_other=True),
        rule(100, oif="eth7"),
        rule(action=NOP),
    )
    assert found(KERNELS[0], *others, *KERNELS[1:]) == []


def test_a_rule_for_a_destination_leaves_that_to_the_host() -> None:
    """Whatever it does."""
    where, length = network("192.0.2.0/24")
    asked = [rule(100, network=where, length=length), rule(0, PROHIBIT, network=where, length=25)]
    assert found(*KERNELS, *asked) == [(where, 120), (where, 25)]


@pytest.mark.parametrize(
    "other",
    [
        rule(100),
        rule(100, is_other=True),
        rule(100, iif="natlb-pub"),
        rule(100, iif="eth7", is_inverted=True),
        rule(100, network=0, length=8, is_other=True),
        rule(0, PROHIBIT),
    ],
)
def test_any_other_rule_leaves_everything_to_the_host(other: HopRule) -> None:
    """By source, mark, inverted: an address alone does not tell."""
    assert found(KERNELS[0], other, *KERNELS[1:]) is None


def test_tables_out_of_order_leave_everything_to_the_host() -> None:
    """Or without one of them."""
    assert found(KERNELS[1], KERNELS[0]) is None
    assert found(KERNELS[0]) is None


def test_the_lowest_metric_wins_and_of_two_alike_the_host_chooses() -> None:
    """As the kernel does by a hash or by order."""
    made = ways(
        [
            route("10.0.0.0/8", metric=20),
            route("10.0.0.0/8", link=3, metric=10),
            route("10.1.0.0/16", link=3),
            route("10.1.0.0/16", link=4),
            route("10.2.0.0/16", link=3),
            route("10.2.0.0/16", link=3),
            route("10.3.0.0/16", link=3),
            route("10.3.0.0/16", link=0, metric=-1),
            route("10.4.0.0/16", table=100),
        ],
        (),
    )
    assert made[network("10.0.0.0/8")] == Way(3)
    assert made[network("10.1.0.0/16")].link == 0
    assert made[network("10.2.0.0/16")] == Way(3)
    assert made[network("10.3.0.0/16")].link == 0
    assert network("10.4.0.0/16") not in made


def test_what_is_local_is_asked_first_however_short() -> None:
    """A longer route of main is never reached."""
    made = ways([route("127.0.0.0/8", link=1, table=255), route("127.1.0.0/16")], ())

    assert made[network("127.0.0.0/8")] == made[network("127.1.0.0/16")] == BY_HOST


def test_the_table_default_is_asked_where_main_has_no_answer() -> None:
    """Not where a shorter route of main covers it."""
    made = ways(
        [
            route("10.0.0.0/8"),
            route("10.0.0.0/8", link=9, table=253),
            route("10.1.0.0/16", link=9, table=253),
            route("11.0.0.0/8", link=9, table=253),
        ],
        (),
    )
    assert made[network("10.0.0.0/8")] == Way(2)
    assert network("10.1.0.0/16") not in made
    assert made[network("11.0.0.0/8")] == Way(9)


def test_what_is_in_doubt_is_the_hosts_with_all_that_lies_in_it() -> None:
    """And only that; multicast and what is of one link always are."""
    made = ways(
        [
            route("0.0.0.0/0", gateway=number("10.0.0.1")),
            route("192.0.2.64/26"),
            route("224.1.0.0/16"),
            route("fe80::/64"),
        ],
        [network("192.0.2.0/24")],
    )
    assert made[network("0.0.0.0/0")] == Way(2, number("10.0.0.1"))
    for text in ("192.0.2.0/24", "192.0.2.64/26", "224.1.0.0/16", "224.0.0.0/3", "fe80::/64"):
        assert made[network(text)] == BY_HOST


def test_networks_of_ip6_are_told_from_mapped_ones() -> None:
    """`unreachable ::ffff:0.0.0.0/96` must not become IPv4's default route."""
    assert [is_ip6(network(text)) for text in ("::/0", "2001:db8::/96", "::fffe:0:0/96")] == [
        True
    ] * 3
    assert not is_ip6(network("0.0.0.0/0"))
    assert not is_ip6(network("::ffff:10.0.0.0/104"))
