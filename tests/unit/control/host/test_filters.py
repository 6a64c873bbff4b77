from __future__ import annotations

import pytest

from natlb.control.host.filters import CONNTRACK, IPVS, filters, ipvs_services
from tests.paper_host import PaperProbe

TABLE = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  CB00710A:0050 rr
  -> 0A4D000B:1F90      Masq    1      0          0
UDP  [2001:0db8:0002:0000:0000:0000:0000:0010]:0035 wlc
FWM  00000001 rr
"""


def test_what_ipvs_balances_is_read_from_its_table() -> None:
    """Addresses are in hexadecimal; firewall marks have none."""
    assert ipvs_services(TABLE) == {
        "TCP 203.0.113.10:80": "203.0.113.10",
        "UDP 2001:db8:2::10:53": "2001:db8:2::10",
    }
    assert ipvs_services("") == {}


@pytest.mark.parametrize(
    ("vip", "status"), [("203.0.113.10", "fail"), ("203.0.113.11", "ok"), (None, "ok")]
)
def test_another_balancer_matters_on_the_same_vip(vip: str | None, status: str) -> None:
    """Two translators of one address are one too many."""
    probe = PaperProbe(files={IPVS: TABLE})
    found = {check.name: check for check in filters(probe, [vip] if vip else [])}

    assert found["ipvs"].status == status
    assert "TCP 203.0.113.10:80" in found["ipvs"].seen


def test_a_host_without_any_of_them_is_fine() -> None:
    """And IPVS that is not there is not spoken of."""
    found = list(filters(PaperProbe()))

    assert [(check.name, check.status) for check in found] == [
        ("conntrack", "ok"),
        ("firewall", "ok"),
    ]


def test_connection_tracking_costs_and_can_be_told_to_leave_vips_alone() -> None:
    """Work done twice."""
    check = next(filters(PaperProbe(files={CONNTRACK: "120\n"})))

    assert (check.status, "120 connections" in check.seen) == ("warn", True)
    assert "notrack" in (check.fix or "")


@pytest.mark.parametrize(("chains", "status"), [(None, "ok"), (["ip filter FORWARD"], "warn")])
def test_a_firewall_that_drops_what_is_forwarded_is_named(
    chains: list[str] | None, status: str
) -> None:
    """Docker's; its rules may let natlb's packets by, so it is no failure."""
    [_, check] = filters(PaperProbe(chains=chains))

    assert check.status == status
    assert (chains is None) == ("FORWARD" not in check.seen)
