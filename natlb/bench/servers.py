"""What the backend of a stand serves: HTTP by nginx, iperf3, and a sink of datagrams."""

from __future__ import annotations

import ctypes
import shutil
import socket
import struct
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from natlb.bench.forwarders import HTTP_PORT, IPERF3_PORT, UDP_PORT, begin_process, last_line
from natlb.bench.results import MeasureError
from natlb.netlink import call_inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.lab.record import Lab

SERVER = "backend"
LISTEN_SECONDS = 30.0
LOOK_SECONDS = 0.02
LISTENING = "0A"  # Linux: tcp_states.h, TCP_LISTEN
SO_ATTACH_FILTER = 26  # Linux: socket.h
TAKE_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)  # classic BPF: return 0
BODY = "x" * 128

# As `root`, since a user namespace may know no other; nothing but this bench reaches it.
NGINX = """
user root;
daemon off;
master_process off;
error_log {folder}/nginx.log crit;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {port} backlog=4096;
    location / {{ return 200 "{body}"; }}
  }}
}}
"""


def begin_servers(lab: Lab) -> None:
    """Start what the client calls, and wait until it listens."""
    begin_process(lab, SERVER, http_server(lab), "http")
    ports = [HTTP_PORT]
    if shutil.which("iperf3"):
        begin_process(lab, SERVER, ["iperf3", "-s", "-p", str(IPERF3_PORT)], "iperf3")
        ports.append(IPERF3_PORT)
    for port in ports:
        wait_listening(lab, port)


def http_server(lab: Lab) -> list[str]:
    """Return the command of an HTTP server: nginx, else natlb's own, which is slower by far."""
    if not shutil.which("nginx"):
        command = [sys.executable, "-m", "natlb.lab.backend", "--name", BODY]
        return [*command, "--http", str(HTTP_PORT)]
    file = lab.directory / "http.conf"
    file.write_text(NGINX.format(folder=lab.directory, port=HTTP_PORT, body=BODY))
    return ["nginx", "-c", str(file), "-e", str(lab.directory / "nginx-start.log")]


def http_note() -> str:
    """Return which server answers."""
    slow = "natlb's own server for labs, slower than any forwarder: apt-get install nginx"
    return f"HTTP is answered by {'nginx, one process' if shutil.which('nginx') else slow}"


def wait_listening(lab: Lab, port: int) -> None:
    """Wait until the backend listens on a port; MeasureError where it does not come to that."""
    deadline = time.monotonic() + LISTEN_SECONDS
    while port not in call_inside(lab.netns(SERVER), listening_ports):
        if time.monotonic() > deadline:
            said = [f"{name}: {last_line(lab, name)}" for name in ("http", "iperf3")]
            raise MeasureError(f"nothing listens on port {port}; {'; '.join(said)}")
        time.sleep(LOOK_SECONDS)


def listening_ports() -> set[int]:
    """Return the TCP ports that somebody listens on in this thread's namespace."""
    found = set()
    for table in ("tcp", "tcp6"):
        path = Path("/proc/thread-self/net") / table
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        fields = (line.split() for line in lines)
        found |= {int(each[1].rpartition(":")[2], 16) for each in fields if each[3] == LISTENING}
    return found


@contextmanager
def sink(lab: Lab) -> Iterator[None]:
    """Have the backend take datagrams and forget them in the kernel: no answer, no reader.

    They are counted by the interface. Without a socket each would be answered by an ICMP error.
    """
    made = call_inside(lab.netns(SERVER), lambda: socket.socket(type=socket.SOCK_DGRAM))
    with made:
        octets = ctypes.create_string_buffer(TAKE_NOTHING)
        program = struct.pack("HP", 1, ctypes.addressof(octets))
        made.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        made.bind(("", UDP_PORT))
        yield
