"""Workers that share nothing, behind the steering, do what one worker does alone."""

from __future__ import annotations

import random
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from natlb.core.layout import WORKER, WORKERS
from natlb.core.steering import worker_of, worker_of_port
from natlb.engine import Engine, PacketMeta, Verdict
from natlb.testing import packets
from tests.bpf_packets import lanes_of
from tests.datapath import B1, B1_6, B2, SOURCE, SOURCE6, VIP, VIP6, broken_laws
from tests.kernels import needs_plain_kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

needs_plain_kernels()

PRIVATE = PacketMeta(side="private")
BACKENDS = [f"{B1}:8080", f"{B2}:8080"]
# A client's backend follows from its address alone, so that one and many can be compared.
SERVICES: dict[str, Any] = {
    "web": {"listen": f"tcp://{VIP}:80", "backends": BACKENDS},
    "full": {"listen": f"tcp://{VIP}:81", "backends": BACKENDS, "nat": "full"},
    "dns": {"listen": f"udp://{VIP}:53", "backends": BACKENDS, "nat": "full"},
    "six": {"listen": f"tcp://[{VIP6}]:80", "backends": [f"[{B1_6}]:8080"]},
    "mixed": {"listen": f"tcp://[{VIP6}]:81", "backends": BACKENDS},
}
CALLED: list[tuple[str, Callable[..., bytes]]] = [
    (f"{VIP}:80", packets.tcp),
    (f"{VIP}:81", packets.tcp),
    (f"{VIP}:53", packets.udp),
    (f"[{VIP6}]:80", packets.tcp),
    (f"[{VIP6}]:81", packets.tcp),
]


def workers(count: int) -> list[Engine]:
    """Return so many engines that know of each other what workers do: how many they are."""
    datapath = {"max_flows": 1000, "source": [SOURCE, SOURCE6], "source_ports": "1024-65535"}
    services = {name: {**each, "policy": "source-hash"} for name, each in SERVICES.items()}
    made = [Engine({"datapath": datapath, "services": services}, seed=1) for _ in range(count)]
    for index, path in enumerate(made):
        path._core.flows.meta[WORKER], path._core.flows.meta[WORKERS] = index, count
    return made


def of_client(client: str, paths: Sequence[Engine]) -> Engine:
    """Return the worker that a client's packets are steered to."""
    address, _ = packets.split_endpoint(client)
    return paths[worker_of(lanes_of(ip_address(str(address))), len(paths))]


def of_answer(back_to: str, paths: Sequence[Engine]) -> Engine:
    """Return the worker that a backend's answer is steered to."""
    address, port = packets.split_endpoint(back_to)
    if str(address) in (SOURCE, SOURCE6):
        return paths[worker_of_port(port, len(paths))]
    return of_client(back_to, paths)


def converse(paths: Sequence[Engine], client: str, vip: str, build: Any, now: float) -> list[Any]:
    """Return what becomes of a packet, of its answer and of the error about that."""
    result = of_client(client, paths).process(build(client, vip), now)
    assert result.verdict is Verdict.FORWARD
    sent = packets.read(result.packets[0])
    back = build(sent.destination, sent.source, *(("SA",) if build is packets.tcp else ()))
    home = of_answer(sent.source, paths)
    assert home is of_client(client, paths)
    answered = home.process(back, now, PRIVATE)
    address, _ = packets.split_endpoint(sent.source)
    router, kind, code = ("10.9.0.99", 3, 1) if address.version == 4 else ("fd00:9::99", 1, 0)
    error = packets.icmp(router, str(address), kind, code, payload=result.packets[0])
    told = home.process(error, now, PRIVATE)
    assert told.verdict is Verdict.FORWARD
    told_whom = packets.read(told.packets[0]).destination
    return [sent.destination, answered.verdict, answered.packets, told_whom]


@pytest.mark.parametrize("count", [2, 3, 8])
def test_many_workers_say_what_one_says(count: int) -> None:
    """Backends see other ports under full NAT; clients see the same, to the bit."""
    dice = random.Random(count)
    alone, together = workers(1), workers(count)
    for turn in range(300):
        vip, build = dice.choice(CALLED)
        host = f"[2001:db8::{dice.randrange(1, 9999):x}]" if "[" in vip else ""
        host = host or f"198.51.{dice.randrange(100)}.{dice.randrange(1, 255)}"
        client = f"{host}:{dice.randrange(1024, 65536)}"
        assert converse(together, client, vip, build, turn / 10) == converse(
            alone, client, vip, build, turn / 10
        )

    seen = [path.stats() for path in together]
    whole = alone[0].stats()
    assert min(each.flows.current for each in seen) > 0
    assert sum(each.flows.current for each in seen) == whole.flows.current
    assert sum(each.packets.forwarded for each in seen) == whole.packets.forwarded
    assert not any(each.drops for each in seen)
    for path in together:
        assert not broken_laws(path._flows, path._counters)
