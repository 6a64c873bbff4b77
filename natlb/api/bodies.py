"""What the bodies of requests hold.

A name that is not known is refused, and a value of another kind as well: `"1"` is no weight.
"""

# No `from __future__ import annotations`: FastAPI reads the annotations below.

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

MAX_WEIGHT = 65535
Weight = Annotated[StrictInt, Field(ge=0, le=MAX_WEIGHT)]


class BackendChange(BaseModel):
    """What a backend shall be from now on; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["ready", "draining", "maint"] | None = None
    weight: Weight | None = None


class BackendAddition(BaseModel):
    """A backend that a service shall have; its name is by default its address."""

    model_config = ConfigDict(extra="forbid")

    address: StrictStr
    name: StrictStr | None = None
    weight: Weight | None = None


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
