"""Between names and numbers: `tables` makes what workers read, `views` says what they counted."""

from __future__ import annotations

from natlb.control.compile.arrivals import note_arrivals
from natlb.control.compile.choices import Choices
from natlb.control.compile.endpoints import Retired, addresses_of
from natlb.control.compile.indices import Indices, start_counts
from natlb.control.compile.run_time import AS_CONFIGURED, RunTime
from natlb.control.compile.sides import Sides, WayOut
from natlb.control.compile.tables import compile_tables
from natlb.control.compile.views import Snapshot

__all__ = [
    "AS_CONFIGURED",
    "Choices",
    "Indices",
    "Retired",
    "RunTime",
    "Sides",
    "Snapshot",
    "WayOut",
    "addresses_of",
    "compile_tables",
    "note_arrivals",
    "start_counts",
]
