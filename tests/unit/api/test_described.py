"""The description against its own standard, and against the paths there are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi.routing import APIRoute
from openapi_spec_validator import OpenAPIV31SpecValidator

from natlb.api import changes, metrics, reads
from natlb.api.app import create_app
from natlb.api.described import MEANINGS, complete, refusals
from natlb.control.doors import Doors

WORDS_OF_CHANGES = {"400", "401", "403", "409", "412", "413", "415", "421", "422", "429", "500"}
SAID = dict[str, Any]


@pytest.fixture(scope="module")
def said() -> SAID:
    """Return the description of the API."""
    return create_app(None, Doors([]), asyncio.Event()).openapi()  # type: ignore[arg-type] # it answers nothing


def operations(said: SAID) -> list[tuple[str, str, SAID]]:
    """Return method, path and what is said of them."""
    return [
        (method, path, operation)
        for path, methods in said["paths"].items()
        for method, operation in methods.items()
    ]


def test_it_is_openapi_3_1(said: SAID) -> None:
    """Clients are generated from it."""
    assert said["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(said).validate()


def test_every_path_is_in_it(said: SAID) -> None:
    """And each says in words what it does."""
    routes = [*reads.router.routes, *changes.router.routes, *metrics.router.routes]
    there = {
        (method.lower(), route.path)
        for route in routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }

    assert {(method, path) for method, path, _ in operations(said)} == there
    assert all(operation["description"] for _, _, operation in operations(said))


def test_every_refusal_is_in_it(said: SAID) -> None:
    """In the one form of all errors; nothing of the framework's own is left."""
    for method, path, operation in operations(said):
        given = set(operation["responses"])
        assert given >= ({"400", "401", "403", "421"} if method == "get" else WORDS_OF_CHANGES)
        assert ("404" in given) == ("{" in path or path in ("/v1/flows", "/v1/flush")), path
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}
    assert not {"HTTPValidationError", "ValidationError"} & said["components"]["schemas"].keys()


def test_conditions_and_tokens_are_in_it(said: SAID) -> None:
    """Headers are half of what these paths mean."""
    status = said["paths"]["/v1/status"]["get"]
    names = {each["name"] for each in said["paths"]["/v1/reload"]["post"]["parameters"]}

    assert "ETag" in status["responses"]["200"]["headers"]
    assert "304" in status["responses"]
    assert "If-None-Match" in {each["name"] for each in status["parameters"]}
    assert "If-Match" in names
    assert said["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert "Retry-After" in said["paths"]["/v1/flush"]["post"]["responses"]["429"]["headers"]
    assert "WWW-Authenticate" in status["responses"]["401"]["headers"]


def test_a_refusal_says_what_it_means() -> None:
    """Each status has one meaning."""
    assert refusals(404)[404]["description"] == MEANINGS[404]
    assert complete({"paths": {}}, {"Event": {}})["components"]["schemas"] == {"Event": {}}
