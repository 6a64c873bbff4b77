"""Rounds over stands that are made of nothing: order, failures, what stays of a run cut short."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from natlb.bench import memory, rounds
from natlb.bench.forwarders import Forwarder, nothing
from natlb.bench.loads import Load
from natlb.bench.results import Line, MeasureError, Session, Settings
from natlb.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator


class PaperStand:
    """A stand without a lab."""

    def __init__(self, forwarder: Forwarder) -> None:
        """Stand for a column."""
        self.forwarder = forwarder
        self.name = forwarder.name


def column(name: str, why_not: str = "", *, packets: bool = True) -> Forwarder:
    """Return a column that begins nothing."""
    return Forwarder(
        name=name,
        about=f"about {name}",
        why_not=(lambda: why_not) if why_not else nothing,
        begin=lambda lab, _: lab,
        packets=packets,
    )


@contextmanager
def build(forwarder: Forwarder, _: Any) -> Iterator[Any]:
    """Give a stand of paper; one named `broken` cannot be had."""
    if forwarder.name == "broken":
        raise HostError("no such device\nsecond line")
    yield PaperStand(forwarder)


@pytest.fixture
def said() -> list[str]:
    """Give what was said."""
    return []


@pytest.fixture
def session(said: list[str], monkeypatch: pytest.MonkeyPatch) -> Session:
    """Give a run of two rounds; no forwarder holds memory."""
    monkeypatch.setattr(memory, "held_by", lambda _: None)
    return Session(settings=Settings(rounds=2, seconds=1.0), say=said.append)


def load(take: Any, name: str = "udp", *, packets: bool = False, needs: Any = ()) -> Load:
    """Return a load of one line."""
    line = Line(key=name, name=name, unit="k/s")
    return Load(
        name=name, about=name, lines=(line,), take=take, packets=packets, needs=needs, overhead=0.5
    )


def measure(session: Session, columns: list[Forwarder], loads: list[Load]) -> None:
    """Measure with stands of paper."""
    with ExitStack() as stack:
        rounds.measure_all(stack, columns, loads, session, build)


def test_columns_take_turns(session: Session) -> None:
    """A B A B, not A A B B: the machine's drift must meet both alike."""
    order: list[str] = []

    def take(stand: Any, seconds: float) -> tuple[float]:
        order.append(stand.name)
        return (len(order) * seconds,)

    measure(session, [column("a"), column("b")], [load(take)])

    assert order == ["a", "b", "a", "b"]
    assert session.measures[0].figures == {"a": (1.0, 3.0), "b": (2.0, 4.0)}


def test_a_load_that_a_column_cannot_take_goes_round_it(session: Session) -> None:
    """A proxy of connections has no datagrams."""
    columns = [column("a"), column("proxy", packets=False)]
    measure(session, columns, [load(lambda *_: (1.0,), packets=True)])

    assert session.measures[0].figures.keys() == {"a"}


def test_a_column_that_fails_is_left_out_from_there_on(session: Session) -> None:
    """What it had stays; the others go on."""
    tries: list[str] = []

    def take(stand: Any, _: float) -> tuple[float]:
        tries.append(stand.name)
        if tries.count("a") == 2 and stand.name == "a":
            raise MeasureError("wrk had no answer")
        return (1.0,)

    measure(session, [column("a"), column("b")], [load(take)])

    assert session.measures[0].figures == {"a": (1.0,), "b": (1.0, 1.0)}
    assert session.left_out == {"udp, a": "wrk had no answer"}


def test_a_stand_that_cannot_be_had_is_left_out(session: Session) -> None:
    """With the first line of why."""
    measure(session, [column("broken"), column("b")], [load(lambda *_: (1.0,))])

    assert session.left_out == {"broken": "no such device"}
    assert [each.name for each in session.columns] == ["b"]


def test_what_was_taken_before_an_interrupt_stays(session: Session) -> None:
    """Half an hour of measuring is not thrown away."""

    def take(stand: Any, _: float) -> tuple[float]:
        if stand.name == "b":
            raise KeyboardInterrupt
        return (7.0,)

    with pytest.raises(KeyboardInterrupt):
        measure(session, [column("a"), column("b")], [load(take)])

    assert session.measures[0].figures == {"a": (7.0,)}


def test_missing_columns_and_loaders_are_named_and_the_rest_goes_on(
    session: Session, said: list[str]
) -> None:
    """With what would have them."""
    columns = rounds.usable_columns([column("a"), column("b", "apt-get install b")], session)
    loads = rounds.usable_loads([load(None), load(None, "x", needs=("nlbb-none",))], session)

    assert [each.name for each in columns] == ["a"]
    assert [each.name for each in loads] == ["udp"]
    assert session.left_out == {
        "b": "apt-get install b",
        "x": "no nlbb-none here: apt-get install nlbb-none",
    }
    assert len(said) == 2


def test_memory_is_measured_before_and_after(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forwarder whose memory cannot be read is left out of that line."""
    held: Iterator[float | MeasureError] = iter([10.0, MeasureError("gone"), 12.0, 5.0])

    def held_by(_: Any) -> float:
        found = next(held)
        if isinstance(found, MeasureError):
            raise found
        return found

    monkeypatch.setattr(memory, "held_by", held_by)
    measure(session, [column("a"), column("b")], [])

    assert [each.figures for each in session.measures] == [
        {"a": (10.0,)},
        {"a": (12.0,), "b": (5.0,)},
    ]
    assert session.left_out == {"memory, b": "gone"}


def test_the_time_it_takes_is_known_beforehand(session: Session) -> None:
    """Two rounds of 1.5 s on two columns, on one of them alone where proxies cannot."""
    columns = [column("a"), column("b", packets=False)]
    alone = rounds.estimate([], columns, session.settings)

    both = rounds.estimate([load(None), load(None, packets=True)], columns, session.settings)
    assert both - alone == pytest.approx(2 * 1.5 * 2 + 2 * 1.5)
