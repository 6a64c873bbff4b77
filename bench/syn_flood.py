"""A flood of SYNs from random sources to one service: a process of its own, bounded in time.

    python -m bench.syn_flood --netns NAME --interface eth0 --vip 203.0.113.10 --port 80 \
        --mac 02:00:00:00:00:01 --seconds 60 --rate 20000 --different 200000

Sources are random addresses of 198.18.0.0/15 (RFC 2544: addresses for benchmarks), which whoever
runs it routes to where answers are swallowed, and random ports. Each is a whole segment, checksums
and all, in a frame of 64 octets. Rate 0 sends as many as go.

It prints `ready` when all is drawn, waits for a line, floods, and prints as JSON what it sent.
Without that line it ends, so it does not outlive who started it by more than its time.
"""

from __future__ import annotations

import argparse
import json
import sys
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import numpy as np

from natlb.bench import forge
from natlb.bench.udp_sender import UdpSender, frames
from natlb.netlink import Netlink

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOURCES = IPv4Network("198.18.0.0/15")
FIRST_PORT, PORTS = 1024, 65536 - 1024
PADDING = 6  # octets, to the smallest frame of Ethernet: 64 with its check sequence


def random_ends(count: int, vip: str, port: int, seed: int) -> forge.Ends:
    """Return `count` random ends outside, no two alike, and the service's."""
    chance = np.random.default_rng(seed)
    room = SOURCES.num_addresses * PORTS
    drawn = np.unique(chance.integers(0, room, count + count // 64 + 64))
    drawn = chance.permutation(drawn)[:count].astype(np.int64)
    return forge.Ends(
        int(SOURCES.network_address) + drawn // PORTS,
        FIRST_PORT + drawn % PORTS,
        np.full(drawn.size, int(IPv4Address(vip)), np.int64),
        np.full(drawn.size, port, np.int64),
    )


def syns(count: int, vip: str, port: int, seed: int) -> NDArray[np.uint8]:
    """Return `count` SYNs as rows, padded to the smallest frame."""
    segments = forge.tcp4(random_ends(count, vip, port, seed), forge.SYN)
    return np.pad(segments, ((0, 0), (0, PADDING)))


def main(words: list[str] | None = None) -> int:
    """Flood as told, and say what was sent."""
    given = read_arguments(words)
    with Netlink(given.netns) as netlink:
        mac = netlink.link(given.interface).mac
    segments = syns(given.different, given.vip, given.port, given.seed)
    with UdpSender(given.netns, given.interface, frames(mac, given.mac, segments)) as sender:
        print("ready", flush=True)
        if not sys.stdin.readline():
            return 1
        sent = sender.send(given.seconds, given.rate)
    print(json.dumps(sent._asdict()), flush=True)
    return 0


def read_arguments(words: list[str] | None) -> argparse.Namespace:
    """Return the arguments; `words` None are the command line's."""
    parser = argparse.ArgumentParser(prog="python -m bench.syn_flood")
    parser.add_argument("--netns", required=True)
    parser.add_argument("--interface", required=True)
    parser.add_argument("--mac", required=True, help="the next hop's")
    parser.add_argument("--vip", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, default=0, help="SYNs a second; 0: as many as go")
    parser.add_argument("--different", type=int, default=1 << 18, help="sources drawn, in turn")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
