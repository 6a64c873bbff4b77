"""`datagrams: n`: a new choice after n answers, and no answer lost; and UDP of dead backends."""

from __future__ import annotations

from typing import Any

import pytest

from natlb.core.layout import BUCKETS, DETACHED
from natlb.engine import DropReason, Engine, Verdict
from natlb.testing import packets
from tests.datapath import (
    B1,
    B2,
    B3,
    CLIENT,
    SOURCE,
    VIP,
    assert_counts_agree,
    broken_laws,
    engine,
    full_nat,
    live_rows,
)

FROM, DNS, WEB = f"{CLIENT}:5000", f"{VIP}:53", f"{VIP}:80"
TIMEOUTS = {"udp": 30, "udp_unreplied": 20}


def pool(count: int = 2, datagrams: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a service of so many backends that chooses anew after so many answers."""
    backends = [f"{address}:53" for address in (B1, B2, B3)][:count]
    service = {"listen": f"udp://{DNS}", "backends": backends, "datagrams": datagrams}
    return {"dns": {**service, "timeouts": TIMEOUTS, **changes}}


def ask(path: Engine, now: float = 0.0, client: str = FROM) -> str:
    """Send a client's datagram; return the backend it was given to."""
    result = path.process(packets.udp(client, DNS, b"?"), now)
    assert result.verdict is Verdict.FORWARD, result
    assert not broken_laws(path._flows, path._counters)
    return packets.read(result.packets[0]).destination


def answer(path: Engine, server: str, now: float = 0.0, to: str = FROM) -> bool:
    """Send a backend's datagram; return whether the client gets it, from the VIP."""
    result = path.process(packets.udp(server, to, b"!"), now)
    assert not broken_laws(path._flows, path._counters)
    if result.verdict is not Verdict.FORWARD:
        return False
    read = packets.read(result.packets[0])
    assert (read.source, read.destination) == (DNS, FROM)
    return True


def test_every_datagram_is_given_a_choice_of_its_own() -> None:
    """Answered one by one, each goes to the next backend, and no row is left."""
    path = engine(pool(3))
    servers = []
    for _ in range(6):
        servers.append(ask(path))
        assert answer(path, servers[-1])

    assert servers == [f"{each}:53" for each in (B1, B2, B3, B1, B2, B3)]
    assert len(path.flows()) == 1
    assert path.stats().flows.opened == 6
    assert path.stats().flows.closed == 5
    assert_counts_agree(path.stats())


@pytest.mark.parametrize("answers", [2, 3])
def test_a_choice_lasts_for_so_many_answers(answers: int) -> None:
    """Fewer leave it as it is."""
    path = engine(pool(datagrams=answers))
    servers = []
    for _ in range(2 * answers):
        servers.append(ask(path))
        assert answer(path, servers[-1])

    assert servers == [f"{B1}:53"] * answers + [f"{B2}:53"] * answers


def test_without_it_a_client_keeps_its_backend() -> None:
    """However many answers there were."""
    path = engine(pool(datagrams=0))
    servers = set()
    for _ in range(5):
        servers.add(ask(path))
        answer(path, f"{B1}:53")

    assert servers == {f"{B1}:53"}


def test_a_datagram_without_an_answer_is_repeated_to_the_same() -> None:
    """An answer is what lets a client go."""
    path = engine(pool())

    assert {ask(path) for _ in range(5)} == {f"{B1}:53"}


def test_answers_under_way_are_not_lost() -> None:
    """Three asked, one answered, the next goes elsewhere: the two others still arrive."""
    path = engine(pool())
    for _ in range(3):
        ask(path)
    assert answer(path, f"{B1}:53")
    assert ask(path) == f"{B2}:53"

    assert [flow.state for flow in path.flows()] == ["replied", "unreplied"]
    assert path.stats().flows.current == 2
    assert answer(path, f"{B1}:53", 1.0)
    assert answer(path, f"{B2}:53", 1.0)
    assert answer(path, f"{B1}:53", 4.0)
    path.tick(8.9)
    assert len(path.flows()) == 2
    path.tick(9.1)  # five seconds behind the last
    assert [flow.server for flow in path.flows()] == [f"{B2}:53"]
    assert path.stats().flows.expired == 1


def test_datagrams_of_one_batch_are_each_given_their_choice() -> None:
    """The second was looked up while the first's flow was still the one (trap 8)."""
    path = engine(pool(3))
    ask(path)
    ask(path)
    answer(path, f"{B1}:53")
    results = path.process_batch([packets.udp(FROM, DNS, b"?")] * 2, 0.0)
    servers = [packets.read(result.packets[0]).destination for result in results]

    assert servers == [f"{B2}:53"] * 2
    assert not broken_laws(path._flows, path._counters)


def test_a_backend_that_is_chosen_again_while_waited_for_is_the_same_flow() -> None:
    """One client and one backend's port can be told apart by nothing."""
    path = engine(pool())
    ask(path), ask(path)
    answer(path, f"{B1}:53")
    assert ask(path) == f"{B2}:53"
    ask(path)
    answer(path, f"{B2}:53")
    before = path.stats().flows.opened

    assert ask(path) == f"{B1}:53"
    assert path.stats().flows.opened == before
    assert min(int(path._flows.rows[n]["state"]) for n in live_rows(path._flows)) == DETACHED
    assert answer(path, f"{B1}:53")  # the first choice's, late: an answer since the second
    assert ask(path) == f"{B2}:53"  # that waited for one, too
    assert len(path.flows()) == 2
    assert path.services()[0].flows.current == 2
    assert_counts_agree(path.stats())


def test_a_pool_of_one_goes_on_with_its_flow() -> None:
    """There is no other choice; what is under way is of the flow that is taken back."""
    path = engine(pool(1))
    for now in range(20):
        assert ask(path, float(now)) == f"{B1}:53"
        if now % 2:
            assert answer(path, f"{B1}:53", float(now))

    assert len(path.flows()) == 1


def test_another_clients_or_vips_row_is_not_taken_back() -> None:
    """It waits for somebody else's answers: another backend has to do, or none."""
    other = f"{VIP}:54"
    path = engine(pool(1, listen=[f"udp://{DNS}", f"udp://{other}"]))
    ask(path), ask(path)
    answer(path, f"{B1}:53")
    path.set_backend(f"dns/{B1}:53", state="draining")
    refused = path.process(packets.udp(FROM, DNS), 0.0)
    assert refused.reason is DropReason.NO_BACKEND
    path.set_backend(f"dns/{B1}:53", state="ready")
    assert [int(path._flows.rows[n]["state"]) for n in live_rows(path._flows)] == [DETACHED]
    result = path.process(packets.udp(FROM, other), 0.0)

    assert result.reason is DropReason.PORT_EXHAUSTED
    assert answer(path, f"{B1}:53")
    assert not broken_laws(path._flows, path._counters)


def test_a_row_is_taken_back_also_where_the_index_is_full() -> None:
    """The row made in its stead had the very same key, and leaves its place."""
    path = engine(pool(1))
    path._flows.meta[BUCKETS] = 1
    for client in range(1, 4):
        path.process(packets.udp(f"{CLIENT}:{client}", DNS), 0.0)
    ask(path), ask(path)
    answer(path, f"{B1}:53")

    assert ask(path) == f"{B1}:53"
    assert len(path.flows()) == 4
    assert path.process(packets.udp(f"{CLIENT}:9", DNS), 0.0).reason is DropReason.TABLE_FULL


def test_full_nat_gives_each_choice_a_port_of_its_own() -> None:
    """So late answers are never taken for another's, and nothing is to be taken back."""
    path = full_nat(pool(1, nat="full"))
    seen = []
    for _ in range(3):
        asked = [path.process(packets.udp(FROM, DNS, b"?"), 0.0) for _ in range(2)]
        seen.append(packets.read(asked[-1].packets[0]).source)
        assert answer(path, f"{B1}:53", to=seen[-1])

    assert len(set(seen)) == 3
    assert all(end.startswith(SOURCE) for end in seen)
    assert all(answer(path, f"{B1}:53", to=end) for end in seen)


def test_a_reload_that_takes_the_option_back_holds_for_old_flows() -> None:
    """What a service says now is what counts."""
    path = engine(pool())
    ask(path)
    answer(path, f"{B1}:53")
    path.load({"datapath": {"max_flows": 1000}, "services": pool(datagrams=0)})

    assert ask(path) == f"{B1}:53"


@pytest.mark.parametrize("how", ["down", "removed"])
@pytest.mark.parametrize("answered", [True, False])
def test_a_flow_of_a_dead_backend_is_moved_at_the_next_datagram(how: str, answered: bool) -> None:
    """One-way packets do not keep it there (trap 2)."""
    path = engine(pool(datagrams=0))
    assert ask(path) == f"{B1}:53"
    if answered:
        answer(path, f"{B1}:53")
    if how == "down":
        path.set_backend(f"dns/{B1}:53", health="down")
    else:
        gone = pool(datagrams=0, backends=[f"{B2}:53"])
        path.load({"datapath": {"max_flows": 1000}, "services": gone})

    assert ask(path, 0.5) == f"{B2}:53"
    assert [flow.server for flow in path.flows()] == [f"{B2}:53"]
    assert ask(path, 0.6) == f"{B2}:53"


@pytest.mark.parametrize(
    ("before", "after", "server"),
    [
        (f"{B1}:53", f"{B2}:53", f"{B2}:53"),
        (f"{B1}:53", f"{B1}:54", f"{B1}:54"),
        (f"{B1}:54", B1, f"{B1}:53"),
        (B1, f"{B1}:53", f"{B1}:53"),
    ],
)
def test_a_backend_that_keeps_its_name_and_moves_takes_its_datagrams_along(
    before: str, after: str, server: str
) -> None:
    """Its number stays, and what it stands for does not: nobody is left at the old address."""
    old, new = (
        pool(datagrams=0, backends=[{"name": "b", "address": address}])
        for address in (before, after)
    )
    path = engine(old)
    first = ask(path)
    path.load({"datapath": {"max_flows": 1000}, "services": new})

    assert ask(path, 0.5) == server
    assert [flow.server for flow in path.flows()] == [server]
    assert path.stats().flows.opened == (1 if first == server else 2)


def test_a_pool_that_comes_back_from_empty_gets_its_clients_back() -> None:
    """Nobody is left with a backend that is gone, nor with the refusal (trap 2)."""
    path = engine(pool(datagrams=0))
    ask(path)
    for backend in (B1, B2):
        path.set_backend(f"dns/{backend}:53", health="down")
    refused = path.process(packets.udp(FROM, DNS), 1.0)
    assert refused.reason is DropReason.NO_BACKEND
    assert not path.flows()
    path.set_backend(f"dns/{B2}:53", health="up")

    assert ask(path, 1.5) == f"{B2}:53"


def test_a_drained_backend_keeps_its_flow() -> None:
    """It lives: it takes nothing new, and loses nothing old."""
    path = engine(pool(datagrams=0))
    assert ask(path) == f"{B1}:53"
    path.set_backend(f"dns/{B1}:53", state="draining")

    assert ask(path, 1.0) == f"{B1}:53"


def test_an_unanswered_syn_leaves_a_dead_backend() -> None:
    """Sent again, it is given another; an established flow never is (trap 9)."""
    path = engine({"web": {"listen": f"tcp://{WEB}", "backends": [f"{B1}:1", f"{B2}:1"]}})
    seen = []
    for health in ("up", "up", "down"):
        path.set_backend(f"web/{B1}:1", health=health)
        packet = path.process(packets.tcp(FROM, WEB), 0.0).packets[0]
        seen.append(packets.read(packet).destination)
    path.process(packets.tcp(f"{B2}:1", FROM, "SA"), 0.0)
    path.process(packets.tcp(FROM, WEB, "A"), 0.0)
    path.set_backend(f"web/{B2}:1", health="down")
    held = path.process(packets.tcp(FROM, WEB, "PA", payload=b"more"), 1.0)

    assert seen == [f"{B1}:1", f"{B1}:1", f"{B2}:1"]
    assert packets.read(held.packets[0]).destination == f"{B2}:1"
