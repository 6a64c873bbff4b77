"""The peers: the kernel's own DNAT, HAProxy and nginx as connection proxies; and nobody at all."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from natlb.bench.forwarders import (
    BACKEND,
    BALANCER,
    HTTP_PORT,
    IPERF3_PORT,
    TCP_PORTS,
    UDP_PORT,
    VIP,
    Forwarder,
    begin_process,
    nothing,
)
from natlb.bench.results import NONE, MeasureError
from natlb.netlink import Netlink, call_inside, write_sysctl

if TYPE_CHECKING:
    from natlb.bench.forwarders import Say
    from natlb.lab.record import Lab

PROXY_THREADS = 2
STREAM_MODULES = tuple(
    Path(folder) / "ngx_stream_module.so"
    for folder in ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules")
)

NFT = f"""
table ip bench {{
  chain calls {{
    type nat hook prerouting priority dstnat
    ip daddr {VIP} tcp dport {{ {HTTP_PORT}, {IPERF3_PORT} }} dnat to {BACKEND}
    ip daddr {VIP} udp dport {UDP_PORT} dnat to {BACKEND}
  }}
}}
"""
HAPROXY = f"""
global
  nbthread {PROXY_THREADS}
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


def unless_nft() -> str:
    """Return why the kernel's DNAT cannot be set up here, or nothing."""
    return "" if shutil.which("nft") else "no nft here: apt-get install nftables"


def unless_haproxy() -> str:
    """Return why there is no HAProxy to measure, or nothing."""
    return "" if shutil.which("haproxy") else "no haproxy here: apt-get install haproxy"


def unless_stream() -> str:
    """Return why nginx cannot forward connections here, or nothing."""
    if shutil.which("nginx") and stream_module() is not None:
        return ""
    return "no nginx with its stream module here: apt-get install nginx libnginx-mod-stream"


def stream_module() -> Path | None:
    """Return where nginx's stream module lies."""
    return next((place for place in STREAM_MODULES if place.exists()), None)


def begin_none(lab: Lab, _: Say) -> Lab:
    """Begin nothing: client and backend are joined by one wire, and the VIP is the backend's."""
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
        raise MeasureError(f"nft: {(done.stderr.strip() or 'failed').splitlines()[0]}")
    return lab


def begin_haproxy(lab: Lab, _: Say) -> Lab:
    """Start HAProxy in TCP mode on the VIP."""
    own_vip(lab)
    file = lab.directory / "haproxy.cfg"
    text = HAPROXY
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
        module=stream_module(),
        threads=PROXY_THREADS,
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


PEERS = (
    Forwarder(
        name=NONE,
        about="no forwarder: client and backend on one wire, as much as the loaders themselves do",
        why_not=nothing,
        begin=begin_none,
        topology=Path(__file__).with_name("direct.yaml"),
    ),
    Forwarder(
        name="nft",
        about="the kernel's own DNAT by nftables, with connection tracking",
        why_not=unless_nft,
        begin=begin_nft,
    ),
    Forwarder(
        name="haproxy",
        about=f"HAProxy in TCP mode, `nbthread {PROXY_THREADS}`: two connections for each",
        packets=False,
        why_not=unless_haproxy,
        begin=begin_haproxy,
    ),
    Forwarder(
        name="nginx",
        about=f"nginx's stream proxy, {PROXY_THREADS} workers: two connections for each",
        packets=False,
        why_not=unless_stream,
        begin=begin_nginx,
    ),
)
