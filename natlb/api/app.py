"""The paths of the API: each is a method of the instance.

GET reads, POST and PATCH change. What is not understood is refused by name: a parameter, a key
of a body, a value. `/openapi.json` describes all of it; there is no page that shows it, as such
pages load scripts from elsewhere.
"""

# No `from __future__ import annotations`: FastAPI reads the annotations below.

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from starlette.exceptions import HTTPException

from natlb import __version__, model
from natlb.api.answers import document, listing, refusal
from natlb.api.limits import Limits
from natlb.api.metrics import router as metrics_router
from natlb.control.instance import FILTER_WORDS, Instance, flow_filter
from natlb.errors import ConfigError, NatlbError, UsageError

PARAMETERS = {"/v1/flows": (*FILTER_WORDS, "limit")}
MAX_WEIGHT = 65535
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}


class BackendChange(BaseModel):
    """What a backend shall be from now on; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["ready", "draining", "maint"] | None = None
    weight: Annotated[StrictInt, Field(ge=0, le=MAX_WEIGHT)] | None = None


class BackendAddition(BaseModel):
    """A backend that a service shall have; its address is its name unless it has one."""

    model_config = ConfigDict(extra="forbid")

    address: StrictStr
    name: StrictStr | None = None
    weight: Annotated[StrictInt, Field(ge=0, le=MAX_WEIGHT)] | None = None


class ReloadRequest(BaseModel):
    """Which file to read: an absolute path, or none for the one in force."""

    model_config = ConfigDict(extra="forbid")

    config: StrictStr | None = None


class FlushRequest(BaseModel):
    """Which flows to drop, and whether TCP is told."""

    model_config = ConfigDict(extra="forbid")

    service: StrictStr | None = None
    backend: StrictStr | None = None
    client: StrictStr | None = None
    state: StrictStr | None = None
    protocol: StrictStr | None = None
    reset: StrictBool = False


class ErrorMembers(BaseModel):
    """What was wrong: a word for programs, words for people, and the command that mends it."""

    code: str
    message: str
    fix: str | None


class ErrorAnswer(BaseModel):
    """Every error, whoever found it."""

    error: ErrorMembers


def _instance(request: Request) -> Instance:
    instance: Instance = request.app.state.instance
    return instance


def _refuse_unknown_parameters(request: Request) -> None:
    """Refuse what would be ignored otherwise: a misspelt filter must not match everything."""
    known = ("dry_run",) if request.method != "GET" else PARAMETERS.get(request.url.path, ())
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "there are none here"
            raise UsageError(f"unknown parameter '{name}'; {there}")
        if given.count(name) > 1:
            raise UsageError(f"parameter '{name}' is given {given.count(name)} times")


Running = Annotated[Instance, Depends(_instance)]
DryRun = Annotated[bool, Query(description="say what would be, and change nothing")]
Text = str | None
router = APIRouter(
    prefix="/v1",
    dependencies=[Depends(_refuse_unknown_parameters)],
    responses={"default": {"model": ErrorAnswer, "description": "What was wrong."}},
)


@router.get("/status", response_model=model.Status)
async def status(instance: Running) -> Response:
    """Say whether packets are forwarded, and by what."""
    return document(await instance.status())


@router.get("/services", response_model=list[model.Service])
async def services(instance: Running) -> Response:
    """List the services."""
    return document(await instance.services())


@router.get("/backends", response_model=list[model.Backend])
async def backends(instance: Running) -> Response:
    """List the backends of all services."""
    return listing(await instance.backends(None))


@router.get("/services/{service}/backends", response_model=list[model.Backend])
async def backends_of(instance: Running, service: str) -> Response:
    """List the backends of one service."""
    return listing(await instance.backends(service))


@router.get("/flows", response_model=list[model.Flow])
async def flows(
    instance: Running,
    *,
    service: Text = None,
    backend: Text = None,
    client: Text = None,
    state: Text = None,
    protocol: Text = None,
    limit: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """List the flows that all given filters describe, at most `limit`."""
    values = (service, backend, client, state, protocol)
    wanted = flow_filter(_given(dict(zip(FILTER_WORDS, values, strict=True))))
    return listing(await instance.flows(wanted, limit))


@router.get("/stats", response_model=model.Statistics)
async def stats(instance: Running) -> Response:
    """Return all counters."""
    return document(await instance.stats())


@router.post("/reload", response_model=model.Reload)
async def reload(
    instance: Running, wanted: ReloadRequest | None = None, *, dry_run: DryRun = False
) -> Response:
    """Put a configuration in force, all or nothing."""
    config = wanted.config if wanted else None
    if config is not None and (not config.startswith("/") or not config.isprintable()):
        raise ConfigError(f"{config!r} is not the absolute path of a file")
    return document(await instance.reload(config, dry_run=dry_run))


@router.post("/flush", response_model=model.Flush)
async def flush(instance: Running, wanted: FlushRequest, *, dry_run: DryRun = False) -> Response:
    """Drop flows; `{}` drops all."""
    words = _given(wanted.model_dump(exclude={"reset"}))
    named = flow_filter(words)
    return document(await instance.flush(named, reset=wanted.reset, dry_run=dry_run))


@router.patch("/services/{service}/backends/{backend:path}", response_model=model.Backend)
async def set_backend(
    instance: Running, service: str, backend: str, change: BackendChange, *, dry_run: DryRun = False
) -> Response:
    """Change a backend's state or weight."""
    if change.state is None and change.weight is None:
        raise UsageError("nothing to change: neither 'state' nor 'weight' is given")
    value = await instance.set_backend(
        service, backend, state=change.state, weight=change.weight, dry_run=dry_run
    )
    return document(value)


@router.post("/services/{service}/backends", response_model=model.Backend, status_code=201)
async def add_backend(
    instance: Running, service: str, wanted: BackendAddition, *, dry_run: DryRun = False
) -> Response:
    """Add a backend to a service's pool."""
    value = await instance.add_backend(
        service, wanted.address, name=wanted.name, weight=wanted.weight, dry_run=dry_run
    )
    return document(value, 200 if dry_run else 201)


@router.delete("/services/{service}/backends/{backend:path}", response_model=model.Backend)
async def remove_backend(
    instance: Running, service: str, backend: str, *, dry_run: DryRun = False
) -> Response:
    """Remove a backend from its pool; the answer is what it was."""
    return document(await instance.remove_backend(service, backend, dry_run=dry_run))


@router.post("/config/save", response_model=model.Saved)
async def save_config(instance: Running, *, dry_run: DryRun = False) -> Response:
    """Write what was changed at run time into the configuration file."""
    return document(await instance.save_config(dry_run=dry_run))


def _given(words: dict[str, str | None]) -> dict[str, str]:
    return {word: value for word, value in words.items() if value is not None}


async def _answer_error(_request: Request, error: Exception) -> Response:
    """Tell what natlb itself refused."""
    assert isinstance(error, NatlbError)
    return refusal(error)


async def _answer_invalid(_request: Request, error: Exception) -> Response:
    """Tell all that is wrong with a parameter or a body, each with its place."""
    assert isinstance(error, RequestValidationError)
    faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return refusal(UsageError("; ".join(faults)))


async def _answer_http(request: Request, error: Exception) -> Response:
    """Tell that there is no such path, or no such method on it."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    fix = "GET /openapi.json lists what there is"
    return refusal(UsageError(message, fix=fix), error.status_code)


def create_app(instance: Instance) -> FastAPI:
    """Return the application that speaks for `instance`."""
    app = FastAPI(
        title="natlb",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,  # natlb reports to nobody, whatever OTEL_ variables are about
        exception_handlers={
            NatlbError: _answer_error,
            RequestValidationError: _answer_invalid,
            HTTPException: _answer_http,
        },
    )
    app.state.instance = instance
    app.include_router(router)
    app.include_router(metrics_router, dependencies=[Depends(_refuse_unknown_parameters)])
    app.add_middleware(Limits)
    return app
