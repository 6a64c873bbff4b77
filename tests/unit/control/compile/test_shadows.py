from __future__ import annotations

from typing import Any

import pytest

from natlb.control.compile import Indices
from natlb.control.compile.shadows import fallbacks_of, shadow_of
from natlb.control.config.values import Config, PolicyConfig
from natlb.core.layout import POLICY_WORDS, WORD_COMPARED, WORD_DIFFERED, WORD_FALLBACKS
from natlb.core.memory import Kind, make
from natlb.model import SpreadCounts, to_json
from natlb.testing import packets
from tests.datapath import B1, B2, CLIENT, VIP, engine, one_service
from tests.unit.control.compile.test_pools import backend, service

SHADOW = PolicyConfig(name="source-hash")
PYTHON = PolicyConfig(name="python")


def counted(**options: Any) -> tuple[Any, Indices, list[Any]]:
    """Return `web` as service 0 of two workers, each with its place counted in each word."""
    web = service(backend(1), backend(2), **options)
    indices = Indices().assign(Config(services={"web": web}), set(), set())
    workers = [make(Kind.COUNTERS), make(Kind.COUNTERS)]
    for counters in workers:
        counters.policy[: 2 * POLICY_WORDS] = range(2 * POLICY_WORDS)
        counters.notes["compared"][:2] = 5, 6
        counters.notes["shadow"][:2] = 7, 8
    return web, indices, workers


def test_a_shadow_is_told_with_its_spread() -> None:
    """Summed over the workers."""
    shadow = shadow_of(*counted(shadow=SHADOW))

    assert to_json(shadow) == {
        "policy": "source-hash",
        "compared": 2 * (POLICY_WORDS + WORD_COMPARED),
        "differed": 2 * (POLICY_WORDS + WORD_DIFFERED),
        "spread": {"b1": {"policy": 10, "shadow": 14}, "b2": {"policy": 12, "shadow": 16}},
    }


def test_where_nothing_is_configured_nothing_is_told() -> None:
    """The documents of such services are as they were."""
    plain = counted()

    assert shadow_of(*plain) is None
    assert fallbacks_of(*plain) is None
    assert fallbacks_of(*counted(shadow=SHADOW)) is None


@pytest.mark.parametrize("options", [{"policy": PYTHON}, {"shadow": PYTHON}])
def test_fallbacks_are_told_where_a_policy_is_a_users_own(options: dict[str, Any]) -> None:
    """Of either choice."""
    fallbacks = fallbacks_of(*counted(**options))

    assert fallbacks == 2 * (WORD_FALLBACKS + POLICY_WORDS + WORD_FALLBACKS)


def test_an_engine_shows_how_often_its_shadow_differs() -> None:
    """What both got adds up to what was compared; another shadow begins anew."""
    web = one_service(backends=[f"{B1}:80", f"{B2}:80"], shadow="source-hash")
    path = engine(web)
    for port in range(1000, 1020):
        path.process(packets.tcp(f"{CLIENT}:{port}", f"{VIP}:80"), 0.0)
    shadow = path.services()[0].shadow
    assert shadow is not None
    assert (shadow.compared, shadow.differed) == (20, 10)
    assert sorted(each.shadow for each in shadow.spread.values()) == [0, 20]
    assert {each.policy for each in shadow.spread.values()} == {10}
    assert path.stats()["shadow"]["web"] == shadow
    path.load({"datapath": {"max_flows": 1000}, "services": web})
    assert path.services()[0].shadow == shadow
    web["web"]["shadow"] = "round-robin"
    path.load({"datapath": {"max_flows": 1000}, "services": web})
    again = path.services()[0].shadow

    assert again is not None
    assert (again.policy, again.compared, again.differed) == ("round-robin", 0, 0)
    assert set(again.spread.values()) == {SpreadCounts(policy=0, shadow=0)}
