"""The paths that change something, each all or nothing.

`If-Match` has a change made only from the state that the caller saw; `dry_run=true` has it judged
and answered as if it had been made, and makes nothing.
"""

# No `from __future__ import annotations`: FastAPI reads the annotations below.

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from natlb import model
from natlb.api.answers import document
from natlb.api.asked import Meant, Running, given, meant_for, refuse_unknown_parameters
from natlb.api.bodies import BackendAddition, BackendChange, FlushRequest, ReloadRequest
from natlb.api.described import CHANGE, NAMED, TRIED
from natlb.control.instance import flow_filter
from natlb.errors import ConfigError, UsageError

BACKEND = "/services/{service}/backends/{backend}"
DryRun = Annotated[bool, Query(description="Judge and answer it, and change nothing.")]
router = APIRouter(
    prefix="/v1",
    dependencies=[Depends(refuse_unknown_parameters), Depends(meant_for)],
    responses=CHANGE,
    tags=["change"],
)


@router.post("/reload", response_model=model.Reload)
async def reload(
    instance: Running, wanted: ReloadRequest | None = None, *, meant: Meant, dry_run: DryRun = False
) -> Response:
    """Put a configuration in force, all or nothing."""
    config = wanted.config if wanted else None
    if config is not None and (not config.startswith("/") or not config.isprintable()):
        raise ConfigError(f"{config!r} is not the absolute path of a file")
    return document(await instance.reload(config, dry_run=dry_run, revisions=meant))


@router.post("/config/save", response_model=model.Saved)
async def save_config(instance: Running, *, meant: Meant, dry_run: DryRun = False) -> Response:
    """Write what was changed at run time into the configuration file, keeping its comments."""
    return document(await instance.save_config(dry_run=dry_run, revisions=meant))


@router.post("/flush", response_model=model.Flush, responses=NAMED)
async def flush(
    instance: Running, wanted: FlushRequest, *, meant: Meant, dry_run: DryRun = False
) -> Response:
    """Drop flows; `{}` drops all."""
    words = given(wanted.model_dump(exclude={"reset"}))
    done = await instance.flush(
        flow_filter(words), reset=wanted.reset, dry_run=dry_run, revisions=meant
    )
    return document(done)


@router.patch(BACKEND, response_model=model.Backend, responses=NAMED)
async def set_backend(
    instance: Running,
    service: str,
    backend: str,
    change: BackendChange,
    *,
    meant: Meant,
    dry_run: DryRun = False,
) -> Response:
    """Change a backend's state or weight."""
    if change.state is None and change.weight is None:
        raise UsageError("nothing to change: neither 'state' nor 'weight' is given")
    value = await instance.set_backend(
        service, backend, state=change.state, weight=change.weight, dry_run=dry_run, revisions=meant
    )
    return document(value)


@router.post(
    "/services/{service}/backends",
    response_model=model.Backend,
    status_code=201,
    responses=NAMED | TRIED,
)
async def add_backend(
    instance: Running,
    service: str,
    wanted: BackendAddition,
    *,
    meant: Meant,
    dry_run: DryRun = False,
) -> Response:
    """Add a backend to a service, until it is removed or natlb stops; or saved into the file."""
    value = await instance.add_backend(
        service,
        wanted.address,
        name=wanted.name,
        weight=wanted.weight,
        dry_run=dry_run,
        revisions=meant,
    )
    return document(value, 200 if dry_run else 201)


@router.delete(BACKEND, response_model=model.Backend, responses=NAMED)
async def remove_backend(
    instance: Running, service: str, backend: str, *, meant: Meant, dry_run: DryRun = False
) -> Response:
    """Remove a backend, and answer what it was; its flows end as `on_remove` says."""
    return document(
        await instance.remove_backend(service, backend, dry_run=dry_run, revisions=meant)
    )


@router.post(f"{BACKEND}/check", response_model=model.CheckReport, responses=NAMED)
async def check(instance: Running, service: str, backend: str) -> Response:
    """Check a backend now, and tell each step; its health is not judged by it."""
    return document(await instance.check(service, backend))
