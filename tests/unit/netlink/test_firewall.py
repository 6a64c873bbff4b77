from __future__ import annotations

import pytest
from pyroute2.nftables.main import NFTables

from natlb.netlink import dropping_chains, firewall, inside
from tests.gateway import namespaces_of


@pytest.mark.netns
def test_a_chain_like_dockers_is_seen() -> None:
    """FORWARD with policy drop; one that accepts, and one at another hook, are not shown."""
    with namespaces_of("a") as [name]:
        if dropping_chains(name) is None:
            pytest.skip("needs nf_tables: this kernel has none")
        assert dropping_chains(name) == []
        with inside(name), NFTables(nfgen_family=2) as tables:
            tables.table("add", name="filter")
            for chain, hook, policy in (
                ("FORWARD", "forward", 0),
                ("INPUT", "input", 0),
                ("mine", "forward", 1),
            ):
                tables.chain(
                    "add",
                    table="filter",
                    name=chain,
                    hook=hook,
                    type="filter",
                    policy=policy,
                    priority=0,
                )

        assert dropping_chains(name) == ["ip filter FORWARD"]


def test_what_may_not_be_seen_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right, or without nf_tables, there is no answer, and no error."""

    def refuse(**_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(firewall, "NFTables", refuse)

    assert dropping_chains() is None
