from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from natlb.control.compile.indices import Indices, _assign, start_counts
from natlb.control.config import Config, config_from_mapping
from natlb.control.config.values import PolicyConfig
from natlb.core.layout import (
    CHOICES,
    POLICY_WORDS,
    WORD_COMPARED,
    WORD_DIFFERED,
    WORD_FALLBACKS,
)
from natlb.core.memory import Kind, make
from natlb.errors import ConfigError
from tests.datapath import VIP


def configured(**services: int) -> Any:
    """Return a configuration of services with so many backends each."""
    return config_from_mapping(
        {
            "services": {
                name: {
                    "listen": f"tcp://{VIP}:{8000 + number}",
                    "backends": [f"10.9.{number}.{host + 1}:80" for host in range(count)],
                }
                for number, (name, count) in enumerate(services.items())
            }
        }
    )


def test_numbers_are_given_from_zero_on_in_the_order_of_the_file() -> None:
    """Services and backends each have their own."""
    indices = Indices().assign(configured(a=2, b=1), set(), set())

    assert indices.services == {"a": 0, "b": 1}
    assert list(indices.backends.values()) == [0, 1, 2]
    assert indices.service_names() == {0: "a", 1: "b"}
    assert indices.backend_names()[2] == ("b", "10.9.1.1:80")


def test_old_names_keep_their_numbers_and_new_ones_get_the_lowest_free() -> None:
    """Whatever their place in the file is now."""
    before = Indices().assign(configured(a=1, b=1, c=1), set(), set())
    after = before.assign(configured(x=1, c=1, a=1), set(), set())

    assert after.services == {"c": 2, "a": 0, "x": 1}


def test_a_number_that_is_held_stays_with_its_name() -> None:
    """Until no flow holds it any more; then it is free."""
    before = Indices().assign(configured(a=1, b=1), set(), set())
    held = before.assign(configured(b=1, c=1), {0}, {0})
    assert held.services == {"a": 0, "b": 1, "c": 2}
    assert held.service_names()[0] == "a"
    again = held.assign(configured(a=1, b=1), {0}, {0})
    assert again.services == {"a": 0, "b": 1}
    free = held.assign(configured(b=1, d=1), set(), set())

    assert free.services == {"b": 1, "d": 0}


def test_numbers_that_run_out_are_an_error_that_says_what_to_do() -> None:
    """Those that drain count too."""
    with pytest.raises(ConfigError, match="more than 2 at once") as caught:
        _assign({"gone": 0, "kept": 1}, ["kept", "new"], {0}, 2)

    assert "drained" in str(caught.value.fix)


def test_counts_of_a_new_owner_start_at_zero_and_those_of_the_old_stay() -> None:
    """By name: whoever keeps its number keeps its counts."""
    counters = make(Kind.COUNTERS)
    for array in (counters.services, counters.backends):
        array["total"] = 7
        array["bytes_reply"] = 7
    counters.policy[:] = counters.loads[:] = 7
    counters.notes["smooth"] = 7
    old = Indices(services={"a": 0, "b": 1}, backends={("a", "x"): 0, ("b", "y"): 1})
    new = Indices(services={"a": 0, "c": 1}, backends={("a", "z"): 0, ("b", "y"): 1})

    nothing = Config(services={})
    start_counts(counters, old, nothing, new, nothing)

    assert counters.services["total"][:3].tolist() == [7, 0, 7]
    assert counters.backends["total"][:3].tolist() == [0, 7, 7]
    assert counters.loads[:3].tolist() == [0, 7, 7]
    assert counters.services["bytes_reply"][:3].tolist() == [7, 0, 7]
    words = counters.policy.reshape(-1, CHOICES * POLICY_WORDS)
    assert [set(row.tolist()) for row in words[:3]] == [{7}, {0}, {7}]
    assert counters.notes["smooth"][:3].tolist() == [0, 7, 7]


def with_policies(config: Config, **policies: tuple[str, str | None]) -> Config:
    """Return a configuration whose services have these policies and shadows."""
    named = {
        name: replace(
            config.services[name],
            policy=PolicyConfig(name=policy),
            shadow=PolicyConfig(name=shadow) if shadow else None,
        )
        for name, (policy, shadow) in policies.items()
    }
    return replace(config, services={**config.services, **named})


@pytest.mark.parametrize(
    ("now", "own", "shadows", "compared", "smooth"),
    [
        (("x", "y"), 7, 7, 7, 7),
        (("z", "y"), 0, 7, 0, 0),
        (("x", "z"), 7, 0, 0, 7),
        (("x", None), 7, 0, 0, 7),
    ],
)
def test_another_policy_or_shadow_begins_at_zero(
    now: tuple[str, str | None], own: int, shadows: int, compared: int, smooth: int
) -> None:
    """What is compared is the two of them; a service that keeps both keeps all."""
    counters = make(Kind.COUNTERS)
    counters.policy[:] = 7
    for field in ("smooth", "smooth_shadow", "compared", "shadow"):
        counters.notes[field] = 7
    config = configured(a=2, b=1)
    before = with_policies(config, a=("x", "y"), b=("x", "y"))
    after = with_policies(config, a=now, b=("x", "y"))
    indices = Indices().assign(config, set(), set())

    start_counts(counters, indices, before, indices, after)

    words = counters.policy.reshape(-1, POLICY_WORDS)
    assert set(words[0].tolist()) == {own}
    assert set(words[1, [WORD_COMPARED, WORD_DIFFERED]].tolist()) == {compared}
    assert set(words[1, [0, 1, 2, 3, 4, WORD_FALLBACKS]].tolist()) == {shadows}
    assert set(words[2:4].flat) == {7}
    assert counters.notes["smooth"][:3].tolist() == [smooth, smooth, 7]
    assert counters.notes["smooth_shadow"][:3].tolist() == [shadows, shadows, 7]
    for field in ("compared", "shadow"):
        assert counters.notes[field][:3].tolist() == [compared, compared, 7]


def test_a_service_that_comes_back_under_its_number_begins_at_zero_with_its_policy() -> None:
    """Flows held the number; what the policy of then knew is nobody's."""
    counters = make(Kind.COUNTERS)
    counters.policy[:] = 7
    config = configured(a=1)
    indices = Indices().assign(config, set(), set())

    start_counts(counters, indices, Config(services={}), indices, config)

    assert set(counters.policy[: CHOICES * POLICY_WORDS].tolist()) == {0}
