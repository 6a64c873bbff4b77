"""The commands: arguments, tables, exit codes. What they do is done elsewhere.

    entry     the way in and every way out: exceptions to words and exit codes
    root      the table of commands, each loaded when it is called
    options   what many commands take: --socket, --json, --watch, filters, SERVICE/BACKEND
    output    data to standard output: once, or again and again
    tables    values of the model as lines for people; `simulated` those of a simulation
    see change host lab simulate later    the commands

Loading this package loads click and little else; heavy parts are imported inside commands.
"""

from __future__ import annotations

from natlb.cli.entry import main

__all__ = ["main"]
