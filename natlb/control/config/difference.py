"""What one configuration has and another has not: the answer of a reload, by names.

A service is named `web`, a backend `web/NAME`. A backend whose name stays and whose address does
not is changed; a service is changed by anything but its backends. A check is the backend's where it
is not its service's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from natlb.errors import ConfigError

if TYPE_CHECKING:
    from natlb.control.config.values import Config

Named = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What to do to get from one configuration to another, in the order of the files.

    `restart` lists the keys whose change a running natlb cannot follow: `datapath`, whose
    devices and tables its processes were made with; `api`, whose socket commands hold; `state`.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    log_changed: bool = False

    @property
    def datapath_changed(self) -> bool:
        """Whether `datapath` is not the same."""
        return "datapath" in self.restart

    def __bool__(self) -> bool:
        """Return whether there is any difference."""
        return self != Difference()


def difference(old: Config, new: Config) -> Difference:
    """Return what differs between two configurations."""
    before, after = _named(old), _named(new)
    return Difference(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(name for name in after if name in before and after[name] != before[name]),
        restart=tuple(
            key for key in ("datapath", "api", "state") if getattr(old, key) != getattr(new, key)
        ),
        log_changed=old.log != new.log,
    )


def refuse_restart(found: Difference) -> None:
    """Raise if a difference asks for a restart: a reload must not do it by half."""
    if found.restart:
        keys = " and ".join(f"'{key}'" for key in found.restart)
        raise ConfigError(
            f"a change of {keys} needs a restart; nothing was changed",
            fix="stop natlb and run it with the new configuration",
        )


def _named(config: Config) -> Named:
    """Return services and backends by name, each without what has a name of its own.

    What holds for every service (`access`, the time for fragments, `seed`) is a part of each.
    """
    named: dict[str, object] = {}
    everywhere = config.access, config.timeouts.fragment, config.seed
    for service in config.services.values():
        named[service.name] = replace(service, backends=()), everywhere
        for backend in service.backends:
            check = None if backend.check == service.check else (backend.check,)
            named[f"{service.name}/{backend.name}"] = (
                replace(backend, written="", check=None),
                check,
            )
    return named
