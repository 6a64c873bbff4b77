from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from natlb.control.host.check import BOTH
from natlb.control.host.drivers import drivers, used_driver
from natlb.errors import DeniedError, HostError
from tests.paper_host import PaperProbe, wanted

if TYPE_CHECKING:
    from natlb.control.config.values import DriverName
    from natlb.control.host.check import Check
    from natlb.control.host.plan import Wanted

ALL = (1 << 41) - 1
CAP_NET_RAW, CAP_BPF = 13, 39
NO_TUN = HostError("no /dev/net/tun", fix="modprobe tun")


def found(probe: PaperProbe, asked: Wanted | None = None) -> dict[str, Check]:
    """Return the checks by driver."""
    return {check.name: check for check in drivers(probe, asked)}


def test_each_driver_has_a_line_with_what_it_needs() -> None:
    """Where all is well, that is all."""
    lines = {name: check.seen for name, check in found(PaperProbe()).items()}

    assert lines == {
        "tun": "/dev/net/tun opens; needs CAP_NET_ADMIN, CAP_NET_RAW",
        "packet": "packet sockets open; needs CAP_NET_ADMIN, CAP_NET_RAW",
        "xdp": "AF_XDP sockets open; needs CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF",
    }
    assert {check.status for check in found(PaperProbe()).values()} == {"ok"}


@pytest.mark.parametrize(
    ("asked", "used", "status"),
    [("auto", "packet", "warn"), ("packet", "packet", "warn"), ("tun", "tun", "fail")],
)
def test_only_the_driver_that_is_used_stops_anything(
    asked: DriverName, used: str, status: str
) -> None:
    """The others' lines say what would be missing."""
    probe, wish = PaperProbe(no_tun=NO_TUN), wanted(driver=asked)
    tun = found(probe, wish)["tun"]

    assert used_driver(probe, wish) == used
    assert (tun.status, tun.fix) == (status, "modprobe tun")
    assert tun.seen == "no /dev/net/tun; needs CAP_NET_ADMIN, CAP_NET_RAW"
    assert tun.stops == (BOTH if status == "fail" else ())


def test_a_kernel_without_packet_sockets_stops_what_has_no_tun_either() -> None:
    """Labs too."""
    missing = HostError("no packet socket", fix="datapath: {driver: tun}")
    assert found(PaperProbe(no_packet=missing))["packet"].status == "warn"
    probe = PaperProbe(no_packet=missing, no_tun=NO_TUN)
    packet = found(probe, wanted(driver="packet"))["packet"]

    assert (packet.status, packet.stops) == ("fail", BOTH)


def test_missing_rights_are_named_and_a_lab_has_its_own() -> None:
    """They are told once, not as what came of them as well."""
    denied = DeniedError("need CAP_NET_RAW: no packet socket", fix="sudo")
    probe = PaperProbe(mask=ALL ^ 1 << CAP_NET_RAW ^ 1 << CAP_BPF, no_packet=denied, no_xdp=denied)
    checks = found(probe)

    assert checks["xdp"].seen == (
        "needs CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF: CAP_NET_RAW and CAP_BPF missing"
    )
    assert checks["packet"].status == "warn"
    assert (checks["tun"].status, checks["tun"].stops) == ("fail", ("gateway",))
    assert checks["tun"].fix == "sudo natlb run …"


def test_several_workers_over_a_tun_load_a_program() -> None:
    """Packet sockets have theirs without a right."""
    several = replace(wanted(), workers=2)
    checks = found(PaperProbe(mask=ALL ^ 1 << CAP_BPF), several)

    assert checks["tun"].status == "fail"
    assert checks["packet"].status == "ok"
    assert checks["xdp"].status == "warn"
