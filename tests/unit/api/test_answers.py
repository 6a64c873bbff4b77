"""JSON as it is written."""

from __future__ import annotations

import asyncio
import json

import pytest

from natlb.api.answers import PIECE, encode, error_document, listing
from natlb.errors import UsageError
from natlb.model import PerDirection, PoolCount, ServiceStatus, to_json


def written(values: list[object]) -> bytes:
    """Return all that a listing writes."""

    async def collect() -> bytes:
        return b"".join([piece async for piece in listing(values).body_iterator])  # type: ignore[attr-defined]

    return asyncio.run(collect())


@pytest.mark.parametrize("length", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_a_list_in_pieces_is_one_document(length) -> None:
    """No comma is missing or too much where two pieces meet."""
    values: list[object] = [PerDirection(original=n, reply=-n) for n in range(length)]

    assert json.loads(written(values)) == to_json(values)


def test_encoding_says_what_the_model_says() -> None:
    """The fast way and the model's own way give the same document, order included."""
    value = [ServiceStatus(name="web", up=1, total=2), {"pool": PoolCount(total=3, up=2)}]

    assert encode(value[0]) == json.dumps(to_json(value[0])).encode()
    assert json.loads(encode(value))[1] == {"pool": {"total": 3, "up": 2}}


def test_text_that_is_no_unicode_can_still_be_answered() -> None:
    """A lone surrogate of a request comes back in the error that refuses it."""
    assert json.loads(encode(error_document(UsageError("\ud800"))))["error"]["message"] == "\ud800"


def test_a_value_of_another_kind_is_a_bug_and_said_so() -> None:
    """Silently writing a repr would be a wrong answer."""
    with pytest.raises(TypeError, match="set"):
        encode({1, 2})


def test_the_loop_runs_on_while_a_long_list_is_written() -> None:
    """A table of a million flows must not delay health checks or hand-over."""
    values: list[object] = [PerDirection(original=1, reply=2)] * (200 * PIECE)
    turns: list[None] = []

    async def watch() -> None:
        while True:
            await asyncio.sleep(0)
            turns.append(None)

    async def both() -> None:
        watching = asyncio.ensure_future(watch())
        async for _ in listing(values).body_iterator:  # type: ignore[attr-defined]
            pass
        watching.cancel()

    asyncio.run(both())

    assert len(turns) > 190
