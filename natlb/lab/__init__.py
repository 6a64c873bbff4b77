"""Labs: namespaces with a client, natlb and backends in them, and a demo that sends traffic.

    lab = up(name="lab", topology="basic")
    run_in(name="lab", host="client", command=["curl", "http://203.0.113.10/"])
    down(name="lab")

Each function works as root, and as an ordinary user in a user namespace where the host allows it.
`say` hears, line by line, what is being done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from natlb.lab.record import Lab, LabStatus

__all__ = ["demo", "down", "ls", "run_in", "topologies", "up"]

DEFAULT = "lab"


def _silent(_: str) -> None:
    """Say nothing."""


def up(
    *,
    name: str = DEFAULT,
    topology: str = "basic",
    balancer: bool = True,
    driver: str = "auto",
    say: Callable[[str], None] = _silent,
) -> Lab:
    """Return the lab of that name, up; made, mended or left alone, whatever it needs.

    `topology` names one that comes with natlb, or a file. `balancer=False` makes the lab without
    natlb running in it. `driver` is what natlb receives by: `auto`, `tun` or `packet`. The lab's
    `socket` is that of its natlb. A failure leaves nothing.
    """
    from natlb.lab import lifecycle, rights  # noqa: PLC0415 - a backend needs none of it

    if balancer and driver == "tun":
        rights.check_tun()
    rights.enter(make=True)
    try:
        return lifecycle.up_lab(name, topology, say, balancer=balancer, driver=driver)
    finally:
        rights.settle()


def down(
    *, name: str | None = None, all_: bool = False, say: Callable[[str], None] = _silent
) -> list[str]:
    """Remove the lab of that name, or all, and return the names of the namespaces removed.

    Nothing of it stays: no process, no namespace, no file. UnknownNameError if there is no such
    lab; `all_` is content with none.
    """
    from natlb.lab import lifecycle, record, rights  # noqa: PLC0415

    if not rights.enter(make=False):
        if not all_:
            _refuse(name or DEFAULT)
        say("there is no lab")
        return []
    try:
        wanted = record.names() if all_ else [name or DEFAULT]
        if not wanted:
            say("there is no lab")
        return [netns for each in wanted for netns in lifecycle.down_lab(each, say)]
    finally:
        rights.settle()


def ls() -> list[LabStatus]:
    """Return all labs, sorted by name."""
    from natlb.lab import lifecycle, rights  # noqa: PLC0415

    return lifecycle.list_labs() if rights.enter(make=False) else []


def run_in(*, name: str = DEFAULT, host: str, command: Sequence[str]) -> int:
    """Run a command in a host of a lab, on our terminal, and return its exit status."""
    from natlb.lab import lifecycle, rights  # noqa: PLC0415

    if not rights.enter(make=False):
        _refuse(name)
    return lifecycle.run_in_lab(name, host, command)


def _refuse(name: str) -> NoReturn:
    """Raise what a user without labs is told of a lab: there is none, or it is root's."""
    from natlb.errors import DeniedError  # noqa: PLC0415
    from natlb.lab import record  # noqa: PLC0415

    lab = record.find(name)
    raise DeniedError(f"lab {lab.name!r} is root's", fix="sudo natlb lab …")


def topologies() -> list[str]:
    """Return the names of the topologies that come with natlb."""
    from natlb.lab import topology  # noqa: PLC0415

    return topology.topologies()


def demo(
    *,
    topology: str = "basic",
    count: int = 1000,
    driver: str = "auto",
    json_: bool = False,
    console: Console | None = None,
) -> int:
    """Bring a lab up, send traffic through natlb, show who got what, and remove the lab.

    `count` is the number of requests of each kind to each service; `driver` is as for `up`.
    `console` is where it is shown, standard output by default: colour and a live table on a
    terminal, lines elsewhere. `json_`
    writes one JSON document instead. Returns the exit status: 0, 1 if the client saw an error, 130
    if interrupted. The lab is removed in any case.
    """
    from natlb.lab import demonstration  # noqa: PLC0415

    return demonstration.run(
        topology=topology, count=count, driver=driver, json_=json_, console=console
    )
