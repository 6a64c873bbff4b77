from __future__ import annotations

from typing import Any

from natlb.control.compile import Choices, Indices, Sides, compile_tables
from natlb.control.compile.run_time import RunTime
from natlb.control.config import config_from_mapping
from natlb.core.layout import CHOICES, WEIGHT_ONE
from natlb.core.policy import POLICY_NAMES

CONFIG = config_from_mapping(
    {
        "services": {
            "web": {
                "listen": "tcp://203.0.113.10:80",
                "backends": ["10.9.0.11:80", "10.9.0.12:80"],
                "policy": "source-hash",
            },
            "dns": {"listen": "udp://203.0.113.10:53", "backends": ["10.9.0.12:53"]},
        }
    }
)
INDICES = Indices().assign(CONFIG, set(), set())
OPTIONS: dict[str, Any] = {"indices": INDICES, "run_time": {}, "seed": 1}


def test_each_service_has_its_pool_and_its_policy() -> None:
    """One behind the other in `rings`, none over another."""
    choices = Choices(CONFIG, memories={}, **OPTIONS)
    tables = compile_tables(CONFIG, sides=Sides(), generation=1, choices=choices, **OPTIONS)
    web, dns = (INDICES.services[name] for name in ("web", "dns"))
    pools = [tables.services[at]["pool_start"] for at in (web, dns)]
    policies = [POLICY_NAMES[tables.choices[CHOICES * at]["policy"]] for at in (web, dns)]

    assert policies == ["source-hash", "round-robin"]
    assert tables.rings[pools[0] :][:2].tolist() == [0, 1]
    assert tables.rings[pools[1] :][:1].tolist() == [2]
    assert tables.choices[CHOICES * web]["weights"] == 2 * WEIGHT_ONE
    ring = tables.choices[CHOICES * web]
    assert set(tables.rings[ring["ring_start"] :][: ring["ring_size"]].tolist()) == {0, 1}
    assert tables.rings.size == choices.slots == 3 + 4096
    assert choices.memories == {}


def has_others(config: Any, indices: Indices, run_time: Any) -> bool:
    """Return what the tables say of `web`: whether others than its pool may have flows of it."""
    options: dict[str, Any] = {"indices": indices, "run_time": run_time, "seed": 1}
    choices = Choices(config, memories={}, **options)
    tables = compile_tables(config, sides=Sides(), generation=1, choices=choices, **options)
    return bool(tables.services[indices.services["web"]]["has_others"])


def test_tables_say_whether_others_than_the_pool_may_have_flows() -> None:
    """Who drains, who is down, and who was removed while flows hold its index."""
    assert not has_others(CONFIG, INDICES, {})
    one = ("web", "10.9.0.11:80")
    assert has_others(CONFIG, INDICES, {one: RunTime(state="draining")})
    assert has_others(CONFIG, INDICES, {one: RunTime(health="down")})
    assert has_others(CONFIG, INDICES, {one: RunTime(weight=0)})

    web = {"listen": "tcp://203.0.113.10:80", "backends": ["10.9.0.12:80"]}
    fewer = config_from_mapping({"services": {"web": web}})
    held = INDICES.assign(fewer, set(), {INDICES.backends[one]})
    assert has_others(fewer, held, {})
    assert not has_others(fewer, INDICES.assign(fewer, set(), set()), {})


def test_a_policy_and_its_shadow_keep_apart_what_they_remember() -> None:
    """Of one name they may differ in size, and so in every bucket."""
    anchor: dict[str, Any] = {"name": "anchor", "size": 64}
    web: dict[str, Any] = {
        "listen": "tcp://203.0.113.10:80",
        "backends": ["10.9.0.11:80", "10.9.0.12:80"],
    }
    web |= {"policy": anchor, "shadow": {**anchor, "size": 128}}
    config = config_from_mapping({"services": {"web": web}})
    indices = Indices().assign(config, set(), set())
    memories = Choices(config, indices=indices, run_time={}, seed=1, memories={}).memories
    owners = {key: len(memory["owners"]) for key, memory in memories.items()}

    assert owners == {("web", "anchor"): 64, ("web", "shadow anchor"): 128}
