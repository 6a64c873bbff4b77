"""What every path asks of a request: the instance, known parameters, a state to start from.

An entity tag is the instance's revision, `"r12"`: it changes with what can be changed, not with
counters, so that `If-None-Match` asks whether anybody changed something, and `If-Match` has a
change made only if nobody did.
"""

# No `from __future__ import annotations`: FastAPI reads the annotations below.

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from natlb.api.answers import document, listing
from natlb.control.instance import Instance
from natlb.errors import ChangedError, UsageError

ANY = "*"


def _instance(request: Request) -> Instance:
    instance: Instance = request.app.state.instance
    return instance


Running = Annotated[Instance, Depends(_instance)]


def refuse_unknown_parameters(request: Request) -> None:
    """Refuse what would be ignored otherwise: a misspelt filter must not match everything."""
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = [field.alias for field in route.dependant.query_params]
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "there are none here"
            raise UsageError(f"unknown parameter {name!r}; {there}")
        if given.count(name) > 1:
            raise UsageError(f"parameter '{name}' is given {given.count(name)} times")


def etag(revision: int) -> str:
    """Return the entity tag of a revision."""
    return f'"r{revision}"'


def tagged(request: Request, revision: int, value: object) -> Response:
    """Return a value with the revision it was read at, or only that it is still the one known."""
    headers = {"etag": etag(revision)}
    if _names(request, "if-none-match", revision, weakly=True):
        return Response(status_code=304, headers=headers)
    if isinstance(value, list):
        return listing(value, headers)
    return document(value, headers=headers)


def meant_for(request: Request, instance: Running) -> frozenset[int] | None:
    """Return the revisions that a change is meant for, None for any.

    Refuses at once what is meant for another than this one; who makes the change asks again.
    """
    if "if-match" not in request.headers or _tags(request, "if-match") == [ANY]:
        return None
    revision = instance.revision
    if not _names(request, "if-match", revision):
        message = "somebody changed something meanwhile"
        raise ChangedError(message, fix=f"look again, then If-Match: {etag(revision)}")
    return frozenset({revision})


Meant = Annotated[frozenset[int] | None, Depends(meant_for)]


def _names(request: Request, header: str, revision: int, *, weakly: bool = False) -> bool:
    """Return whether a header of entity tags names this revision, or any."""
    tags = _tags(request, header)
    if weakly:
        tags = [each.removeprefix("W/") for each in tags]
    return etag(revision) in tags or tags == [ANY]


def _tags(request: Request, header: str) -> list[str]:
    """Return the entity tags of a header."""
    return [each.strip() for each in ",".join(request.headers.getlist(header)).split(",")]


def given(words: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was said, without what was left out."""
    return {word: value for word, value in words.items() if value is not None}
