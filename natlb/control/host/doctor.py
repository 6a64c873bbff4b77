"""What in this host would stop natlb: every question asked, nothing changed.

A lab needs namespaces, as root or in a user namespace; a gateway needs the rights here.
`examine` gives one or more checks for each thing, in the order a person would read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.host.check import Check, fail, ok, warn
from natlb.control.host.drivers import CAPABILITIES, drivers, used_driver
from natlb.control.host.filters import filters
from natlb.control.host.operation import kernels_local
from natlb.control.host.plan import PROTOCOLS, Wanted
from natlb.control.host.resolve import resolve
from natlb.errors import NatlbError
from natlb.netlink.namespace import READ_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.control.config.values import Config
    from natlb.control.host.plan import Driver, HostPlan, Side, Version
    from natlb.control.host.probe import Probe
    from natlb.control.host.reader import HostReader

OLDEST_PYTHON = (3, 11, 0)
CAP_SYS_ADMIN = 21  # Linux: capability.h
USO_SINCE = (6, 2)  # Linux: if_tun.h, TUN_F_USO4
PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}
NO_USER_NAMESPACES = {
    "kernel.apparmor_restrict_unprivileged_userns": "1",
    "kernel.unprivileged_userns_clone": "0",
    "user.max_user_namespaces": "0",
}


def examine(
    probe: Probe, reader: HostReader, config: Config | None = None, *, running: bool = False
) -> list[Check]:
    """Return what was found. `running`: natlb runs in this namespace, and its marks are its own."""
    wanted = None if config is None else Wanted.of(config)
    vips = [str(vip) for vip in wanted.vips] if wanted else []
    checks = [
        *_python(probe),
        *_kernel(probe),
        *_rights(probe),
        *drivers(probe, wanted),
        *_memory(probe),
        *_ipv6(probe),
        *_forwarding(probe, used_driver(probe, wanted)),
        *filters(probe, vips),
        *_leftovers(probe, running=running),
    ]
    if wanted is not None:
        checks += _sides(wanted, reader, running=running)
    return checks


def _python(probe: Probe) -> Iterator[Check]:
    version = ".".join(map(str, probe.python))
    if probe.python >= OLDEST_PYTHON:
        yield ok("python", f"Python {version}")
    else:
        yield fail("python", f"Python {version} is too old", "install Python 3.11 or newer")
    if probe.is_installed("numba"):
        yield ok("numba", "Numba is installed")
    elif probe.environment.get("NATLB_JIT") == "0":
        yield warn("numba", "Numba is not installed, and NATLB_JIT=0 does without: slow")
    else:
        yield fail("numba", "Numba is not installed", "pip install numba, or NATLB_JIT=0: slow")


def _kernel(probe: Probe) -> Iterator[Check]:
    numbers = tuple(int(part) for part in probe.release.split("-")[0].split(".")[:2])
    if numbers >= USO_SINCE:
        yield ok("kernel", f"Linux {probe.release}: super-packets of TCP and UDP")
    else:
        yield warn("kernel", f"Linux {probe.release}: super-packets of TCP, of UDP from 6.2 on")


def _rights(probe: Probe) -> Iterator[Check]:
    held = probe.capabilities()
    missing = [name for name, bit in CAPABILITIES.items() if not held >> bit & 1]
    if missing:
        yield fail(
            "capabilities",
            f"{' and '.join(missing)} missing, uid {probe.uid}",
            "sudo natlb run …",
            ("gateway",),
        )
    else:
        yield ok("capabilities", "CAP_NET_ADMIN and CAP_NET_RAW are here")
    if held >> CAP_SYS_ADMIN & 1:
        yield ok("namespaces", "network namespaces can be made and entered")
        return
    for key, off in NO_USER_NAMESPACES.items():
        value = (probe.text(f"/proc/sys/{key.replace('.', '/', 1)}") or "").strip()
        if value == off:
            yield fail("namespaces", f"{key} = {value}", "sudo natlb lab …", ("lab",))
            return
    yield ok("namespaces", "labs run in a user namespace; sides in other namespaces need root")


def _memory(probe: Probe) -> Iterator[Check]:
    if probe.memfd():
        yield ok("memfd", "sealed shared memory")
    else:
        yield fail("memfd", "memfd_create is refused", "allow it in the seccomp profile")
    if probe.executable_memory():
        yield ok("executable memory", "compiled code can run")
    elif probe.environment.get("NATLB_JIT") == "0":
        yield warn("executable memory", "forbidden here, and NATLB_JIT=0 does without: slow")
    else:
        fix = "MemoryDenyWriteExecute=no in the unit, or NATLB_JIT=0: slow"
        yield fail("executable memory", "forbidden here (MemoryDenyWriteExecute?)", fix)


def _ipv6(probe: Probe) -> Iterator[Check]:
    if probe.text("/proc/sys/net/ipv6/conf/all/forwarding") is None:
        yield warn("ipv6", "this kernel has no IPv6: IPv4 alone", "boot without ipv6.disable=1")
    else:
        yield ok("ipv6", "IPv6 is here")


def _forwarding(probe: Probe, driver: Driver) -> Iterator[Check]:
    """Say what is set now, and what natlb will make of it on its own interfaces."""
    if driver != "tun":
        yield ok("sysctls", f"driver {driver} leaves them all as they are")
        return
    for name, path in (
        ("ip_forward", "/proc/sys/net/ipv4/ip_forward"),
        ("ipv6 forwarding", "/proc/sys/net/ipv6/conf/all/forwarding"),
    ):
        value = (probe.text(path) or "").strip()
        if value == "1":
            yield ok(name, "1: everything is forwarded already, and natlb leaves it so")
        elif value == "0":
            yield ok(name, "0: natlb forwards what is a service's, nothing else, and puts it back")
    if probe.is_read_only("/proc/sys/net"):
        yield fail("sysctls", "/proc/sys is read-only here", READ_ONLY, ("gateway",))
    filtered = (probe.text("/proc/sys/net/ipv4/conf/all/rp_filter") or "0").strip()
    yield ok("rp_filter", f"{filtered}: natlb sets 2 on its own devices, which go with it")


def _leftovers(probe: Probe, *, running: bool) -> Iterator[Check]:
    if running:
        yield ok("leftovers", "natlb runs in this namespace")
        return
    try:
        left = probe.leftovers()
    except NatlbError as error:
        yield warn("leftovers", error.message, error.fix)
        return
    if left:
        # No failure: the next `natlb run` takes them away first.
        yield warn(
            "leftovers", f"of another natlb: {', '.join(dict.fromkeys(left))}", "natlb cleanup"
        )
    else:
        yield ok("leftovers", "nothing is left of another natlb")


def _sides(wanted: Wanted, reader: HostReader, *, running: bool) -> Iterator[Check]:
    """Say where the sides of this configuration would stand, or why they cannot."""
    try:
        plan = resolve(wanted, reader)
    except NatlbError as error:
        yield fail("configuration", error.message, error.fix, ("gateway",))
        return
    for name, side in (("public", plan.public), ("private", plan.private)):
        where = f" in network namespace {side.netns}" if side.netns else ""
        devices = ", ".join(device.name for device in side.devices) or "the namespace itself"
        yield ok(name, f"{devices}{where}, MTU {side.way_mtu}")
        yield from _carriers(name, side, reader)
    yield from _one_arm(plan)
    yield from _sources(plan)
    yield from _shared(plan, reader, running=running)


def _one_arm(plan: HostPlan) -> Iterator[Check]:
    inner = {device.name for device in plan.private.devices}
    both = [device.name for device in plan.public.devices if device.name in inner]
    if plan.together and both:
        seen = f"{both[0]} is public and private: its own subnet's clients are answered past natlb"
        yield warn("private", seen, "nat: full, with datapath.source")


def _sources(plan: HostPlan) -> Iterator[Check]:
    answered = {proxy.address: proxy.dev for proxy in plan.private_proxies}
    for source in plan.sources:
        if source in answered:
            yield ok("source", f"{source} is answered for on {answered[source]}")
        else:
            own = plan.private.address4 if source.version == 4 else plan.private.address6
            seen = f"{source} is in no private interface's subnet: backends need a route to it"
            yield warn("source", seen, f"on the backends: ip route add {source} via {own}")


def _shared(plan: HostPlan, reader: HostReader, *, running: bool) -> Iterator[Check]:
    for vip in plan.host_vips:
        ranges = [each for each in plan.services if each.address == vip]
        ports = ", ".join(f"{PROTOCOL_NAMES[each.protocol]} {each}" for each in ranges)
        yield ok("shared", f"{vip} is an address of this host, which keeps all of it but {ports}")
        version: Version = 4 if vip.version == 4 else 6
        if running and kernels_local(version) in reader.rules(plan.public.netns, version):
            seen = f"the IPv{version} rule 0 `lookup local` is back: services of {vip} are cut off"
            yield warn("shared", seen, f"ip -{version} rule delete priority 0 lookup local")


def _carriers(name: str, side: Side, reader: HostReader) -> Iterator[Check]:
    names = {device.name for device in side.devices}
    for link in reader.links(side.netns):
        if link.name in names and not link.carrier:
            yield warn(name, f"{link.name} has no carrier: its other end is down", None)
