"""The application: the paths of `reads` and `changes`, errors in one form, the description.

GET reads, POST, PATCH and DELETE change. What is not understood is refused by name: a parameter, a
key of a body, a value. `/openapi.json` describes all of it; there is no page that shows it, as such
pages load scripts from elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from natlb import __version__, model
from natlb.api import changes, reads
from natlb.api.answers import refusal
from natlb.api.asked import refuse_unknown_parameters
from natlb.api.bodies import ErrorAnswer
from natlb.api.described import READ, complete
from natlb.api.gate import Gate
from natlb.api.limits import Limits
from natlb.api.metrics import router as metrics_router
from natlb.errors import NatlbError, UsageError

if TYPE_CHECKING:
    import asyncio

    from fastapi.telemetry import TelemetryConfig

    from natlb.control.doors import Doors
    from natlb.control.instance import Instance

METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}


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
    headers = {"allow": ", ".join(_methods(request))} if error.status_code == 405 else {}
    return refusal(UsageError(message, fix=fix), error.status_code, headers)


def _methods(request: Request) -> list[str]:
    """Return the methods that the path of a request has."""
    routers = (changes.router, reads.router, metrics_router, request.app)
    found = {
        method
        for router in routers
        for route in router.routes
        if isinstance(route, Route) and route.matches(dict(request.scope))[0] is not Match.NONE
        for method in route.methods or ()
    }
    return [each for each in METHODS if each in found or (each == "HEAD" and "GET" in found)]


def create_app(instance: Instance, doors: Doors, leaving: asyncio.Event) -> FastAPI:
    """Return the application that speaks for `instance`; streams end when it is leaving."""
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
    app.state.leaving = leaving
    app.include_router(reads.router)
    app.include_router(changes.router)
    app.include_router(
        metrics_router, dependencies=[Depends(refuse_unknown_parameters)], responses=READ
    )
    app.add_middleware(Limits, gate=Gate(doors))
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign] # FastAPI's own way
    return app


def _schemas(*kinds: type) -> dict[str, Any]:
    """Return the schemas of values that no path has for its answer 200, by name."""
    mode: Literal["serialization"] = "serialization"
    inputs: list[tuple[Any, Literal["serialization"], TypeAdapter[Any]]] = [
        (kind, mode, TypeAdapter(kind)) for kind in kinds
    ]
    _, found = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = found["$defs"]
    return schemas


def _describe(app: FastAPI) -> dict[str, Any]:
    """Return what `/openapi.json` says."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, summary="A load balancer", routes=app.routes
        )
        app.openapi_schema = complete(document, _schemas(model.Event, ErrorAnswer))
    return app.openapi_schema
