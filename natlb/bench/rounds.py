"""All columns in turn, round by round: A B C A B C, so that the machine's drift meets all alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.bench import memory
from natlb.bench.results import Column, Line, Measure, MeasureError
from natlb.bench.traffic import unless
from natlb.errors import NatlbError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager, ExitStack

    from natlb.bench.forwarders import Forwarder, Say
    from natlb.bench.loads import Load
    from natlb.bench.results import Session, Settings
    from natlb.bench.stand import Stand

    Build = Callable[[Forwarder, Say], AbstractContextManager[Stand]]

STAND_SECONDS = 0.6  # namespaces, servers, senders
END_SECONDS = 0.3  # of a column: natlb puts its network back
AT_REST = Line(key="memory", name="memory at rest", unit="MiB", better="less")
AFTER = Line(key="memory.after", name="memory after all loads", unit="MiB", better="less")


def estimate(loads: Sequence[Load], columns: Sequence[Forwarder], settings: Settings) -> float:
    """Return about how many seconds it will take, on a machine where all was compiled before."""
    total = sum(column.seconds + STAND_SECONDS + END_SECONDS for column in columns)
    for load in loads:
        able = sum(column.packets or not load.packets for column in columns)
        total += able * settings.rounds * (settings.seconds + load.overhead)
    return total


def usable_columns(columns: Sequence[Forwarder], session: Session) -> list[Forwarder]:
    """Return the columns that this machine has; why not is noted of the others."""
    able = []
    for column in columns:
        why_not = column.why_not()
        if why_not:
            session.left_out[column.name] = why_not
            session.say(f"without {column.name}: {why_not}")
        else:
            able.append(column)
    return able


def usable_loads(loads: Sequence[Load], session: Session) -> list[Load]:
    """Return the loads that this machine has the loaders for."""
    able = []
    for load in loads:
        why_not = "; ".join(filter(None, map(unless, load.needs)))
        if why_not:
            session.left_out[load.name] = why_not
            session.say(f"without {load.name}: {why_not}")
        else:
            able.append(load)
    return able


def measure_all(
    stack: ExitStack,
    columns: Sequence[Forwarder],
    loads: Sequence[Load],
    session: Session,
    build: Build,
) -> None:
    """Bring all stands up and take every load of each, in rounds; figures go to the session."""
    stands = list(ready_stands(stack, columns, session, build))
    at_rest = memory_of(AT_REST, stands, session)
    for load in loads:
        measure_load(load, stands, session)
    if stands:
        for each in (at_rest, memory_of(AFTER, stands, session)):
            if each.figures:
                session.measures.append(each)


def ready_stands(
    stack: ExitStack, columns: Sequence[Forwarder], session: Session, build: Build
) -> Iterator[Stand]:
    """Give a stand for each column; one that cannot be had is left out, and the others run."""
    for column in columns:
        session.say(f"{column.name}: {column.about}")
        try:
            ready = stack.enter_context(build(column, session.say))
        except (MeasureError, NatlbError) as error:
            session.left_out[column.name] = first_line(error)
            session.say(f"without {column.name}: {first_line(error)}")
        else:
            session.columns.append(Column(name=column.name, about=column.about))
            yield ready


def first_line(error: Exception) -> str:
    """Return what is wrong, without what follows it."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def measure_load(load: Load, stands: Sequence[Stand], session: Session) -> None:
    """Take a load of every stand in turn; what was taken so far stays, whatever comes."""
    able = [each for each in stands if each.forwarder.packets or not load.packets]
    taken: dict[str, list[tuple[float | None, ...]]] = {each.name: [] for each in able}
    try:
        for number in range(session.settings.rounds):
            session.say(f"{load.about}: round {number + 1} of {session.settings.rounds}")
            for each in list(able):
                try:
                    taken[each.name].append(load.take(each, session.settings.seconds))
                except (MeasureError, NatlbError) as error:
                    session.left_out[f"{load.name}, {each.name}"] = first_line(error)
                    session.say(f"  {each.name}: {first_line(error)}")
                    able.remove(each)  # what it has was taken in the same rounds as the others'
    finally:
        session.measures.extend(lines_of(load, taken))


def lines_of(load: Load, taken: dict[str, list[tuple[float | None, ...]]]) -> Iterator[Measure]:
    """Give each line of a load with its figures by column."""
    for at, line in enumerate(load.lines):
        figures = {
            name: tuple(each[at] for each in rounds) for name, rounds in taken.items() if rounds
        }
        if figures:
            yield Measure(line=line, figures=figures)


def memory_of(line: Line, stands: Sequence[Stand], session: Session) -> Measure:
    """Return what each forwarder's processes hold now."""
    figures: dict[str, tuple[float | None, ...]] = {}
    for each in stands:
        try:
            held = memory.held_by(each)
        except MeasureError as error:
            session.left_out[f"{line.key}, {each.name}"] = str(error)
        else:
            if held is not None:
                figures[each.name] = (held,)
    return Measure(line=line, figures=figures)
