"""Policies of a user's own in the engine: loaded, changed, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from natlb.control.policy.program_source import ProgramError
from natlb.core.layout import WORD_FALLBACKS
from natlb.engine import Engine
from natlb.policy import Flow
from natlb.testing import packets
from tests.datapath import B1, B2, B3, CLIENT, VIP, config, one_service

BACKENDS = [f"{B1}:80", f"{B2}:80", f"{B3}:80"]
LAST = "def pick(pool, flow):\n    return len(pool.weights) - 1\n"
FIRST = "def pick(pool, flow):\n    return 0\n"
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "policies"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files of a mapping lie here."""
    monkeypatch.chdir(tmp_path)


def services(**more: Any) -> dict[str, Any]:
    """Return a configuration whose policy is `mine.py`."""
    policy = {"name": "python", "file": "mine.py"}
    return config(one_service(**{"backends": BACKENDS, "policy": policy, **more}))


def engine(text: str, **more: Any) -> Engine:
    """Return an engine that chooses by this text."""
    Path("mine.py").write_text(text, encoding="utf-8")
    return Engine(services(**more))


def called(path: Engine, port: int, client: str = CLIENT, now: float = 0.0) -> str:
    """Return which backend a client's new connection gets."""
    sent = path.process(packets.tcp(f"{client}:{port}", f"{VIP}:80"), now).packets[0]
    return packets.read(sent).destination


def test_it_chooses() -> None:
    """And flows that it chose for stay."""
    path = engine(LAST)

    assert [called(path, 20000 + number) for number in range(3)] == [f"{B3}:80"] * 3


def test_a_changed_file_is_taken_by_load() -> None:
    """By the same configuration."""
    path = engine(LAST)
    Path("mine.py").write_text(FIRST, encoding="utf-8")
    before = called(path, 20000)
    path.load(services())

    assert (before, called(path, 20001)) == (f"{B3}:80", f"{B1}:80")
    assert called(path, 20000) == f"{B3}:80"


def test_a_broken_file_is_refused_and_the_old_one_stays() -> None:
    """Told by file and line."""
    path = engine(LAST)
    Path("mine.py").write_text("def pick(pool, flow):\n    return open()\n", encoding="utf-8")
    with pytest.raises(ProgramError, match=r"mine\.py:2:12: calls 'open'"):
        path.load(services())

    assert called(path, 20000) == f"{B3}:80"
    path.set_backend(f"web/{B3}:80", state="draining")
    assert called(path, 20001) == f"{B2}:80"


def test_a_runaway_loop_of_some_flows_stops_none() -> None:
    """What the sample does not meet, the budget ends: turns by weight serve, counted."""
    loop = "    while flow.port == 4:\n        pool.state[0] += 1\n"
    text = f"def pick(pool, flow):\n{loop}    return 0\n"
    path = engine(text)
    got = [called(path, 4, f"198.51.100.{number}") for number in range(2, 8)]

    assert sorted(got) == sorted(BACKENDS * 2)
    assert called(path, 5) == f"{B1}:80"
    assert path._counters.policy[WORD_FALLBACKS] == 6


def test_a_shadow_may_be_a_program() -> None:
    """It has a state of its own."""
    text = "def pick(pool, flow):\n    pool.state[0] += 1\n    return 0\n"
    path = engine(text, policy="round-robin", shadow={"name": "python", "file": "mine.py"})
    got = {called(path, 20000 + number) for number in range(6)}

    assert got == set(BACKENDS)
    assert path._counters.programs[0, 0] == 6


def test_a_path_has_its_programs_beside_it(tmp_path: Path) -> None:
    """Wherever the process stands."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "mine.py").write_text(LAST, encoding="utf-8")
    text = (
        "services: {web: {listen: 'tcp://203.0.113.10:80', backends: ['10.9.0.11:80'],"
        " policy: {name: python, file: mine.py}}}"
    )
    (tmp_path / "etc" / "natlb.yaml").write_text(text, encoding="utf-8")

    assert called(Engine(tmp_path / "etc" / "natlb.yaml"), 20000) == f"{B1}:80"
    with pytest.raises(Exception, match="cannot read the policy"):
        Engine(services(policy={"name": "python", "file": "missing.py"}))


def example(name: str) -> str:
    """Return a documented example."""
    return (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")


def test_quickest_avoids_the_slow_one() -> None:
    """Once it has seen each of them answer."""
    path = engine(example("quickest"))
    notes = path._counters.notes
    for at, seconds in enumerate((0.001, 0.050, 0.001)):
        notes["handshake_us"][path._indices.backends["web", BACKENDS[at]]] = seconds * 1e6
    got = [called(path, 20000 + number) for number in range(40)]

    assert got.count(f"{B2}:80") <= 1
    assert abs(got.count(f"{B1}:80") - got.count(f"{B3}:80")) <= 4


def test_neighbours_stay_together() -> None:
    """A /24 has one backend, and another where that is drained; other networks have others."""
    path = engine(example("neighbours"))
    home = called(path, 20000, "198.51.100.2")
    others = [called(path, 20000, f"198.51.{network}.2") for network in range(101, 107)]

    assert {called(path, 20001, f"198.51.100.{host}") for host in range(3, 20)} == {home}
    assert set(others) == set(BACKENDS)

    path.set_backend(f"web/{home}", state="draining")
    moved = called(path, 20002, "198.51.100.2")

    assert moved != home
    assert {called(path, 20003, f"198.51.100.{host}") for host in range(3, 20)} == {moved}


def test_networks_are_told_apart() -> None:
    """Also those whose addresses differ by a bit here and a bit there; a /24 or /64 is one."""
    space: dict[str, Any] = {}
    exec(compile((EXAMPLES / "neighbours.py").read_text(), "neighbours.py", "exec"), space)

    def network(*client: int) -> object:
        return space["network"](Flow(0, 0, client, 0, 0.0, 0.0))  # type: ignore[arg-type]  # of four

    prefix = 0x20010DB8
    networks = [network(prefix, 1 << 20, 0, 1), network(prefix + 1, 0, 0, 1), network(0, 5, 0, 1)]
    networks += [network(0, 0, 0xFFFF, each << 8) for each in (4, 5, 6)]

    assert len({*networks, (0, 0)}) == 7
    assert network(prefix, 3, 0, 1) == network(prefix, 3, 7, 9)
    assert network(0, 0, 0xFFFF, 0xC6336402) == network(0, 0, 0xFFFF, 0xC63364FF)


def test_the_canary_gets_its_share() -> None:
    """5 % of 4,000 clients, give or take four standard deviations: wrong once in 16,000."""
    path = engine(example("canary"))
    clients = [f"198.51.{number // 250}.{1 + number % 250}" for number in range(4000)]
    got = [called(path, 20000, client) for client in clients]

    assert abs(got.count(f"{B3}:80") - 200) <= 55
    assert abs(got.count(f"{B1}:80") - 1900) <= 127
    assert [called(path, 20001, client) for client in clients[:50]] == got[:50]
