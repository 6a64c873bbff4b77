"""What is measured side by side: each forwards from one VIP to one backend, in a lab of its own.

`packets` of a forwarder is whether it forwards packets, or connections alone.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.results import OURS, MeasureError
from natlb.lab.balancer import start_balancer
from natlb.lab.process import ended, start
from natlb.netlink import Netlink, call_inside, write_sysctl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from natlb.lab.record import Lab

    Say = Callable[[str], None]

VIP, BACKEND = "203.0.113.10", "10.77.0.11"
HTTP_PORT, IPERF3_PORT, UDP_PORT = 80, 5201, 7000
TCP_PORTS = (HTTP_PORT, IPERF3_PORT)
BALANCER = "lb"
READY_SECONDS = 120.0  # a first compile on a busy machine
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
INSTALL = "bench/install-packages"

NFT = f"""
table ip bench {{
  chain calls {{
    type nat hook prerouting priority dstnat
    ip daddr {VIP} tcp dport {{ {HTTP_PORT}, {IPERF3_PORT} }} dnat to {BACKEND}
    ip daddr {VIP} udp dport {UDP_PORT} dnat to {BACKEND}
  }}
}}
"""
HAPROXY = """
global
  nbthread {threads}
  maxconn 4096
defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
"""
NGINX = """
load_module {module};
user root;
daemon off;
worker_processes {threads};
error_log {folder}/nginx.log crit;
pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
stream {{
{servers}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarder:
    """A column of the report. `why_not` says why it cannot be measured here, or nothing."""

    name: str
    about: str
    packets: bool
    why_not: Callable[[], str]
    begin: Callable[[Lab, Say], Lab]


def nothing() -> str:
    """Return that nothing stands in the way."""
    return ""


def unless_nft() -> str:
    """Return why the kernel's DNAT cannot be set up here, or nothing."""
    return "" if shutil.which("nft") else f"no nft here: {INSTALL}"


def unless_haproxy() -> str:
    """Return why there is no HAProxy to measure, or nothing."""
    return "" if shutil.which("haproxy") else "not installed: apt-get install haproxy"


def unless_stream() -> str:
    """Return why nginx cannot forward connections here, or nothing."""
    if shutil.which("nginx") and STREAM_MODULE.exists():
        return ""
    return "not installed: apt-get install nginx libnginx-mod-stream"


def begin_bare(lab: Lab, _: Say) -> Lab:
    """Start the bare forwarder and wait until it forwards."""
    journal = lab.directory / "bare.journal"
    command = [sys.executable, "-m", "bench.bare", VIP, BACKEND, str(journal)]
    read, write = os.pipe()
    try:
        try:
            begin_process(lab, BALANCER, command, "bare", stdout=write)
        finally:
            os.close(write)
        if not select.select([read], [], [], READY_SECONDS)[0] or not os.read(read, 64):
            raise MeasureError(f"bare: {last_line(lab, 'bare')}")
    finally:
        os.close(read)
    return lab


def begin_nft(lab: Lab, _: Say) -> Lab:
    """Have the kernel forward by a DNAT rule of nftables."""
    netns = lab.netns(BALANCER)
    write_sysctl("net/ipv4/ip_forward", "1", netns=netns)
    command = ["nft", "-f", "-"]

    def load() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, input=NFT, text=True, capture_output=True, check=False)

    done = call_inside(netns, load)
    if done.returncode:
        raise MeasureError(f"nft: {done.stderr.strip().splitlines()[0]}")
    return lab


def begin_haproxy(lab: Lab, _: Say) -> Lab:
    """Start HAProxy in TCP mode on the VIP."""
    own_vip(lab)
    file = lab.directory / "haproxy.cfg"
    text = HAPROXY.format(threads=os.cpu_count())
    for port in TCP_PORTS:
        text += f"listen p{port}\n  bind {VIP}:{port}\n  server b {BACKEND}:{port}\n"
    file.write_text(text)
    begin_process(lab, BALANCER, ["haproxy", "-db", "-f", str(file)], "haproxy")
    return lab


def begin_nginx(lab: Lab, _: Say) -> Lab:
    """Start nginx's stream proxy on the VIP."""
    own_vip(lab)
    file = lab.directory / "stream.conf"
    servers = (f"  server {{ listen {VIP}:{p}; proxy_pass {BACKEND}:{p}; }}" for p in TCP_PORTS)
    text = NGINX.format(
        module=STREAM_MODULE,
        threads=os.cpu_count(),
        folder=lab.directory,
        servers="\n".join(servers),
    )
    file.write_text(text)
    log = str(lab.directory / "nginx-start.log")
    begin_process(lab, BALANCER, ["nginx", "-c", str(file), "-e", log], "stream")
    return lab


def own_vip(lab: Lab) -> None:
    """Make the VIP an address of the forwarder's namespace."""
    with Netlink(lab.netns(BALANCER)) as netlink:
        netlink.add_address("lo", f"{VIP}/32")


def begin_process(
    lab: Lab, host: str, command: Sequence[str], name: str, stdout: int | None = None
) -> int:
    """Return the pid of a process started in a host; what it says is in its log.

    MeasureError where it ends at once. The lab ends it: it is in the lab's namespace.
    """
    log = os.open(lab.log(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        out = log if stdout is None else stdout
        pid = start(lab.netns(host), command, stdout=out, stderr=log)
    finally:
        os.close(log)
    if ended(pid, 0.2):
        raise MeasureError(f"{name} ended at once: {last_line(lab, name)}")
    return pid


def last_line(lab: Lab, name: str) -> str:
    """Return the last that a process of the lab said."""
    lines = lab.log(name).read_text(errors="replace").splitlines()
    return lines[-1] if lines else "it said nothing"


FORWARDERS = (
    Forwarder(
        name=OURS,
        about="one worker, compiled, a TUN device for each side",
        packets=True,
        why_not=nothing,
        begin=start_balancer,
    ),
    Forwarder(
        name="bare",
        about="reads and writes alone, one address replaced (bench/bare.py)",
        packets=True,
        why_not=nothing,
        begin=begin_bare,
    ),
    Forwarder(
        name="nft",
        about="the kernel's own DNAT, with connection tracking",
        packets=True,
        why_not=unless_nft,
        begin=begin_nft,
    ),
    Forwarder(
        name="haproxy",
        about="HAProxy in TCP mode: two connections for each",
        packets=False,
        why_not=unless_haproxy,
        begin=begin_haproxy,
    ),
    Forwarder(
        name="nginx",
        about="nginx's stream proxy: two connections for each",
        packets=False,
        why_not=unless_stream,
        begin=begin_nginx,
    ),
)
