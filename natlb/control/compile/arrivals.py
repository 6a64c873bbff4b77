"""When a backend came into the pool of a running service: slow start counts from there.

    it was added, or has another address now        it has arrived
    it was not up (see `pools`), and is             it has arrived, unless panic had it serve
    it is up, and was                               it goes on as it was, whatever else changed
    it is not up                                    it is as if it had never come
    its service is new, or natlb starts             nobody has arrived: all begin at once
    a backup serves, or serves no more              it was up before, and is: no arrival
    panic begins or ends                            no arrival: all that can help is needed

Nothing is noted where a service has no slow start, nor when it is over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from natlb.control.compile.pools import is_up, service_pool, slow_start_ms
from natlb.control.compile.run_time import AS_CONFIGURED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from natlb.control.compile.run_time import RunTime
    from natlb.control.config.values import BackendConfig, Config, ServiceConfig

    RunTimes = Mapping[tuple[str, str], RunTime]


def note_arrivals(
    old: Config, old_run_time: RunTimes, new: Config, new_run_time: RunTimes, now_ms: int
) -> dict[tuple[str, str], RunTime]:
    """Return what is true at run time once `new` is in force instead of `old`.

    That is `new_run_time` with `began_ms` as it is to be, and without what says nothing: names
    that are gone, and weights that are the file's own.
    """
    noted = {}
    for service in new.services.values():
        began = _began(service, old.services.get(service.name), old_run_time, new_run_time, now_ms)
        for backend in service.backends:
            key = service.name, backend.name
            if key in new_run_time or key in began:
                now = _settled(new_run_time.get(key, AS_CONFIGURED), backend, began.get(key))
                if now != AS_CONFIGURED:
                    noted[key] = now
    return noted


def _settled(now: RunTime, backend: BackendConfig, began_ms: int | None) -> RunTime:
    weight = None if now.weight == backend.weight else now.weight
    return replace(now, weight=weight, began_ms=began_ms)


def _began(
    service: ServiceConfig,
    before: ServiceConfig | None,
    old_run_time: RunTimes,
    new_run_time: RunTimes,
    now_ms: int,
) -> dict[tuple[str, str], int]:
    """Return when those backends of a service came whose slow start is not over."""
    if service.slow_start is None or before is None:
        return {}
    there = _there(before, old_run_time)
    began = {}
    for backend in service.backends:
        key = service.name, backend.name
        if not is_up(backend, new_run_time.get(key, AS_CONFIGURED)):
            continue
        came: int | None = now_ms
        if there.get(backend.name) == (backend.address, backend.port):
            came = old_run_time.get(key, AS_CONFIGURED).began_ms
        if came is not None and now_ms - came < slow_start_ms(service.slow_start):
            began[key] = came
    return began


def _there(before: ServiceConfig, run_time: RunTimes) -> dict[str, tuple[object, object]]:
    """Return where those backends are reached that were up, or served in panic."""
    members = {backend.name for backend in service_pool(before, run_time).members}
    return {
        backend.name: (backend.address, backend.port)
        for backend in before.backends
        if backend.name in members
        or is_up(backend, run_time.get((before.name, backend.name), AS_CONFIGURED))
    }
