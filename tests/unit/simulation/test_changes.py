from __future__ import annotations

import pytest

from natlb.errors import UsageError
from natlb.simulation.changes import read_slowness, read_span, read_weight, refuse_strangers


def test_a_span_is_two_changes() -> None:
    """The second takes the first back."""
    changes = read_span("fail", "b2@30-60.5")

    assert [(str(each), each.at_seconds) for each in changes] == [
        ("fail b2", 30.0),
        ("recover b2", 60.5),
    ]
    assert [each.kind for each in read_span("drain", "b2@1-2")] == ["drain", "ready"]
    assert [each.kind for each in read_span("remove", "b2@1-2")] == ["remove", "add"]


def test_a_span_without_end_is_one_change() -> None:
    """It stays so."""
    assert [str(each) for each in read_span("drain", "10.77.0.11:8080@0")] == [
        "drain 10.77.0.11:8080"
    ]


@pytest.mark.parametrize(
    "text", ["b2", "b2@", "@3", "b2@x", "b2@3-", "b2@3-2", "b2@3-3", "b2@-1", "b2@1-inf", "b2@nan"]
)
def test_a_span_that_says_nothing_is_refused(text) -> None:
    """With what would be right."""
    with pytest.raises(UsageError) as caught:
        read_span("fail", text)

    assert caught.value.message == (
        f"--fail '{text}': it is written BACKEND@SECONDS or BACKEND@FROM-UNTIL"
    )


def test_a_weight_from_a_moment_on() -> None:
    """Of a backend whose name may have colons."""
    change = read_weight("10.77.0.11:8080:5@30")

    assert (change.backend, change.weight, change.at_seconds) == ("10.77.0.11:8080", 5, 30.0)
    assert str(change) == "weigh 10.77.0.11:8080 5"


@pytest.mark.parametrize("text", ["b1@3", "b1:x@3", "b1:-1@3", "b1:1", "b1:1@soon", "b1:65536@3"])
def test_a_weight_that_is_none_is_refused(text) -> None:
    """As the configuration's are."""
    with pytest.raises(UsageError, match="--weigh"):
        read_weight(text)


def test_slowness() -> None:
    """Of a backend whose name may have colons."""
    assert read_slowness("10.77.0.11:8080:2.5") == ("10.77.0.11:8080", 2.5)


@pytest.mark.parametrize("text", ["b1", "b1:", ":5", "b1:0", "b1:-1", "b1:inf", "b1:x", "b1:1e9"])
def test_slowness_that_is_none_is_refused(text) -> None:
    """Times that cannot be multiplied by."""
    with pytest.raises(UsageError, match="it is written BACKEND:TIMES"):
        read_slowness(text)


def test_a_backend_that_is_not_there_is_refused() -> None:
    """With those that are, or the first of them."""
    refuse_strangers(["b1", "b2"], ["b2"])
    with pytest.raises(UsageError) as caught:
        refuse_strangers(["b1", "b2"], ["b3"])
    assert caught.value.message == "no backend 'b3'; there are b1, b2"
    with pytest.raises(UsageError, match=r"b8, …$"):
        refuse_strangers([f"b{number}" for number in range(1, 10)], ["x"])
