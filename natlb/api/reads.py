"""The paths that show something. GET changes nothing, whoever asks and whatever for."""

# No `from __future__ import annotations`: FastAPI reads the annotations below.

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response

from natlb import model
from natlb.api.answers import document, listing
from natlb.api.asked import Running, given, refuse_unknown_parameters, tagged
from natlb.api.described import LISTED, NAMED, READ, STREAM, TAGGED
from natlb.api.limits import IS_HEAD
from natlb.api.stream import as_list, first_number, stream
from natlb.control.instance import FILTER_WORDS, flow_filter
from natlb.errors import UnknownNameError

Named = TypeVar("Named", model.Service, model.Backend)
Text = str | None
router = APIRouter(prefix="/v1", dependencies=[Depends(refuse_unknown_parameters)], tags=["read"])


@router.get("/status", response_model=model.Status, responses=TAGGED)
async def status(request: Request, instance: Running) -> Response:
    """Say whether packets are forwarded, and by what."""
    revision = instance.revision
    return tagged(request, revision, await instance.status())


@router.get("/services", response_model=list[model.Service], responses=TAGGED)
async def services(request: Request, instance: Running) -> Response:
    """List the services."""
    revision = instance.revision
    return tagged(request, revision, await instance.services())


@router.get("/services/{service}", response_model=model.Service, responses=TAGGED | NAMED)
async def service(request: Request, instance: Running, service: str) -> Response:
    """Return one service."""
    revision = instance.revision
    found = await instance.services()
    return tagged(request, revision, _named(found, "service", service))


@router.get("/backends", response_model=list[model.Backend], responses=TAGGED)
async def backends(request: Request, instance: Running) -> Response:
    """List the backends of all services."""
    revision = instance.revision
    return tagged(request, revision, await instance.backends(None))


@router.get(
    "/services/{service}/backends", response_model=list[model.Backend], responses=TAGGED | NAMED
)
async def backends_of(request: Request, instance: Running, service: str) -> Response:
    """List the backends of one service."""
    revision = instance.revision
    return tagged(request, revision, await instance.backends(service))


@router.get(
    "/services/{service}/backends/{backend}",
    response_model=model.Backend,
    responses=TAGGED | NAMED,
)
async def backend(request: Request, instance: Running, service: str, backend: str) -> Response:
    """Return one backend."""
    revision = instance.revision
    found = await instance.backends(service)
    return tagged(request, revision, _named(found, "backend", backend))


@router.get(
    "/services/{service}/backends/{backend}/checks",
    response_model=model.CheckHistory,
    responses=READ | NAMED,
)
async def checks(instance: Running, service: str, backend: str) -> Response:
    """Return a backend's health and the last results of its checks."""
    return document(await instance.checks(service, backend))


@router.get("/flows", response_model=list[model.Flow], responses=READ | NAMED | LISTED)
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
    wanted = flow_filter(given(dict(zip(FILTER_WORDS, values, strict=True))))
    return listing(await instance.flows(wanted, limit))


@router.get("/stats", response_model=model.Statistics, responses=READ)
async def stats(instance: Running) -> Response:
    """Return all counters."""
    return document(await instance.stats())


@router.get("/events", responses=READ | STREAM)
async def events(
    request: Request,
    instance: Running,
    *,
    since: Annotated[int | None, Query(ge=0)] = None,
    follow: bool = True,
) -> Response:
    """Stream what natlb changes and notices, from the oldest event kept or after `since`.

    Server-sent events, each with its number as `id`; `Last-Event-ID` goes before `since`. With
    `follow=false`, or where only JSON is accepted, a list of what is kept.
    """
    number = first_number(request.headers.get("last-event-id"), since)
    wants_a_list = request.headers.get("accept") == "application/json"
    if not follow or wants_a_list or IS_HEAD in request.scope:
        return listing(as_list(instance.events, number))
    return stream(instance.events, number, request.app.state.leaving)


def _named(found: list[Named], kind: str, name: str) -> Named:
    for each in found:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in found)
    raise UnknownNameError(f"no {kind} {name!r}; there are {names}")
