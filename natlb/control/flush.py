"""Commands to a worker by the ring that both map: given here, done there between batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.compile.tables import PROTOCOLS
from natlb.control.compile.views import STATES, backend_numbers, client_prefix
from natlb.core.commands import GIVEN, TAKEN, Commands
from natlb.core.layout import ANY, FLUSH, RING
from natlb.errors import BusyError, UnknownNameError
from natlb.model import Flush

if TYPE_CHECKING:
    from natlb.control.compile import Indices
    from natlb.model import FlowFilter

Command = dict[str, int]


def flush_commands(wanted: FlowFilter, indices: Indices, *, reset: bool) -> list[Command]:
    """Return the commands that end the flows a filter names: one for each backend it means.

    Raises UnknownNameError for a service or backend that has no number, and so no flow.
    """
    command: Command = {
        "kind": FLUSH,
        "reset": int(reset),
        "service": ANY if wanted.service is None else _service(wanted.service, indices),
        "backend": ANY,
        "state": ANY if wanted.state is None else STATES[wanted.state],
        "protocol": ANY if wanted.protocol is None else PROTOCOLS[wanted.protocol],
        **_client(wanted.client),
    }
    if wanted.backend is None:
        return [command]
    numbers = backend_numbers(indices, wanted)
    if not numbers:
        known = ", ".join(sorted({name for _, name in indices.backends}))
        raise UnknownNameError(f"no backend '{wanted.backend}'; there are {known}")
    return [command | {"backend": number} for number in numbers]


def _service(name: str, indices: Indices) -> int:
    if name not in indices.services:
        raise UnknownNameError(f"no service '{name}'; there are {', '.join(indices.services)}")
    return indices.services[name]


def _client(client: str | None) -> Command:
    if client is None:
        return {"prefix": 0}
    lanes, prefix = client_prefix(client)
    return {"prefix": prefix} | {f"client{number}": lane for number, lane in enumerate(lanes)}


def give(ring: Commands, command: Command) -> int:
    """Put a command into the ring and return its number; BusyError where the ring is full.

    The fields are stored before the count that shows them to the worker, which looks when woken.
    """
    number = int(ring.counts[GIVEN])
    if number - int(ring.counts[TAKEN]) >= RING:
        raise BusyError(f"{RING} commands are under way", fix="try again")
    record = ring.ring[number % RING]
    for field in record.dtype.names or ():
        record[field] = command.get(field, 0)
    ring.counts[GIVEN] = number + 1
    return number


def outcome(ring: Commands, number: int) -> Flush | None:
    """Return what a command did, None while it is under way.

    To be asked before `RING` more are given.
    """
    if int(ring.counts[TAKEN]) <= number:
        return None
    record = ring.ring[number % RING]
    return Flush(flushed=int(record["flushed"]), resets=int(record["resets"]))
