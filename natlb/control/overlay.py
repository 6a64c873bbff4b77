"""Backends that were added and removed at run time: what lies over the file's configuration.

    added      to services that the file has, after its own backends, in the order they came
    removed    of the file's backends, by name

Laws
    What lies over a file is checked as if the file said it, and by the same code.
    What the file has come to say itself lies over it no more: `still_over` leaves it out.
    A name is never both: whoever is added under the name of one that was removed is that one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from natlb.control.config import config_from_mapping, file_name, parse_config, syntax_of
from natlb.control.config.load import plain_config
from natlb.control.registry import BackendAdded, BackendRemoved
from natlb.errors import ConfigError

if TYPE_CHECKING:
    from natlb.control.config.load import Syntax
    from natlb.control.config.values import BackendConfig, Config


@dataclass(frozen=True, slots=True)
class Overlay:
    """What differs from the file in who is in a pool."""

    added: tuple[BackendAdded, ...] = ()
    removed: tuple[BackendRemoved, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything differs."""
        return self != NO_OVERLAY

    def services(self) -> list[str]:
        """Return the services that it is about."""
        of_added = [each.service for each in self.added]
        return list(dict.fromkeys(of_added + [each.service for each in self.removed]))

    def with_added(self, new: BackendAdded, file: Config) -> Overlay:
        """Return this with one more backend, or with one of the file's less that is not there.

        Raises ConfigError for another address under the name of one of the file's.
        """
        back = BackendRemoved(service=new.service, name=new.name)
        if back not in self.removed:
            return replace(self, added=(*self.added, new))
        known = backend_of(file, new.service, new.name)
        assert known is not None, "what is removed is the file's"
        if known.written != new.address:
            raise ConfigError(
                f"{new.service}/{new.name} is {known.written} in the file, not {new.address}",
                fix=f"natlb add {new.service} {known.written} --name {new.name}, or another name",
            )
        return replace(self, removed=tuple(each for each in self.removed if each != back))

    def with_removed(self, service: str, name: str) -> Overlay:
        """Return this without one of its own backends, or with one of the file's less."""
        key = (service, name)
        others = tuple(each for each in self.added if (each.service, each.name) != key)
        if others != self.added:
            return replace(self, added=others)
        return replace(self, removed=(*self.removed, BackendRemoved(service=service, name=name)))

    def still_over(self, file: Config) -> Overlay:
        """Return what of this still differs from a file, which may be another one by now."""
        return Overlay(
            added=tuple(
                each
                for each in self.added
                if each.service in file.services
                and backend_of(file, each.service, each.name) is None
            ),
            removed=tuple(
                each
                for each in self.removed
                if backend_of(file, each.service, each.name) is not None
            ),
        )


NO_OVERLAY = Overlay()


def backend_of(config: Config, service: str, name: str) -> BackendConfig | None:
    """Return a backend by name, None where there is none."""
    if service not in config.services:
        return None
    pool = config.services[service].backends
    return next((each for each in pool if each.name == name), None)


def parse_file(text: str, path: str) -> Config:
    """Return what a configuration's text means. Raises InvalidConfigError."""
    return parse_config(text, file_name(Path(path)), syntax_of(Path(path)))


def laid_over(file: Config, text: str, path: str, overlay: Overlay) -> Config:
    """Return the configuration that a file means with what lies over it.

    `file` is what `text` means. Raises InvalidConfigError where the two contradict each other.
    """
    if not overlay:
        return file
    plain = _plain(text, file_name(Path(path)), syntax_of(Path(path)))
    services = {**plain["services"]}
    for name in overlay.services():
        services[name] = {**services[name], "backends": _pool(services[name], file, name, overlay)}
    return config_from_mapping({**plain, "services": services})


@lru_cache(maxsize=1)
def _plain(text: str, name: str, syntax: Syntax) -> dict[str, Any]:
    """Return a valid text as plain data; it is asked for at each change."""
    return cast("dict[str, Any]", plain_config(text, name, syntax))


def _pool(service: Any, file: Config, name: str, overlay: Overlay) -> list[object]:
    """Return the backends of a service as a file would say them."""
    gone = {each.name for each in overlay.removed if each.service == name}
    own = zip(service["backends"], file.services[name].backends, strict=True)
    kept = [written for written, each in own if each.name not in gone]
    return kept + [written_of(each) for each in overlay.added if each.service == name]


def written_of(added: BackendAdded) -> dict[str, object]:
    """Return a backend as a file would say it; one that is called by its address has no name."""
    named = {} if added.name == added.address else {"name": added.name}
    weighed = {} if added.weight == 1 else {"weight": added.weight}
    return {**named, "address": added.address, **weighed}
