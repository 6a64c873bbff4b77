"""What live flows hold, told from the table."""

from __future__ import annotations

from ipaddress import ip_address

from natlb.control.compile import Retired
from natlb.control.desired import Held
from natlb.control.held import held_by_flows
from natlb.core.layout import FREE
from natlb.core.memory import Kind, flow_items, make, start_flows
from tests.unit.control.instances import add_flow

RETIRED = Retired(
    vips=frozenset({ip_address("203.0.113.10"), ip_address("2001:db8::1")}),
    backends=frozenset({ip_address("10.77.0.11"), ip_address("10.77.0.12")}),
)


def test_numbers_and_addresses_of_live_flows_are_held() -> None:
    """Of each direction the end that could be retired."""
    flows = make(Kind.FLOWS, **flow_items(100))
    start_flows(flows, 100, bytes(12), 0)
    assert held_by_flows([flows], RETIRED) == Held()
    add_flow(flows, service=3, backend=7, server="10.77.0.11", vip="203.0.113.10")
    add_flow(flows, service=3, backend=8, server="10.77.0.50", vip="2001:db8::1")
    ended = add_flow(flows, service=9, backend=9, server="10.77.0.12")
    flows.rows[ended]["state"] = FREE

    assert held_by_flows([flows], RETIRED) == Held(
        services=frozenset({3}),
        backends=frozenset({7, 8}),
        retired=Retired(vips=RETIRED.vips, backends=frozenset({ip_address("10.77.0.11")})),
    )


def test_a_clients_address_holds_nothing() -> None:
    """It may be the same as one that was a backend's."""
    flows = make(Kind.FLOWS, **flow_items(10))
    start_flows(flows, 10, bytes(12), 0)
    add_flow(flows, service=0, backend=0, client="10.77.0.11", server="10.77.0.99", vip="9.9.9.9")

    assert held_by_flows([flows], RETIRED).retired == Retired()
