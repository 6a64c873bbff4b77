from __future__ import annotations

from typing import Any

import pytest

from natlb.core.layout import MARK_ADOPTED, MARK_UNCONFIRMED
from natlb.engine import DropReason, Engine, Verdict
from natlb.testing import packets
from tests.crash import crash_while
from tests.datapath import (
    B1,
    B2,
    B3,
    CLIENT,
    SOURCE,
    VIP,
    assert_counts_agree,
    broken_laws,
    config,
    engine,
    established,
    live_rows,
    one_service,
    unconfirmed_rows,
)
from tests.kernels import needs_plain_kernels

needs_plain_kernels()

WEB, FROM = f"{VIP}:80", f"{CLIENT}:40000"
POOL = [f"{address}:8080" for address in (B1, B2, B3)]
HASHES = ("source-hash", "destination-hash", "maglev", "rendezvous", "anchor", "bounded-load")


def adopting(policy: str = "maglev", **changes: Any) -> dict[str, Any]:
    """Return a service that adopts."""
    given = {"backends": POOL, "unknown": "adopt", "policy": policy} | changes
    return one_service(**given)


def data(source: str = FROM, **numbers: Any) -> bytes:
    """Return a client's segment in the middle of a connection."""
    return packets.tcp(source, WEB, "A", payload=b"x" * 10, **numbers)


@pytest.mark.parametrize("policy", HASHES)
def test_connections_stay_with_their_backends_when_all_state_is_lost(policy: str) -> None:
    """All of them, by every policy by hash: another natlb knows nothing and picks the same."""
    before, after = engine(adopting(policy)), engine(adopting(policy))
    clients = [f"198.51.100.{1 + n % 50}:{40000 + n}" for n in range(100)]
    servers = {client: established(before, client) for client in clients}
    found = {}
    for client in clients:
        (sent,) = after.process(data(client), 1.0).packets
        found[client] = packets.read(sent).destination
        answer = after.process(packets.tcp(found[client], client, "A"), 1.0)
        assert packets.read(answer.packets[0]).source == WEB

    assert found == servers
    assert {flow.state for flow in after.flows()} == {"established"}
    assert unconfirmed_rows(after._flows) == []
    assert broken_laws(after._flows, after._counters) == []
    assert_counts_agree(after.stats())


def test_a_conversation_goes_on_to_its_end() -> None:
    """Data both ways, windows as they were agreed long ago, and both FINs."""
    path = engine(adopting())
    numbers: dict[str, Any] = {"sequence": 5000, "acknowledgement": 90_000, "window": 17}
    (sent,) = path.process(data(**numbers), 0.0).packets
    server = packets.read(sent).destination
    states = [path.flows()[0].state]
    for flags, sequence, acknowledgement, payload, who in (
        ("A", 500_000, 5010, 1000, "b"),  # the window that was agreed on was larger by its scale
        ("A", 5010, 501_000, 100, "c"),
        ("FA", 5110, 501_000, 0, "c"),
        ("FA", 501_000, 5111, 0, "b"),
    ):
        ends = (server, FROM) if who == "b" else (FROM, WEB)
        segment = packets.tcp(
            *ends, flags, sequence=sequence, acknowledgement=acknowledgement, payload=b"y" * payload
        )
        assert path.process(segment, 0.1).verdict is Verdict.FORWARD
        states.append(path.flows()[0].state)

    assert states == ["opening", "established", "established", "established", "closing"]
    row = path._flows.rows[live_rows(path._flows)[0]]
    assert int(row["marks"]) & (MARK_ADOPTED | MARK_UNCONFIRMED) == 0


@pytest.mark.parametrize(
    ("client", "backend", "state"),
    [
        (["A"], "A", "established"),
        (["A"], "FA", "established"),
        (["FA"], "A", "established"),
        (["FA"], "FA", "closing"),
        (["A"], "R", "closing"),
        (["A", "R"], "", "closing"),
        (["A", "SA"], "", "opening"),
        (["A", "S"], "SA", "opening"),
    ],
)
def test_what_either_end_says_first(client: list[str], backend: str, state: str) -> None:
    """A FIN is remembered; a reset with the very next number ends it; a SYN says nothing."""
    path = engine(adopting())
    server = ""
    for flags in client:
        (sent,) = path.process(packets.tcp(FROM, WEB, flags, sequence=1001), 0.0).packets
        server = packets.read(sent).destination
        assert packets.read(sent).flags == packets.read(packets.tcp(FROM, WEB, flags)).flags
    if backend:
        result = path.process(packets.tcp(server, FROM, backend, sequence=1001), 0.1)
        assert result.verdict is Verdict.FORWARD

    assert [flow.state for flow in path.flows()] == [state]
    assert broken_laws(path._flows, path._counters) == []


@pytest.mark.parametrize(
    "numbers",
    [
        {"flags": "R", "sequence": 77},
        {"flags": "A", "sequence": 1001 + (1 << 31)},
        {"flags": "A", "acknowledgement": 1011 - (1 << 30) - 1},
    ],
)
def test_what_cannot_be_of_the_connection_confirms_nothing(numbers: dict[str, Any]) -> None:
    """It goes on to the client, who knows; the row stays the first to give way."""
    path = engine(adopting())
    (sent,) = path.process(data(sequence=1001), 0.0).packets
    flags = numbers.pop("flags")
    result = path.process(packets.tcp(packets.read(sent).destination, FROM, flags, **numbers), 0.1)

    assert result.verdict is Verdict.FORWARD
    assert len(unconfirmed_rows(path._flows)) == 1
    assert path.flows()[0].state == "opening"


def test_the_backend_may_know_more_than_the_client_has_said() -> None:
    """The first segment that is seen again may be one that was repeated."""
    path = engine(adopting())
    (sent,) = path.process(data(sequence=1001), 0.0).packets
    server = packets.read(sent).destination
    path.process(packets.tcp(server, FROM, "A", acknowledgement=9001), 0.1)
    row = path._flows.rows[live_rows(path._flows)[0]]

    assert int(row["original"]["sequence_end"]) == 9001
    assert path.flows()[0].state == "established"


def test_a_flood_of_forged_acks_keeps_nobody_out() -> None:
    """They give way to whoever comes, as forged SYNs do, and established flows stay."""
    path = engine(adopting(), max_flows=20)
    server = established(path, FROM)
    for n in range(100):
        path.process(data(f"198.51.100.9:{1000 + n}"), 0.1 + n / 1000)
    late = established(path, f"{CLIENT}:40001", 1.0)

    assert server in POOL
    assert late in POOL
    assert {flow.client for flow in path.flows() if flow.state == "established"} == {
        FROM,
        f"{CLIENT}:40001",
    }
    assert broken_laws(path._flows, path._counters) == []


@pytest.mark.parametrize("unknown", ["reject", "drop"])
def test_others_hear_a_reset_or_nothing(unknown: str) -> None:
    """As ever."""
    result = engine(adopting(unknown=unknown)).process(data(), 0.0)

    assert result.reason is DropReason.OUT_OF_STATE
    assert result.verdict is (Verdict.REPLY if unknown == "reject" else Verdict.DROP)


@pytest.mark.parametrize("flags", ["SA", "R", "RA", "F", ""])
def test_only_what_is_of_the_middle_of_a_connection_is_adopted(flags: str) -> None:
    """No answer to a SYN, no reset, nothing without an acknowledgement."""
    path = engine(adopting())
    path.process(packets.tcp(FROM, WEB, flags), 0.0)

    assert path.flows() == []


def test_what_a_backend_sends_is_not_adopted() -> None:
    """Its flow would be somebody's whom nobody knows; nor is what comes from the backends' side."""
    path = engine(adopting())
    backends = path.process(packets.tcp(POOL[0], FROM, "A"), 0.0)
    hairpin = path.process(packets.tcp(f"{B2}:999", WEB, "A"), 0.0)

    assert {backends.reason, hairpin.reason} == {DropReason.OUT_OF_STATE}
    assert path.flows() == []


def refusals() -> dict[str, Engine]:
    """Return engines that adopt nothing of the client, each for another reason."""
    full = engine(adopting(), max_flows=1)
    established(full, f"{CLIENT}:1")
    taken = engine(adopting(backends=POOL[:1]))
    taken.process(packets.tcp(POOL[0], FROM, "S"), 0.0)
    down = engine(adopting(backends=POOL[:1]))
    down.set_backend(f"web/{POOL[0]}", state="draining")
    crossing = Engine(
        {
            "datapath": {"max_flows": 10, "source": [SOURCE, "fd00:9::200"]},
            **{
                key: value
                for key, value in config(adopting(backends=["[fd00:9::11]:8080"])).items()
                if key != "datapath"
            },
        }
    )
    return {
        "access": engine(adopting(access={"deny": [CLIENT]})),
        "no room": full,
        "direct conversation": taken,
        "no backend": down,
        "a source would be needed": crossing,
    }


@pytest.mark.parametrize("why", list(refusals()))
def test_who_cannot_be_adopted_is_told_by_a_reset(why: str) -> None:
    """And calls again, and then hears why not."""
    path = refusals()[why]
    before = len(path.flows())
    result = path.process(data(), 1.0)

    assert result.reason is DropReason.OUT_OF_STATE
    assert packets.read(result.packets[0]).flags == packets.read(packets.tcp(FROM, WEB, "R")).flags
    assert len(path.flows()) == before
    assert broken_laws(path._flows, path._counters) == []


def test_affinity_learns_of_what_is_adopted() -> None:
    """The client's next flow goes where this one is."""
    path = engine(adopting(affinity={}))
    (sent,) = path.process(data(), 0.0).packets
    server = packets.read(sent).destination
    path.process(packets.tcp(server, FROM, "A"), 0.1)

    assert {established(path, f"{CLIENT}:{port}", 0.2) for port in range(1, 20)} == {server}


@pytest.mark.parametrize("store", range(0, 60, 3))
def test_a_worker_may_die_while_it_adopts(store: int) -> None:
    """The table's laws hold, and the next segment finds its way."""
    path = engine(adopting())
    crash_while(path, data(), 0.0, "public", store)

    assert broken_laws(path._flows, path._counters) == []
    assert path.process(data(), 0.1).verdict is Verdict.FORWARD
