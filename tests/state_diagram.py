"""The states of a TCP flow as a diagram, drawn from the table: `python -m tests.state_diagram`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from natlb.core import layout
from natlb.core.tcp_transitions import ARROWS, CLIENT, EVENTS, IS_DATAGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = {
    getattr(layout, name): name
    for name in ("OPENING", "ANSWERED", "ESTABLISHED", "HALF_ORIGINAL", "HALF_REPLY", "CLOSING")
}


def draw() -> str:
    """Return the diagram in Mermaid's words: an arrow for each pair of states that has events."""
    lines = ["stateDiagram-v2", f"    [*] --> {NAMES[layout.OPENING]}: client SYN"]
    lines += [f"    {start} --> {behind}: {events}" for start, behind, events in _bundles()]
    lines.append(f"    {NAMES[layout.CLOSING]} --> [*]: client SYN, which begins a new flow")
    return "\n".join(lines) + "\n"


def _bundles() -> Iterator[tuple[str, str, str]]:
    """Yield the arrows, those between the same two states as one."""
    bundles: dict[tuple[int, int], dict[int, set[int]]] = {}
    for start, direction, event, behind in ARROWS:
        if event != IS_DATAGRAM:
            senders = bundles.setdefault((start, behind), {}).setdefault(event, set())
            senders.add(direction)
    for (start, behind), events in bundles.items():
        words = (f"{_sender(senders)} {EVENTS[event]}" for event, senders in events.items())
        yield NAMES[start], NAMES[behind], ", ".join(words)


def _sender(directions: set[int]) -> str:
    """Return who sends an event."""
    if len(directions) == 2:
        return "either"
    return "client" if CLIENT in directions else "backend"


if __name__ == "__main__":
    sys.stdout.write(draw())
