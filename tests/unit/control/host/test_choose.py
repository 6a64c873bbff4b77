from __future__ import annotations

from natlb.control.host.choose import choose
from natlb.errors import HostError
from tests.paper_host import PaperHost, wanted

NO_TUN = HostError("no /dev/net/tun", fix="modprobe tun")


def test_auto_is_tun_where_that_opens_and_packet_where_not() -> None:
    """It says which, and why."""
    host = PaperHost()
    here = choose(wanted(), host)
    host.no_tun = NO_TUN
    there = choose(wanted(), host)

    assert (here.driver, here.reason) == ("tun", "/dev/net/tun opens")
    assert (there.driver, there.reason) == ("packet", "no /dev/net/tun")


def test_what_is_configured_is_taken() -> None:
    """One that is asked for is not replaced in silence."""
    host = PaperHost()
    host.no_tun = NO_TUN
    for driver in ("tun", "packet", "xdp"):
        chosen = choose(wanted(driver=driver), host)
        assert (chosen.driver, chosen.reason) == (driver, f"datapath.driver is {driver}")
        assert chosen.without is None


def test_a_refusal_names_all_that_stands_in_the_way() -> None:
    """Who asked for nothing is told of the better driver's reason, and how to have it."""
    host = PaperHost()
    asked = choose(wanted(driver="packet"), host).refuse("a horse", "a cart")
    host.no_tun = NO_TUN
    auto = choose(wanted(), host).refuse("a horse", "a cart")

    assert (asked.message, asked.fix) == ("a horse, which driver packet cannot do", "a cart")
    assert auto.message == "a horse, which driver packet cannot do; and no /dev/net/tun"
    assert auto.fix == "modprobe tun"
