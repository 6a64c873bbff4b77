from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.compile import Indices, Sides, compile_tables
from natlb.control.compile.access import AccessSteps
from natlb.control.compile.addresses import lanes_of
from natlb.control.config import Config, config_from_mapping
from natlb.control.config.values import Access
from natlb.core.access import ALLOWED, DENIED
from tests.datapath import config

if TYPE_CHECKING:
    from natlb.core.tables import Tables

CONFIG = config_from_mapping(config())
INDICES = Indices().assign(CONFIG, set(), set())


def lists(allow: str = "", deny: str = "") -> Access:
    """Return access lists of prefixes in words."""
    return Access(
        allow=tuple(ip_network(each) for each in allow.split()),
        deny=tuple(ip_network(each) for each in deny.split()),
    )


def configured(everywhere: Access, **services: Access) -> Config:
    """Return a configuration with these lists for all, and for single services."""
    changed = {name: replace(CONFIG.services[name], access=own) for name, own in services.items()}
    return replace(CONFIG, access=everywhere, services={**CONFIG.services, **changed})


def compiled(given: Config) -> Tables:
    """Return the tables of a configuration."""
    return compile_tables(given, indices=INDICES, run_time={}, sides=Sides(), seed=1, generation=1)


def verdict(tables: Tables, service: str, client: str) -> int:
    """Return what a service's steps say of a client, looked for one after the other."""
    record = tables.services[INDICES.services[service]]
    if record["access_size"] == 0:
        return ALLOWED
    steps = tables.access[record["access_start"] :][: record["access_size"]]
    lanes = [tuple(int(step[f"address{lane}"]) for lane in range(4)) for step in steps]
    assert lanes[0] == (0, 0, 0, 0)
    assert lanes == sorted(set(lanes))
    last = max(at for at, first in enumerate(lanes) if first <= lanes_of(ip_address(client)))
    return int(steps[last]["verdict"])


def test_without_lists_there_are_no_steps() -> None:
    """Everybody may call, and nothing is looked up."""
    tables = compiled(configured(Access()))

    assert AccessSteps(CONFIG).steps == []
    assert not tables.services["access_size"].any()


@pytest.mark.parametrize(
    ("everywhere", "own", "client", "allowed"),
    [
        (lists("10.0.0.0/8"), Access(), "10.255.255.255", True),
        (lists("10.0.0.0/8"), Access(), "11.0.0.0", False),
        (lists("10.0.0.0/8"), Access(), "9.255.255.255", False),
        (lists("10.0.0.0/8"), Access(), "2001:db8::1", False),  # allowed are others alone
        (lists("2001:db8::/32"), Access(), "10.0.0.1", False),
        (lists("2001:db8::/32"), Access(), "2001:db8:ffff::1", True),
        (lists("::/0"), Access(), "10.0.0.1", False),  # all of IPv6 is not IPv4
        (lists("::/0"), Access(), "::fffe:a00:1", True),
        (lists("::/0"), Access(), "::1:0:a00:1", True),
        (lists("::/0 0.0.0.0/0"), Access(), "255.255.255.255", True),
        (lists(deny="::/0"), Access(), "10.0.0.1", True),
        (lists(deny="::/0"), Access(), "2001:db8::1", False),
        (lists(deny="0.0.0.0/0"), Access(), "2001:db8::1", True),
        (lists(deny="0.0.0.0/0"), Access(), "10.0.0.1", False),
        (lists(deny="::ffff:10.0.0.0/104"), Access(), "10.0.0.1", True),  # written as IPv6: no one
        (lists("10.0.0.0/8", "10.1.0.0/16"), Access(), "10.1.2.3", False),  # deny wins
        (lists("10.1.0.0/16", "10.0.0.0/8"), Access(), "10.1.2.3", False),
        (lists("10.0.0.0/8", "10.1.0.0/16"), Access(), "10.2.0.0", True),
        (lists("10.0.0.0/8"), lists("10.1.0.0/16"), "10.1.0.0", True),  # let through by both
        (lists("10.0.0.0/8"), lists("10.1.0.0/16"), "10.2.0.0", False),
        (lists("10.0.0.0/8"), lists("11.0.0.0/8"), "11.0.0.1", False),
        (Access(), lists(deny="198.51.100.2/32"), "198.51.100.2", False),
        (Access(), lists(deny="198.51.100.2/32"), "198.51.100.3", True),
        (lists("ffff::/16 255.0.0.0/8"), Access(), "ffff:ffff::", True),  # up to the last address
    ],
)
def test_a_client_is_let_through_by_both_lists(
    everywhere: Access, own: Access, client: str, *, allowed: bool
) -> None:
    """Deny wins; where anything is allowed, nothing else is."""
    tables = compiled(configured(everywhere, web=own))

    assert verdict(tables, "web", client) == (ALLOWED if allowed else DENIED)


def test_a_services_list_is_no_one_elses() -> None:
    """The lists of the others stay as they are, and those that are alike lie there once."""
    given = configured(lists("10.0.0.0/8"), web=lists(deny="10.0.0.0/9"), dns=lists("10.0.0.0/8"))
    tables = compiled(given)

    assert verdict(tables, "web", "10.0.0.1") == DENIED
    assert verdict(tables, "dns", "10.0.0.1") == verdict(tables, "web6", "10.0.0.1") == ALLOWED
    assert len(AccessSteps(given).steps) == 3 + 3


def naive(access: Access, client: IPv4Address | IPv6Address) -> bool:
    """Return whether lists let a client through, prefix by prefix."""
    if any(client in network for network in access.deny if network.version == client.version):
        return False
    return not access.allow or any(
        client in network for network in access.allow if network.version == client.version
    )


def random_network(random: Random, bits: int = 6) -> Any:
    """Return one of few prefixes, so that they overlap."""
    length = random.randrange(0, bits + 1)
    low = random.randrange(1 << bits) >> bits - length << bits - length
    if random.random() < 0.5:
        return ip_network((low << 32 - bits, length))
    return ip_network((low << 128 - bits, length))


def test_steps_say_what_the_prefixes_say() -> None:
    """Drawn lists and clients, against the plain reading of the lists."""
    random = Random(1)
    for _ in range(60):
        everywhere, own = (
            Access(
                allow=tuple(random_network(random) for _ in range(random.randrange(4))),
                deny=tuple(random_network(random) for _ in range(random.randrange(4))),
            )
            for _ in range(2)
        )
        tables = compiled(configured(everywhere, web=own))
        for _ in range(40):
            client = random_network(random).network_address
            expected = naive(everywhere, client) and naive(own, client)
            assert verdict(tables, "web", str(client)) == (ALLOWED if expected else DENIED)


def test_ten_thousand_prefixes_are_compiled_in_a_moment() -> None:
    """A list of a country's networks is a file that somebody downloads."""
    random = Random(2)
    deny = tuple(ip_network((random.randrange(1 << 24) << 8, 24)) for _ in range(10_000))
    started = perf_counter()
    tables = compiled(configured(Access(deny=deny)))

    assert perf_counter() - started < 5
    assert tables.services["access_size"].max() > 15_000
    assert verdict(tables, "web", str(deny[77].network_address)) == DENIED
