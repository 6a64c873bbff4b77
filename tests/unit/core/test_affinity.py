"""Affinity: which backend a client's new flows go to again, and when it is forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from natlb.control.config.values import Affinity
from natlb.core.affinity import recall, remember
from natlb.core.layout import AFFINITY_BUCKET
from natlb.core.policy import NO_BACKEND_INDEX
from natlb.testing import packets
from natlb.wire.rewrite import source_lanes
from tests.crash import KilledError
from tests.datapath import (
    B1,
    B1_6,
    B2,
    B2_6,
    B3,
    CLIENT,
    VIP,
    VIP6,
    backend_of,
    broken_laws,
    change_service,
    config,
    engine,
    established,
    full_nat,
    live_rows,
    one_service,
)
from tests.kernels import why_not_one_by_one
from tests.watched import Watched

if TYPE_CHECKING:
    from natlb.engine import Engine

one_by_one = pytest.mark.skipif(bool(why_not_one_by_one()), reason=why_not_one_by_one())
POOL = [f"{address}:8080" for address in (B1, B2, B3)]
TIMEOUT = 60.0


def sticky(**changes: Any) -> Engine:
    """Return an engine whose one service has affinity for a minute, round robin else."""
    path = engine(one_service(backends=POOL))
    change_service(path, affinity=Affinity(timeout=TIMEOUT, **changes))
    return path


def entries(path: Engine) -> Any:
    """Return the affinities there are."""
    table = path._counters.affinities
    return table[table["identity"] != 0]


def test_a_client_goes_to_one_backend_and_others_take_their_turns() -> None:
    """By its address: its port says nothing."""
    path = sticky()
    mine = [backend_of(path, f"{CLIENT}:{port}") for port in range(1, 6)]
    others = [backend_of(path, f"198.51.100.{host}:1") for host in range(10, 13)]

    assert mine == [POOL[0]] * 5
    assert others == [POOL[1], POOL[2], POOL[0]]
    assert len(entries(path)) == 4


def test_without_affinity_nothing_is_kept() -> None:
    """A service pays a comparison alone."""
    path = engine(one_service(backends=POOL))

    assert [backend_of(path, f"{CLIENT}:{port}") for port in range(1, 4)] == POOL
    assert not len(entries(path))


def test_the_timeout_counts_from_the_last_new_flow() -> None:
    """Not from the first; at the timeout itself it has passed."""
    path = sticky()
    times = [0.0, 59.999, 119.998, 179.998]
    got = [backend_of(path, f"{CLIENT}:{at}", now) for at, now in enumerate(times, 1)]

    assert got == [POOL[0], POOL[0], POOL[0], POOL[1]]


def test_the_clock_of_an_entry_wraps() -> None:
    """After 49.7 days; what is 30 days old is over, though it is nearer from the other side."""
    path = sticky()
    wrap = (1 << 32) / 1000
    assert backend_of(path, f"{CLIENT}:1", wrap - 10) == POOL[0]
    assert backend_of(path, f"{CLIENT}:2", wrap + 10) == POOL[0]
    assert backend_of(path, f"{CLIENT}:3", wrap + 30 * 86400) == POOL[1]


@pytest.mark.parametrize(
    ("prefix", "other", "together"),
    [(32, "198.51.100.3", False), (31, "198.51.100.3", True), (24, "198.51.100.254", True),
     (24, "198.51.101.2", False), (0, "192.0.2.9", True)],
)  # fmt: skip
def test_clients_are_told_apart_by_the_prefix(prefix: int, other: str, *, together: bool) -> None:
    """Of IPv4: those of one network are one client."""
    path = sticky(prefix=prefix)

    assert (backend_of(path, f"{CLIENT}:1") == backend_of(path, f"{other}:1")) is together


@pytest.mark.parametrize(
    ("prefix", "other", "together"),
    [(128, "2001:db8:c::3", False), (64, "2001:db8:c::ffff:3", True),
     (64, "2001:db8:c:1::2", False), (48, "2001:db8:c:1::2", True), (1, "3fff::1", True)],
)  # fmt: skip
def test_clients_of_ipv6_have_a_prefix_of_their_own(
    prefix: int, other: str, *, together: bool
) -> None:
    """The one of IPv4 does not touch them."""
    path = engine()
    change_service(path, "web6", affinity=Affinity(prefix=8, prefix6=prefix))

    def server(client: str) -> str:
        sent = path.process(packets.tcp(f"[{client}]:1", f"[{VIP6}]:80"), 0.0).packets[0]
        return packets.read(sent).destination

    servers = [server("2001:db8:c::2"), server(other)]
    assert servers == [f"[{B1_6}]:8080", f"[{B1_6 if together else B2_6}]:8080"]


def test_services_know_clients_apart() -> None:
    """A client's backend of one is no backend of the other."""
    path = engine({"web": {"listen": [f"tcp://{VIP}:80"], "backends": POOL},
                   "alt": {"listen": [f"tcp://{VIP}:81"], "backends": POOL}})  # fmt: skip
    for name in ("web", "alt"):
        change_service(path, name, affinity=Affinity())
    backend_of(path, "198.51.100.9:1")

    assert backend_of(path, f"{CLIENT}:1") == POOL[1]
    sent = path.process(packets.tcp(f"{CLIENT}:2", f"{VIP}:81"), 0.0).packets[0]
    assert packets.read(sent).destination == POOL[0]


@pytest.mark.parametrize(
    "change", [{"state": "draining"}, {"state": "maint"}, {"weight": 0}, {"health": "down"}]
)
def test_a_backend_that_takes_nothing_new_is_left(change: dict[str, Any]) -> None:
    """For another one, which then is the client's: it does not go back."""
    path = sticky()
    assert backend_of(path, f"{CLIENT}:1") == POOL[0]
    path.set_backend(f"web/{POOL[0]}", **change)
    moved = backend_of(path, f"{CLIENT}:2")
    path.set_backend(f"web/{POOL[0]}", state="ready", weight=1, health="up")

    assert moved in POOL[1:]
    assert backend_of(path, f"{CLIENT}:3") == moved


def test_a_backend_that_was_away_between_two_flows_is_the_clients_still() -> None:
    """Nobody else was given it, and nothing was lost."""
    path = sticky()
    assert backend_of(path, f"{CLIENT}:1") == POOL[0]
    path.command(f"drain web/{POOL[0]}", 1.0)
    path.command(f"ready web/{POOL[0]}", 2.0)

    assert backend_of(path, f"{CLIENT}:2", 3.0) == POOL[0]


def reload(path: Engine, backends: list[str]) -> None:
    """Load the service with other backends; it keeps its affinity."""
    path.load(config(one_service(backends=backends)))
    change_service(path, affinity=Affinity(timeout=TIMEOUT))


def test_an_index_that_another_backend_was_given_leads_nobody_there() -> None:
    """The first backend's clients are spread anew, not handed to whoever has its number now."""
    path = sticky()
    assert backend_of(path, f"{CLIENT}:1") == POOL[0]
    path.command("flush", 0.0)
    reload(path, POOL[1:])
    reload(path, [*POOL[1:], "10.9.0.99:8080"])
    index = path._indices.backends["web", "10.9.0.99:8080"]
    turn = backend_of(path, "198.51.100.9:1")
    after = [*POOL[1:], "10.9.0.99:8080"]

    mine = entries(path)["source3"] & 255 == 2
    assert index == entries(path)["backend"][mine][0] == 0
    assert backend_of(path, f"{CLIENT}:2") == after[(after.index(turn) + 1) % 3]


def test_numbers_that_the_tables_have_no_more_are_no_backends() -> None:
    """Of backends and of services: the table may have become shorter."""
    path = engine({"a": {"listen": f"tcp://{VIP}:81", "backends": POOL[:1]},
                   "web": {"listen": f"tcp://{VIP}:80", "backends": POOL}})  # fmt: skip
    change_service(path, affinity=Affinity())
    for host in range(3):
        backend_of(path, f"198.51.100.{host}:1")
    path.command("flush", 0.0)
    reload(path, POOL[:1])
    for host in range(3):
        assert backend_of(path, f"198.51.100.{host}:2") == POOL[0]


def test_a_full_backend_gives_its_client_away() -> None:
    """The limit holds whoever comes; the client is the other one's from then on."""
    path = engine(one_service(backends=POOL[:2]))
    web = path._config.services["web"]
    change_service(
        path, affinity=Affinity(), backends=(replace(web.backends[0], max_flows=2), web.backends[1])
    )
    got = [backend_of(path, f"{CLIENT}:{port}") for port in range(1, 5)]

    assert got == [POOL[0], POOL[0], POOL[1], POOL[1]]
    path.command(f"flush backend={POOL[0]}", 0.0)
    assert backend_of(path, f"{CLIENT}:9") == POOL[1]


def test_slow_start_does_not_part_a_client_from_its_backend() -> None:
    """It is new flows of others that the backend is spared."""
    path = sticky()
    assert backend_of(path, f"{CLIENT}:1") == POOL[0]
    backends = path._core.tables.backends.copy()
    backends[0]["slow_start_ms"], backends[0]["slow_start_exponent"] = 10**6, 1.0
    backends.flags.writeable = False  # as compiled code takes tables
    path._core = path._core._replace(tables=path._core.tables._replace(backends=backends))

    assert [backend_of(path, f"{CLIENT}:{port}") for port in range(2, 30)] == [POOL[0]] * 28


def test_what_a_flow_was_bound_to_is_kept_not_what_was_chosen() -> None:
    """Where the reply key was taken, through another VIP here, another backend serves."""
    services = {"web": {"listen": f"tcp://{VIP}:80", "backends": POOL[:2]},
                "alt": {"listen": "tcp://203.0.113.11:80", "backends": POOL[:2]}}  # fmt: skip
    path = engine(services)
    change_service(path, affinity=Affinity())
    path.process(packets.tcp(f"{CLIENT}:1", "203.0.113.11:80"), 0.0)
    assert backend_of(path, f"{CLIENT}:1") == POOL[1]

    assert backend_of(path, f"{CLIENT}:2") == POOL[1]


def test_full_nat_and_hairpins_keep_affinity() -> None:
    """The client's own address counts, not the one that natlb gives it."""
    path = full_nat(one_service(backends=POOL, nat="full"))
    change_service(path, affinity=Affinity())

    assert {backend_of(path, f"{CLIENT}:{port}") for port in range(1, 9)} == {POOL[0]}
    assert {backend_of(path, f"{B3}:{port}") for port in range(1, 9)} == {POOL[1]}


FROM, DNS = f"{CLIENT}:5000", f"{VIP}:53"


def ask(path: Engine, now: float) -> str:
    """Send a client's datagram; return the backend it was given to."""
    sent = path.process(packets.udp(FROM, DNS, b"?"), now).packets[0]
    assert not broken_laws(path._flows, path._counters)
    return packets.read(sent).destination


@pytest.mark.parametrize("answers", [1, 2])
def test_a_client_of_datagrams_stays_with_its_backend(answers: int) -> None:
    """Chosen anew after each answer, the choice is the same, and the timeout begins again.

    With a second answer to come, it is by the row that waits for that.
    """
    path = engine({"dns": {"listen": f"udp://{DNS}", "backends": POOL, "datagrams": 1}})
    change_service(path, "dns", affinity=Affinity(timeout=TIMEOUT))
    servers = []
    for turn in range(4):
        servers += [ask(path, now=40.0 * turn) for _ in range(answers)]
        path.process(packets.udp(servers[-1], FROM, b"!"), 40.0 * turn)
        assert entries(path)["seen"].tolist() == [40_000 * turn]

    assert set(servers) == {POOL[0]}
    assert len(path.flows()) == 1


def crowded(path: Engine) -> Engine:
    """Let an engine's affinities be one bucket."""
    counters = path._counters._replace(affinities=path._counters.affinities[:AFFINITY_BUCKET])
    path._counters, path._core = counters, path._core._replace(counters=counters)
    return path


def hosts(path: Engine) -> set[int]:
    """Return the last octet of the clients that are known."""
    return {int(lane) & 255 for lane in entries(path)["source3"]}


def test_a_full_bucket_gives_up_what_was_not_used_for_longest() -> None:
    """A flow of a client makes it young again."""
    path = crowded(sticky())
    for host in range(AFFINITY_BUCKET):
        backend_of(path, f"198.51.100.{host}:1", 1.0 + host)
    backend_of(path, "198.51.100.0:2", 20.0)
    backend_of(path, "198.51.100.99:1", 21.0)

    assert hosts(path) == {0, 2, 3, 4, 5, 6, 7, 99}


@pytest.mark.parametrize("gone", ["drained", "removed"])
def test_a_full_bucket_first_gives_up_those_of_a_backend_that_takes_nothing(gone: str) -> None:
    """However young they are."""
    path = crowded(sticky())
    for host in range(AFFINITY_BUCKET):
        backend_of(path, f"198.51.100.{host}:1", 1.0 + host / 10)
    path.command("flush", 9.0)
    if gone == "drained":
        path.command(f"drain web/{POOL[2]}", 9.0)
    else:
        reload(path, [POOL[0], POOL[1]])
    backend_of(path, "198.51.100.99:1", 10.0)

    assert hosts(path) == {0, 1, 3, 4, 5, 6, 7, 99}


def test_a_full_bucket_first_gives_up_what_has_run_out() -> None:
    """By its own service's timeout."""
    path = engine({"web": {"listen": f"tcp://{VIP}:80", "backends": POOL},
                   "alt": {"listen": f"tcp://{VIP}:81", "backends": POOL}})  # fmt: skip
    change_service(path, "web", affinity=Affinity(timeout=TIMEOUT))
    change_service(path, "alt", affinity=Affinity(timeout=1.0))
    crowded(path)
    for host in range(AFFINITY_BUCKET - 1):
        backend_of(path, f"198.51.100.{host}:1", 1.0 + host)
    path.process(packets.tcp("198.51.100.77:1", f"{VIP}:81"), 20.0)
    assert 77 in hosts(path)
    backend_of(path, "198.51.100.99:1", 21.0)

    assert hosts(path) == {0, 1, 2, 3, 4, 5, 6, 99}


def test_forged_addresses_drive_no_client_out_that_was_heard_twice() -> None:
    """One packet each takes what is free, and what others of them took."""
    path = crowded(sticky())
    for host in range(AFFINITY_BUCKET - 1):
        established(path, f"198.51.100.{host}:1", 1.0 + host)
    for host in range(100, 120):
        backend_of(path, f"198.51.100.{host}:1", 20.0)
    assert hosts(path) == {*range(AFFINITY_BUCKET - 1), 119}

    established(path, "198.51.100.50:1", 20.0)
    assert hosts(path) == {*range(AFFINITY_BUCKET - 1), 50}
    assert backend_of(path, "198.51.100.119:2", 20.0)  # served, and not kept: all are proved
    assert hosts(path) == {*range(AFFINITY_BUCKET - 1), 50}


def test_a_client_that_found_no_place_gets_one_with_its_handshake() -> None:
    """Then the oldest that is proved gives way, and its flow's backend is the one kept."""
    path = crowded(sticky())
    for host in range(AFFINITY_BUCKET):
        established(path, f"198.51.100.{host}:1", 1.0 + host)
    server = established(path, "198.51.100.99:1", 20.0)

    assert hosts(path) == {*range(1, AFFINITY_BUCKET), 99}
    assert {backend_of(path, f"198.51.100.99:{port}", 20.0) for port in range(2, 5)} == {server}
    backend_of(path, "198.51.100.98:1", 21.0)
    assert 99 in hosts(path)  # still proved after flows that were not


def test_a_handshake_that_is_late_does_not_bring_an_old_backend_back() -> None:
    """The client went to another one meanwhile."""
    path = sticky()
    old = backend_of(path, f"{CLIENT}:1")
    path.set_backend(f"web/{old}", state="draining")
    new = backend_of(path, f"{CLIENT}:2", 1.0)
    path.process(packets.tcp(old, f"{CLIENT}:1", "SA"), 2.0)
    path.process(packets.tcp(f"{CLIENT}:1", f"{VIP}:80", "A"), 2.0)
    path.set_backend(f"web/{old}", state="ready")

    assert backend_of(path, f"{CLIENT}:3", 3.0) == new != old


def test_an_answered_datagram_proves_a_client() -> None:
    """As a handshake does."""
    path = crowded(engine({"dns": {"listen": f"udp://{DNS}", "backends": POOL}}))
    change_service(path, "dns", affinity=Affinity(timeout=TIMEOUT))
    path.process(packets.udp(ask(path, 0.0), FROM, b"!"), 0.0)
    for host in range(100, 120):
        path.process(packets.udp(f"198.51.100.{host}:1", DNS, b"?"), 1.0)

    assert int(FROM.split(":", maxsplit=1)[0].rsplit(".", 1)[1]) in hosts(path)


@one_by_one
def test_an_address_takes_its_place_by_the_tables_secret() -> None:
    """Who does not know it cannot crowd another's bucket."""

    def place(seed: int, host: int) -> int:
        path = engine(one_service(backends=POOL), seed=seed)
        change_service(path, affinity=Affinity())
        backend_of(path, f"198.51.100.{host}:1")
        used = path._counters.affinities["identity"].nonzero()[0]
        return int(used[0]) // AFFINITY_BUCKET

    assert len({place(seed, 7) for seed in range(8)}) == 8
    assert len({place(1, host) for host in range(8)}) == 8


def remember_until(path: Engine, number: int, store: int) -> bool:
    """Remember a row's flow, but die before that store; return whether there was one."""
    left = store

    def before_store() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KilledError

    affinities = Watched(path._counters.affinities, before_store)
    core = path._core._replace(counters=path._counters._replace(affinities=affinities))
    try:
        remember(core, path._flows.rows[number], 2000, 0)
    except KilledError:
        return True
    return False


@one_by_one
def test_a_worker_that_is_killed_leads_no_client_astray() -> None:
    """Before any of its stores: an entry that says something says what it was written for."""
    path = crowded(sticky())
    for host in (*range(AFFINITY_BUCKET), 99):
        path.command("flush", 1.0)
        backend_of(path, f"198.51.100.{host}:1", 1.0)
    number = next(iter(live_rows(path._flows)))
    address = source_lanes(path._flows.rows[number]["original"])
    backend = int(path._flows.rows[number]["backend"])
    table = path._counters.affinities
    table["source3"] = 0xC6336400 + np.arange(AFFINITY_BUCKET)  # of others, all of them
    before, stores, found = table.copy(), 0, set()
    while remember_until(path, number, stores):
        said = recall(path._core, 0, address, 2000)
        found.add((said, int((table != before).sum()), int((table["identity"] == 0).sum())))
        table[:] = before
        stores += 1

    assert stores == 9
    assert found == {(NO_BACKEND_INDEX, 0, 0), (NO_BACKEND_INDEX, 1, 1)}
    assert recall(path._core, 0, address, 2000) == backend
