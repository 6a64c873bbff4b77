from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from natlb.control.config.values import (
    BackendConfig,
    Config,
    DatapathConfig,
    Listen,
    ServiceConfig,
)
from natlb.control.host.check import verdict
from natlb.control.host.doctor import examine
from natlb.errors import DeniedError, HostError
from tests.paper_host import PaperHost, PaperProbe, link

if TYPE_CHECKING:
    from natlb.control.host.check import Check

CONFIG = Config(
    services={
        "web": ServiceConfig(
            name="web",
            listen=(Listen("tcp", ip_address("203.0.113.10"), 80),),
            backends=(
                BackendConfig(
                    name="be1", address=ip_address("10.77.0.11"), port=80, written="10.77.0.11"
                ),
            ),
        )
    }
)


def found(name: str, probe: PaperProbe) -> Check:
    """Return the check of this name."""
    return next(check for check in examine(probe, PaperHost()) if check.name == name)


def test_a_good_host_has_nothing_to_mend() -> None:
    """Every line says ok, and what was seen."""
    checks = examine(PaperProbe(), PaperHost())

    assert {check.status for check in checks} == {"ok"}
    assert all(check.seen and check.fix is None for check in checks)


@pytest.mark.parametrize(
    ("name", "probe", "status", "seen", "stops"),
    [
        ("python", PaperProbe(python=(3, 10, 9)), "fail", "3.10.9 is too old", 2),
        ("numba", PaperProbe(installed=()), "fail", "not installed", 2),
        ("numba", PaperProbe(installed=(), environment={"NATLB_JIT": "0"}), "warn", "slow", 0),
        ("kernel", PaperProbe(release="6.1.0-21-amd64"), "warn", "of UDP from 6.2 on", 0),
        ("kernel", PaperProbe(release="7.0-rc1"), "ok", "TCP and UDP", 0),
        ("capabilities", PaperProbe(mask=1 << 12, uid=7), "fail", "CAP_NET_RAW missing, uid 7", 1),
        ("memfd", PaperProbe(has_memfd=False), "fail", "memfd_create", 2),
        ("executable memory", PaperProbe(may_execute=False), "fail", "MemoryDenyWriteExec", 2),
        (
            "executable memory",
            PaperProbe(may_execute=False, environment={"NATLB_JIT": "0"}),
            "warn",
            "slow",
            0,
        ),
        ("sysctls", PaperProbe(read_only=True), "fail", "read-only", 1),
        ("ipv6", PaperProbe(files={}), "warn", "no IPv6", 0),
        ("leftovers", PaperProbe(marks=["device natlb-pub"]), "warn", "device natlb-pub", 0),
    ],
)
def test_what_would_stop_natlb_is_found(
    name: str, probe: PaperProbe, status: str, seen: str, stops: int
) -> None:
    """And with it the command that mends it, where there is one."""
    check = found(name, probe)

    assert (check.status, len(check.stops)) == (status, stops)
    assert seen in check.seen
    assert check.fix or status != "fail"


def test_without_a_tun_nothing_is_said_of_what_only_that_needs() -> None:
    """Forwarding and the like are let be by the others."""
    reason = HostError("/dev/net/tun cannot be opened, mode 0600, owner 0:0", fix="chmod")
    asked = replace(CONFIG, datapath=replace(CONFIG.datapath, driver="packet"))
    checks = examine(PaperProbe(no_tun=reason, read_only=True), PaperHost(), asked)

    [sysctls] = [check for check in checks if check.name == "sysctls"]
    assert (sysctls.status, sysctls.seen) == ("ok", "driver packet leaves them all as they are")
    assert "rp_filter" not in {check.name for check in checks}
    assert verdict(checks) == "lab ready, gateway ready"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ("/proc/sys/user/max_user_namespaces", "0"),
    ],
)
def test_user_namespaces_matter_to_who_is_not_root(path: str, value: str) -> None:
    """The sysctl that forbids them is named; root needs none."""
    plain = PaperProbe(mask=0)
    blocked = replace(plain, files=plain.files | {path: f"{value}\n"})

    assert found("namespaces", plain).status == "ok"
    assert found("namespaces", blocked).stops == ("lab",)
    assert found("namespaces", blocked).seen.endswith(f"= {value}")
    assert found("namespaces", replace(blocked, mask=PaperProbe().mask)).status == "ok"


def test_forwarding_is_shown_as_it_is_before_natlb() -> None:
    """Both ways are fine: natlb changes as much as it must."""
    on = PaperProbe()
    on.files["/proc/sys/net/ipv4/ip_forward"] = "1\n"

    assert found("ip_forward", PaperProbe()).seen.startswith("0: natlb forwards")
    assert found("ip_forward", on).seen.startswith("1: everything is forwarded already")


def test_marks_of_a_running_natlb_are_its_own() -> None:
    """They are not what a crash left."""
    probe = PaperProbe(marks=["device natlb-pub"])
    checks = examine(probe, PaperHost(), running=True)

    assert {check.status for check in checks} == {"ok"}


def test_leftovers_that_may_not_be_seen_are_no_failure() -> None:
    """Only root may look."""
    denied = DeniedError("need CAP_NET_ADMIN: cannot list rules", fix="sudo natlb doctor")
    check = found("leftovers", PaperProbe(marks=denied))

    assert (check.status, check.seen) == ("warn", denied.message)


def test_a_configuration_is_tried_against_this_host() -> None:
    """Sides with their MTUs, a cable that is out, or why natlb would not start."""
    host = PaperHost()
    host.own.links[1] = replace(host.own.links[1], carrier=False)
    checks = examine(PaperProbe(), host, CONFIG)[-3:]

    assert [(check.name, check.status) for check in checks] == [
        ("public", "ok"),
        ("public", "warn"),
        ("private", "ok"),
    ]
    assert checks[0].seen == "eth0, MTU 1500"
    host.own.links = [link("lo"), link("eth1", "10.77.0.1/24")]
    host.own.routes = []
    refused = examine(PaperProbe(), host, CONFIG)[-1]

    assert (refused.name, refused.status, refused.stops) == ("configuration", "fail", ("gateway",))
    assert "no interface is left to be public" in refused.seen


def configured(**datapath: object) -> Config:
    """Return a configuration whose VIP is the host's own address."""
    vip = ip_address("198.51.100.1")
    service = replace(
        CONFIG.services["web"], listen=tuple(Listen("tcp", vip, port) for port in (80, 81, 443))
    )
    return Config(services={"web": service}, datapath=DatapathConfig(**datapath))  # type: ignore[arg-type]


def test_addresses_of_full_nat_are_answered_for_or_need_a_route() -> None:
    """A backend that does not know the way back would answer to nobody."""
    source = tuple(ip_address(each) for each in ("10.77.0.200", "192.0.2.1"))
    found = examine(PaperProbe(), PaperHost(), configured(source=source))
    checks = [check for check in found if check.name == "source"]

    assert [check.status for check in checks] == ["ok", "warn"]
    assert checks[1].fix == "on the backends: ip route add 192.0.2.1 via 10.77.0.1"


def test_what_is_shared_with_the_host_is_said_and_a_rule_that_cuts_it_off_is_found() -> None:
    """Somebody may put the kernel's rule back under natlb."""
    idle = examine(PaperProbe(), PaperHost(), configured())
    running = examine(PaperProbe(), PaperHost(), configured(), running=True)
    [shared] = [check for check in idle if check.name == "shared"]

    assert shared.seen.endswith("keeps all of it but tcp 80-81, tcp 443")
    assert [check.status for check in running if check.name == "shared"] == ["ok", "warn"]


def test_a_gateway_with_one_arm_is_told_what_it_cannot_do() -> None:
    """A backend answers a neighbour straight, past natlb."""
    datapath = {"public": ("eth1",), "private": ("eth1",)}
    checks = examine(PaperProbe(), PaperHost(), configured(**datapath))

    assert [check.fix for check in checks if check.status == "warn"] == [
        "nat: full, with datapath.source"
    ]
